"""Panels side by side under a strip for the legend; in them estimates with intervals, and training sets on an axis."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from evenhand.figures.style import INK, PAGE_WIDTH, SMALL, new_figure, percent
from evenhand.splits.groups import FROZEN

# Offsets in points and alignments, tried in this order: beside, above, below, then around and further out.
PLACES = (
    (5, 0, "left", "center"),
    (-5, 0, "right", "center"),
    (0, 5, "center", "bottom"),
    (0, -5, "center", "top"),
    *(
        (x, y, "left" if x > 0 else "right", "bottom" if y > 0 else "top")
        for y in (7, -7, 16, -16, 28, -28, 42, -42)
        for x in (7, -7, 16, -16, 28, -28)
    ),
)


def label_points(axes: Axes, points: npt.NDArray[np.float64], names: Sequence[str]) -> list[str]:
    """Write names beside points, first come first served; a name without a free place is left out.

    Args:
        axes: in their final place and with final limits; the figure is laid out once to measure the text.
        points: (n, 2) in data coordinates; the named ones first.
        names: of the first points, the most important first; the other points are only places to keep free.

    Returns:
        The names written.
    """
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    frame = axes.get_window_extent()
    centres = axes.transData.transform(points) if len(points) else np.empty((0, 2))
    dots = [Bbox.from_bounds(x - 3, y - 3, 6, 6) for x, y in centres]
    taken: list[Bbox] = []
    written = []
    for index, name in enumerate(names):
        for dx, dy, horizontal, vertical in PLACES:
            text = axes.annotate(
                name,
                tuple(points[index]),
                xytext=(dx, dy),
                textcoords="offset points",
                ha=horizontal,
                va=vertical,
                fontsize=SMALL,
                color=INK,
                # Far labels get a leader line, so that no name is read against the wrong point.
                arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": INK} if max(abs(dx), abs(dy)) > 7 else None,
            )
            text.set_in_layout(False)
            text.update_positions(renderer)
            box = Text.get_window_extent(text)  # of the letters alone, without the leader line
            leader = _along(centres[index], box) if text.arrow_patch is not None else []
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            obstacles = taken + dots[:index] + dots[index + 1 :]
            covers = any(box.overlaps(other) for other in obstacles)
            crosses = any(part.overlaps(other) for part in leader for other in taken)
            if inside and not covers and not crosses:
                taken += [box, *leader]
                written.append(name)
                break
            text.remove()
    return written


def _along(point: npt.NDArray[np.float64], box: Bbox) -> list[Bbox]:
    """Small boxes along the line from a point to the middle of a name, outside the name."""
    middle = np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])
    places = [point + step * (middle - point) for step in np.linspace(0.1, 0.9, 65)]
    return [Bbox.from_bounds(x - 1, y - 1, 2, 2) for x, y in places if not box.contains(x, y)]


LEGEND_ROW, LEGEND_PADDING = 0.17, 0.13  # inches
LETTERS = 95  # of a legend that fit on a line as wide as the page, with room for the handles


def panel_grid(
    count: int, height: float | None, columns: int = 3, share: bool = True, legend_rows: int = 1, blocks: int = 1
) -> tuple[Figure, list[Axes], Axes]:
    """`count` panels in rows of at most `columns`, and the same again below for every further block.

    Args:
        count: panels of a block.
        height: of a panel with its labels, inches; None for square panels.
        columns: most panels in a row.
        share: common x and y scales.
        legend_rows: lines of the legend.
        blocks: such as one for each pair of groups.

    Returns:
        The figure, the panels in reading order, and an empty area above them for a legend.
    """
    columns = min(count, columns)
    rows = math.ceil(count / columns)
    width = PAGE_WIDTH if columns > 1 else 0.7 * PAGE_WIDTH
    height = height or width / columns + 0.1
    strip = LEGEND_PADDING + LEGEND_ROW * legend_rows
    figure = new_figure(width, strip + height * rows * blocks)
    layout = figure.add_gridspec(1 + rows * blocks, columns, height_ratios=[strip, *[height - 0.3] * rows * blocks])
    legend = figure.add_subplot(layout[0, :])
    legend.set_axis_off()
    panels: list[Axes] = []
    for index in range(count * blocks):
        block, place = divmod(index, count)
        first = panels[0] if panels and share else None
        here = layout[1 + block * rows + place // columns, place % columns]
        panels.append(figure.add_subplot(here, sharex=first, sharey=first))
    return figure, panels, legend


def label_edges(panels: Sequence[Axes], blocks: int = 1) -> None:
    """Keep the labels of y in the first panel of a row alone, those of x in the lowest panel of a column of a block.

    Args:
        panels: of `panel_grid`, with common scales.
        blocks: as there.
    """
    count = len(panels) // blocks
    for index, axes in enumerate(panels):
        layout = axes.get_gridspec()
        assert layout is not None
        place = index % count
        left, bottom = place % layout.ncols == 0, place + layout.ncols >= count
        axes.tick_params(labelleft=left, labelbottom=bottom)
        axes.set_ylabel(axes.get_ylabel() if left else "")
        axes.set_xlabel(axes.get_xlabel() if bottom else "")


def legend_columns(names: Sequence[str], width: float = PAGE_WIDTH) -> int:
    """How many of the names fit on a line of the legend of a figure so many inches wide."""
    fitting = int(LETTERS * width / PAGE_WIDTH) // (max(map(len, names)) + 6)
    return min(len(names), max(fitting, 1))


def side_by_side(count: int, width: float) -> list[float]:
    """Distances from a common place at which `count` things stand beside one another within `width`."""
    return [width * ((index + 0.5) / count - 0.5) for index in range(count)]


def ordered_sets(table: pd.DataFrame) -> pd.DataFrame:
    """The training sets of a table by the share of the compared group, then name.

    Returns:
        train_set, compared_share, position (0, 1, ...).
    """
    sets = table[["train_set", "compared_share"]].drop_duplicates()
    sets = sets.sort_values(["compared_share", "train_set"], ignore_index=True)
    return sets.assign(position=range(len(sets)))


def set_colours(count: int) -> list[str]:
    """One colour per training set, from dark violet to yellow-green: ordered and told apart by everyone."""
    return [to_hex(colour) for colour in mpl.colormaps["viridis"](np.linspace(0, 0.85, count))]


def set_axis(axes: Axes, sets: pd.DataFrame, compared: str) -> None:
    """Name the training sets on the x axis: name and share of that group, or the share alone where there are many."""
    many = len(sets) > 6
    # At most six names, so that they stay apart in a narrow panel.
    named = sets.iloc[:: math.ceil(len(sets) / 6)]
    pairs = zip(named["train_set"], named["compared_share"], strict=True)
    axes.set_xticks(
        named["position"],
        [f"{100 * s:.3g}" if many else n if n == FROZEN else f"{n}\n{percent(s)}" for n, s in pairs],
    )
    axes.set_xticks(sets["position"], minor=True)
    axes.set_xlim(-0.6, len(sets) - 0.4)
    axes.set_xlabel(f"{compared} share of the training set, %" if many else f"training set (% {compared})")


def set_names(sets: pd.DataFrame, compared: str) -> list[str]:
    """Training sets in running text, such as "A (0 % dark)" where the compared group is called dark."""
    pairs = zip(sets["train_set"], sets["compared_share"], strict=True)
    return [n if n == FROZEN else f"{n} ({percent(s)} {compared})" for n, s in pairs]


MARK = "mark"  # what unseen texts are called that carry the value of a mark
COUNTS = {
    "n_runs": "{:,.0f} runs",
    "n_test": "{:,.0f} test images a group",
    "n_images": "{:,.0f} images",
    "n_reference": "{:,.0f} images of the reference",
    "n_compared": "{:,.0f} compared",
}


def mark_values(axes: Axes, x: Iterable[float], y: Iterable[float], texts: Iterable[str]) -> None:
    """Keep what stands at points of the axes (data coordinates): the page shows it where the pointer is."""
    for at_x, at_y, words in zip(x, y, texts, strict=True):
        if np.isfinite([at_x, at_y]).all():
            axes.text(at_x, at_y, words, visible=False, gid=MARK).set_in_layout(False)


def marked_values(figure: Figure) -> list[tuple[float, float, str]]:
    """The values of `mark_values` that lie in view, in the order of drawing.

    Returns:
        x and y from the upper left corner as fractions of the width and height of the figure, and the words.
    """
    figure.draw_without_rendering()
    found = []
    for text in figure.findobj(Text):
        if text.get_gid() == MARK and isinstance(text, Text) and text.axes is not None:
            place = text.axes.transData.transform(text.get_position())
            x, y = figure.transFigure.inverted().transform(place)
            frame = text.axes.get_window_extent().padded(1)
            if frame.contains(*place):
                found.append((round(float(x), 4), round(1 - float(y), 4), text.get_text()))
    return found


def counted(row: Mapping[Hashable, Any]) -> str:
    """What a row of a table says of its size, such as "10 runs, 500 test images a group"."""
    return ", ".join(words.format(row[key]) for key, words in COUNTS.items() if key in row and pd.notna(row[key]))


def draw_intervals(
    axes: Axes,
    places: Sequence[float] | pd.Series,
    rows: pd.DataFrame,
    colour: str,
    marker: str,
    label: str = "",
    horizontal: bool = False,
) -> None:
    """Estimates as markers with their intervals as bars; an empty interval is not drawn.

    Args:
        axes: to draw on.
        places: of the rows, on x (or on y where `horizontal`).
        rows: columns estimate, ci_low, ci_high.
        colour: of marker and bar.
        marker: of the estimates.
        label: for the legend.
        horizontal: estimates on x.
    """
    at = np.asarray(places, dtype=float)
    estimate, low, high = (rows[name].to_numpy(float) for name in ("estimate", "ci_low", "ci_high"))
    bars = axes.hlines if horizontal else axes.vlines
    bars(at, low, high, color=colour, linewidth=2, zorder=2)
    x, y = (estimate, at) if horizontal else (at, estimate)
    axes.plot(x, y, marker, color=colour, markersize=6, markeredgecolor=INK, markeredgewidth=0.6, label=label, zorder=3)
    texts = [
        "; ".join(
            filter(
                None,
                [
                    ": ".join(filter(None, [label, f"{row['estimate']:.3g}"]))
                    + ("" if pd.isna(row["ci_low"]) else f" ({row['ci_low']:.3g} to {row['ci_high']:.3g})"),
                    counted(row),
                ],
            )
        )
        for row in rows.to_dict("records")
    ]
    mark_values(axes, x, y, texts)
