"""Near-duplicates: what each threshold finds, how many test images have one in training, pairs near the threshold."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evenhand.figures.common import Declared, Drawing, FigureText, Given
from evenhand.figures.panels import mark_values
from evenhand.figures.reconstructions import read_examples
from evenhand.figures.style import (
    BLUE,
    GREEN,
    INK,
    PAGE_WIDTH,
    SMALL,
    group_styles,
    joined,
    new_figure,
    percent,
)
from evenhand.splits.groups import Group

FIGURES: Declared = {
    "near_duplicates": {
        "place": 135,
        "label": "near-duplicates by threshold, and in training",
        "section": "Data",
        "files": ["duplicates_by_threshold", "leakage"],
    },
    "duplicate_pairs": {
        "place": 190,
        "label": "near-duplicates nearest to the threshold",
        "section": "Pictures",
        "files": ["duplicate_pairs"],
    },
}

THRESHOLD_COLUMNS = ("method", "threshold", "links", "new_links", "estimated_true", "new_estimated_true", "chosen")
LEAKAGE_COLUMNS = ("run", "train_set", "group", "n", "with_copy", "share")
UNITS = {"features": "features or more", "hash": "bits or fewer"}
AXES = {"features": "features in agreement, at least", "hash": "bits in which hashes differ, at most"}
Arrays = Mapping[str, npt.NDArray[np.generic]]


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    if given.name == "duplicate_pairs":
        arrays = read_examples(given.files["duplicate_pairs"])
        return Drawing(pairs_text(arrays, given.synthetic), lambda: draw_pairs(arrays))
    found = given.table("duplicates_by_threshold", THRESHOLD_COLUMNS)
    leakage = given.table("leakage", LEAKAGE_COLUMNS)
    return Drawing(duplicates_text(found, leakage), lambda: draw_duplicates(found, leakage, given.groups))


def draw_duplicates(found: pd.DataFrame, leakage: pd.DataFrame, groups: Sequence[Group]) -> Figure:
    """Links and the part of them that is believed, against the threshold, by method; leakage of each run."""
    methods = [method for method in AXES if (found["method"] == method).any()]
    figure = new_figure(PAGE_WIDTH, 3.2)
    panels = figure.subplots(1, len(methods) + 1)
    for axes, method in zip(panels, methods, strict=False):
        _draw_thresholds(axes, found[found["method"] == method], method)
    axes, styles = panels[-1], group_styles([group.name for group in groups])
    sets = leakage["train_set"].drop_duplicates().tolist()
    for number, (group, rows) in enumerate(leakage.groupby("group", sort=False)):
        shift = 0.24 * (number - (leakage["group"].nunique() - 1) / 2)
        style = styles[str(group)]
        places = rows["train_set"].map(sets.index) + shift
        axes.plot(places, rows["share"], style.marker, color=style.colour, alpha=0.55, markersize=4, label=group)
        texts = [
            f"{row['train_set']}, {group}, run {row['run']}: {percent(round(row['share'], 4))} of {row['n']:,} images"
            for row in rows.to_dict("records")
        ]
        mark_values(axes, places, rows["share"], texts)
        means = rows.groupby("train_set", sort=False)["share"].mean()
        axes.plot([sets.index(name) + shift for name in means.index], means, "_", color=INK, markersize=11)
    axes.set_xticks(range(len(sets)), sets)
    axes.set_xlim(-0.6, len(sets) - 0.4)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: percent(round(value, 3)))
    axes.set_xlabel("training set")
    axes.set_ylabel("test images with one in it")
    axes.legend(loc="best")
    return figure


def duplicates_text(found: pd.DataFrame, leakage: pd.DataFrame) -> FigureText:
    """Title, caption and alternative text."""
    chosen = found[found["chosen"] == 1]
    links = joined(
        [
            f"{links:,} at {threshold:g} {UNITS[method]}"
            for method, threshold, links in chosen[["method", "threshold", "links"]].itertuples(index=False)
        ]
    )
    means = leakage.groupby(["train_set", "group"], sort=False, as_index=False)["share"].mean()
    shares = [
        f"{train_set}, {group}: {percent(round(share, 3))}"
        for train_set, group, share in means[["train_set", "group", "share"]].itertuples(index=False)
    ]
    return FigureText(
        "Near-duplicates by threshold, and in training",
        f"Links between photographs at each threshold (left), and the share of the {leakage['n'].max():,} test images "
        "of a group with a near-duplicate in the training set of their run (right).\n\n"
        "Green, the part of the links that joins copies or pictures of one "
        f"series, as estimated from how many have the same label; dashed, the threshold in use: {links}. Right: a "
        f"point for each of {leakage['run'].nunique()} runs, a line for the mean: {'; '.join(shares)}. Where "
        f"splits.leakage keeps near-duplicates on one side it is none.",
        f"Links found by threshold, {links}. Test images with a near-duplicate in training: {'; '.join(shares)}.",
    )


def draw_pairs(arrays: Arrays) -> Figure:
    """Pairs side by side, those that count above, those that do not below."""
    counts = np.asarray(arrays["counts"], bool)
    rows = [np.flatnonzero(counts), np.flatnonzero(~counts)]
    columns = max([3, *(len(row) for row in rows)])
    figure = new_figure(PAGE_WIDTH, 3.4)
    for panel, (row, heading) in enumerate(zip(rows, ["only just linked", "only just not linked"], strict=True)):
        for place, pair in enumerate(row):
            axes = figure.add_subplot(2, columns, panel * columns + place + 1)
            both = np.concatenate([arrays["first"][pair], arrays["second"][pair]], axis=1)
            axes.imshow(both.astype(np.uint8), interpolation="nearest")
            axes.set_axis_off()
            axes.text(
                0.5, -0.06, str(arrays["words"][pair]), ha="center", va="top", fontsize=SMALL, transform=axes.transAxes
            )
            if not place:
                axes.set_title(heading, loc="left", fontsize=SMALL)
    if not len(counts):
        figure.text(0.5, 0.5, "no two photographs come near the threshold", ha="center")
    return figure


def pairs_text(arrays: Arrays, synthetic: bool) -> FigureText:
    """Title, caption and alternative text."""
    counts = np.asarray(arrays["counts"], bool)
    what = "generated phantoms" if synthetic else "photographs of patients"
    number = f"{int(counts.sum())} that are linked and {int((~counts).sum())} that are not"
    return FigureText(
        "Near-duplicates nearest to the threshold",
        f"Pairs of {what} nearest to the threshold on either side, {number}, chosen by rule. Below: what was found. "
        "data/duplicate_links.csv names all pairs; data.duplicates.list and not_same take what a person knows better.",
        f"Pairs of {what} nearest to the threshold: {number}.",
        pictures=True,
    )


def _draw_thresholds(axes: Axes, rows: pd.DataFrame, method: str) -> None:
    rows = rows.sort_values("threshold")
    axes.plot(rows["threshold"], rows["links"], "o-", color=BLUE, markersize=4, label="links")
    believed = rows["links"] * rows["estimated_true"]
    axes.plot(rows["threshold"], believed, "s-", color=GREEN, markersize=4, label="estimated true")
    for threshold, links, true in zip(rows["threshold"], rows["links"], believed, strict=True):
        mark_values(axes, [threshold], [links], [f"{links:,} links at {threshold:g} {UNITS[method]}"])
        mark_values(axes, [threshold], [true], [f"{true:,.0f} of {links:,} estimated true at {threshold:g}"])
    for threshold in rows.loc[rows["chosen"] == 1, "threshold"]:
        axes.axvline(threshold, color=INK, linewidth=0.8, linestyle="--")
    if method == "features":
        axes.invert_xaxis()  # stricter on the left, as for bits
    axes.set_ylim(0, 1.1 * max(1, rows["links"].max()))
    axes.set_xlabel(AXES[method])
    axes.set_ylabel("pairs of photographs")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.legend(loc="best")
