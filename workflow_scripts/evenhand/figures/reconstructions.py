"""Figures 1, 4 and 5 of the paper: test images beside what the models of each training set make of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from evenhand.figures.common import Declared, Drawing, FigureText, Given, GroupNames
from evenhand.figures.style import GROUPS, PAGE_WIDTH, SMALL, new_figure, percent
from evenhand.splits.groups import read_train_sets
from evenhand.workflow.errors import UserError

FIGURES: Declared = {
    "reconstructions_mixed": {
        "place": 170,
        "label": "1 reconstructions, balanced training set",
        "section": "Pictures",
        "files": ["examples", "train_sets"],
        "groups": ["light", "dark"],
        "balanced": True,
    },
    "reconstructions_light": {
        "place": 180,
        "label": "4 reconstructions of light skin",
        "section": "Pictures",
        "files": ["examples", "train_sets"],
        "groups": ["light"],
    },
    "reconstructions_dark": {
        "place": 190,
        "label": "5 reconstructions of dark skin",
        "section": "Pictures",
        "files": ["examples", "train_sets"],
        "groups": ["dark"],
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
    """The figure from its files; of the training set whose mix is closest to half and half, or of all of them."""
    declared = FIGURES[given.name]
    shares = dict(read_train_sets(given.files["train_sets"]))
    if declared.get("balanced"):
        name = min(shares, key=lambda name: (abs(shares[name] - 0.5), name))
        shares = {name: shares[name]}
    panel = reconstruction_data(read_examples(given.files["examples"]), declared["groups"], shares)
    text = reconstruction_text(panel, given.groups, given.synthetic)
    return Drawing(text, lambda: draw_reconstructions(panel, given.groups))


def read_examples(path: str | Path) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of an examples file, read without pickle."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def reconstruction_data(
    examples: Mapping[str, npt.NDArray[np.generic]], groups: Sequence[str], sets: Mapping[str, float]
) -> Panel:
    """Per group a row of inputs, then one row of reconstructions per training set, columns ordered by quantile.

    Args:
        examples: arrays of examples.npz: group (n,), quantile (n,), input (n, side, side, 3), and
            reconstruction_<set> of the same shape for each set.
        groups: the groups to show, from top to bottom.
        sets: dark share by name of training set; rows follow the share.

    Raises:
        UserError: a group has no example, or a training set no reconstruction.
    """
    rows, quantiles = [], {}
    ordered = sorted(sets.items(), key=lambda item: (item[1], item[0]))
    missing = [name for name, _ in ordered if f"reconstruction_{name}" not in examples]
    if missing:
        found = sorted(name.removeprefix("reconstruction_") for name in examples if name.startswith("reconstruction_"))
        raise UserError(
            f"expected reconstructions of training sets {', '.join(sets)}; none of {', '.join(missing)} in the "
            f"examples, which hold {', '.join(found) or 'no set'}. Remake the examples."
        )
    for group in groups:
        chosen = np.flatnonzero(examples["group"] == group)
        if not len(chosen):
            raise UserError(f"expected examples of group {group}; the file holds none. Remake the examples.")
        chosen = chosen[np.argsort(examples["quantile"][chosen], kind="stable")]
        quantiles[group] = [float(value) for value in examples["quantile"][chosen]]
        rows.append(ImageRow(group, "input", examples["input"][chosen].astype(np.uint8)))
        rows += [
            ImageRow(
                group, f"{name}\n{percent(share)} dark", examples[f"reconstruction_{name}"][chosen].astype(np.uint8)
            )
            for name, share in ordered
        ]
    return Panel(rows, quantiles)


def draw_reconstructions(panel: Panel, names: GroupNames) -> Figure:
    """A grid of pictures: rows are inputs and training sets, columns are images from easy (left) to hard (right)."""
    columns = max(len(row.pictures) for row in panel.rows)
    groups = list(dict.fromkeys(row.group for row in panel.rows))
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
            previous, style = row.group, GROUPS[row.group]
            grid.plot(0.1, top - 0.12, style.marker, color=style.colour, markersize=7)
            grid.text(0.24, top - 0.12, f"{getattr(names, row.group)} test images", va="center", fontweight="bold")
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


def reconstruction_text(panel: Panel, names: GroupNames, synthetic: bool) -> FigureText:
    """Title, caption and alternative text; says by which rule the pictures were chosen."""
    groups = list(panel.quantiles)
    sets = list(dict.fromkeys(row.label.replace("\n", ", ") for row in panel.rows if row.label != "input"))
    who = " and ".join(getattr(names, group) for group in groups)
    counts = " and ".join(f"{len(panel.quantiles[group])} {group}" for group in groups)
    what = "generated phantoms" if synthetic else "photographs of patients"
    models = "training sets " + "; ".join(sets) if len(sets) > 1 else f"training set {sets[0]}"
    return FigureText(
        f"Reconstructions of {who}",
        f"Test images ({what}) of run 0 and their reconstructions by the models of {models}: {counts} images. "
        "Chosen by rule, not by hand: the images of each group whose error, averaged over the training sets, has the "
        "rank above the column (50 % is the median), from easy (left) to hard (right). Compare sharpness and colour "
        "with the input above.",
        f"Grid of test images of {who} with, below each input, its reconstruction by the models of {models}.",
        pictures=True,
    )
