"""Names beside points, placed where they cover no other name and stay inside the axes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from evenhand.figures.style import INK, SMALL

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
