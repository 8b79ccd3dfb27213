"""Test images beside what the models of each training set make of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from evenhand.figures.common import Declared, Drawing, FigureText, Given
from evenhand.figures.style import PAGE_WIDTH, SMALL, GroupStyle, group_styles, joined, new_figure, percent
from evenhand.splits.groups import Group, TrainSet, read_train_sets
from evenhand.workflow.errors import UserError

FIGURES: Declared = {
    "reconstructions_mixed": {
        "place": 170,
        "label": "reconstructions, balanced training set",
        "section": "Pictures",
        "files": ["examples", "train_sets"],
        "paper": 1,
    },
    "reconstructions_{group}": {
        "place": 180,
        "label": "reconstructions of {title}",
        "section": "Pictures",
        "files": ["examples", "train_sets"],
        "paper": [4, 5],
        "each": "group",
    },
}

Pictures = npt.NDArray[np.uint8]


class ImageRow(NamedTuple):
    """One row of pictures, (k, side, side, 3), with the group it shows and what it is."""

    group: str
    label: str
    pictures: Pictures


class Panel(NamedTuple):
    """The rows of a figure from top to bottom; per group the error quantiles its columns stand for."""

    rows: list[ImageRow]
    quantiles: dict[str, list[float]]


def drawing(given: Given) -> Drawing:
    """The figure from its files: of one group and all training sets, or of two and the set closest to half and half."""
    groups, sets = given.groups, read_train_sets(given.files["train_sets"])
    if given.name == "reconstructions_mixed":
        shown, sets = groups[:2], (balanced(sets, groups),)
    else:
        shown = tuple(group for group in groups if given.name == f"reconstructions_{group.name}")
    panel = reconstruction_data(read_examples(given.files["examples"]), shown, sets, groups[1].name)
    styles = group_styles([group.name for group in groups])
    text = reconstruction_text(panel, shown, given.synthetic)
    return Drawing(text, lambda: draw_reconstructions(panel, shown, styles))


def balanced(sets: Sequence[TrainSet], groups: Sequence[Group]) -> TrainSet:
    """The training set closest to half reference, half compared group; of several the first by name."""
    return min(sets, key=lambda one: (sum(abs(one.share(group.name) - 0.5) for group in groups[:2]), one.name))


def read_examples(path: str | Path) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of an examples file, read without pickle."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def reconstruction_data(
    examples: Mapping[str, npt.NDArray[np.generic]], groups: Sequence[Group], sets: Sequence[TrainSet], compared: str
) -> Panel:
    """Per group a row of inputs, then one row of reconstructions per training set, columns ordered by quantile.

    Args:
        examples: arrays of examples.npz: group (n,), quantile (n,), input (n, side, side, 3), and
            reconstruction_<set> of the same shape for each set.
        groups: the groups to show, from top to bottom.
        sets: training sets; rows follow their share of the group `compared`, then the name.
        compared: name of that group.

    Raises:
        UserError: a group has no example, or a training set no reconstruction.
    """
    rows, quantiles = [], {}
    ordered = sorted((one.share(compared), one.name) for one in sets)
    missing = [name for _, name in ordered if f"reconstruction_{name}" not in examples]
    if missing:
        found = sorted(name.removeprefix("reconstruction_") for name in examples if name.startswith("reconstruction_"))
        raise UserError(
            f"expected reconstructions of training sets {', '.join(one.name for one in sets)}; none of "
            f"{', '.join(missing)} in the examples, which hold {', '.join(found) or 'no set'}. Remake the examples."
        )
    for group in [group.name for group in groups]:
        chosen = np.flatnonzero(examples["group"] == group)
        if not len(chosen):
            raise UserError(f"expected examples of group {group}; the file holds none. Remake the examples.")
        chosen = chosen[np.argsort(examples["quantile"][chosen], kind="stable")]
        quantiles[group] = [float(value) for value in examples["quantile"][chosen]]
        rows.append(ImageRow(group, "input", examples["input"][chosen].astype(np.uint8)))
        rows += [
            ImageRow(
                group,
                f"{name}\n{percent(share)} {compared}",
                examples[f"reconstruction_{name}"][chosen].astype(np.uint8),
            )
            for share, name in ordered
        ]
    return Panel(rows, quantiles)


def draw_reconstructions(panel: Panel, groups: Sequence[Group], styles: Mapping[str, GroupStyle]) -> Figure:
    """A grid of pictures: rows are inputs and training sets, columns are images from easy (left) to hard (right).

    Args:
        panel: the pictures.
        groups: those in it.
        styles: how groups look, by name.
    """
    columns = max(len(row.pictures) for row in panel.rows)
    titles = {group.name: group.title for group in groups}
    margin, header, gap = 0.95, 0.46, 0.04  # inches: row labels, heading of a group, white between pictures
    tile = min((PAGE_WIDTH - margin) / columns, (9.0 - header * len(groups)) / len(panel.rows), 1.25)
    width = max(margin + tile * columns, 4.5)  # room for the heading
    height = header * len(groups) + tile * len(panel.rows)
    figure = new_figure(width, height)
    grid = figure.add_subplot()  # its coordinates are inches
    grid.set_axis_off()
    top, previous = height, ""
    for row in panel.rows:
        if row.group != previous:
            previous, style = row.group, styles[row.group]
            grid.plot(0.1, top - 0.12, style.marker, color=style.colour, markersize=7)
            grid.text(0.24, top - 0.12, f"{titles[row.group]} test images", va="center", fontweight="bold")
            top -= header
            for column, quantile in enumerate(panel.quantiles[row.group]):
                centre = margin + tile * (column + 0.5)
                grid.text(centre, top + 0.03, f"{100 * quantile:.0f} %", ha="center", va="bottom", fontsize=SMALL)
            grid.text(margin - 0.08, top + 0.03, "error rank", ha="right", va="bottom", fontsize=SMALL)
        top -= tile
        grid.text(margin - 0.08, top + tile / 2, row.label, ha="right", va="center", fontsize=SMALL)
        for column, picture in enumerate(row.pictures):
            left, bottom, side = margin + tile * column + gap / 2, top + gap / 2, tile - gap
            grid.imshow(picture, extent=(left, left + side, bottom, bottom + side), interpolation="nearest")
    grid.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    return figure


def reconstruction_text(panel: Panel, groups: Sequence[Group], synthetic: bool) -> FigureText:
    """Title, caption and alternative text; says by which rule the pictures of these groups were chosen."""
    sets = list(dict.fromkeys(row.label.replace("\n", ", ") for row in panel.rows if row.label != "input"))
    who = joined([group.title for group in groups])
    counts = joined([f"{len(panel.quantiles[group.name])} {group.name}" for group in groups])
    what = "generated phantoms" if synthetic else "photographs of patients"
    models = "training sets " + "; ".join(sets) if len(sets) > 1 else f"training set {sets[0]}"
    return FigureText(
        f"Reconstructions of {who}",
        f"Test images ({what}) of run 0 and their reconstructions by the models of {models}: {counts} images; "
        "compare sharpness and colour with the input above.\n\n"
        "Chosen by rule, not by hand: the images of each group whose error, averaged over the training sets, has the "
        "rank above the column (50 % is the median), from easy (left) to hard (right).",
        f"Grid of test images of {who} with, below each input, its reconstruction by the models of {models}.",
        pictures=True,
    )
