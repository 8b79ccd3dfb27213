"""Generated images against held-out ones of each group: how like them they are, what they miss, what they copy."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from evenhand.figures.common import Declared, Drawing, FigureText, Given
from evenhand.figures.panels import (
    draw_intervals,
    legend_columns,
    ordered_sets,
    panel_grid,
    set_axis,
    set_names,
    side_by_side,
)
from evenhand.figures.style import MUTED, group_styles
from evenhand.splits.groups import Group

FIGURES: Declared = {
    "generated": {
        "place": 105,
        "label": "generated images against held-out ones",
        "section": "Results",
        "files": ["generated"],
        "needs": ["prior"],
    }
}

COLUMNS = (
    *("train_set", "compared_share", "sample_of", "group", "minus", "quantity", "estimate", "ci_low", "ci_high"),
    *("n_runs", "n_images", "extractor"),
)
QUANTITIES = {
    "kid": "KID\n(0: one population)",
    "precision": "precision: share generated\nthat looks real",
    "recall": "recall: share of real\nthat is generated",
    "density": "density of real images\naround generated ones",
    "coverage": "coverage: share of real\nwith a generated neighbour",
    "copies": "share of copies of\ntraining images",
}


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    data = generated_data(given.table("generated", COLUMNS))
    return Drawing(generated_text(data, given.groups), lambda: draw_generated(data, given.groups))


def generated_data(table: pd.DataFrame) -> pd.DataFrame:
    """The numbers of the groups, without their differences, with the position of the training set."""
    rows = table[table["minus"] == ""]
    rows = rows.merge(ordered_sets(rows), on=["train_set", "compared_share"], validate="many_to_one")
    return rows.sort_values(["quantity", "sample_of", "group", "position"], ignore_index=True)


def draw_generated(data: pd.DataFrame, groups: Sequence[Group]) -> Figure:
    """One panel per quantity, the groups side by side for each training set; grey beside each, training images."""
    labels = {("prior", group.name): group.title for group in groups}
    labels |= {("training", group.name): f"training images against {group.name}" for group in groups}
    lines = math.ceil(len(labels) / legend_columns([*labels.values()]))
    figure, panels, legend = panel_grid(len(QUANTITIES), 2.3, share=False, legend_rows=lines)
    styles, sets = group_styles([group.name for group in groups]), ordered_sets(data)
    beside = [(group.name, kind) for group in groups for kind in ("prior", "training")]
    for axes, (quantity, words) in zip(panels, QUANTITIES.items(), strict=True):
        for (group, kind), shift in zip(beside, side_by_side(len(beside), 0.7), strict=True):
            of = (data["quantity"] == quantity) & (data["group"] == group) & (data["sample_of"] == kind)
            style, rows = styles[group], data[of]
            colour = style.colour if kind == "prior" else MUTED
            draw_intervals(axes, rows["position"] + shift, rows, colour, style.marker, labels[kind, group])
        if quantity in ("kid", "copies"):
            axes.axhline(0, color=MUTED, linewidth=0.8, linestyle="--")
        set_axis(axes, sets, groups[1].name)
        axes.set_ylabel(words)
        axes.grid(axis="y")
    legend.legend(*panels[0].get_legend_handles_labels(), loc="center", ncols=math.ceil(len(labels) / lines))
    return figure


def generated_text(data: pd.DataFrame, groups: Sequence[Group]) -> FigureText:
    """Title, caption and alternative text; gives recall by group and training set."""
    recall = data[(data["quantity"] == "recall") & (data["sample_of"] == "prior")]
    names = set_names(ordered_sets(data), groups[1].name)
    found = []
    for group in groups:
        values = recall[recall["group"] == group.name].sort_values("position")["estimate"]
        numbers = ", ".join(
            f"{'not known' if pd.isna(value) else f'{value:.2f}'} {name}"
            for value, name in zip(values, names, strict=True)
        )
        found.append(f"{group.title}: {numbers}")
    n, runs = int(data["n_images"].max()), data["n_runs"].max()
    return FigureText(
        "Which group do generated images look like?",
        f"{n:,} images from the prior against {n:,} held-out images of each group, means over {runs} runs with "
        f"intervals over images and models. Features: {data['extractor'].iloc[0]}.\n\n"
        "The same images are held against each group. Precision and density: how much of them looks like the group; "
        "recall and coverage: how much of the group they reach. Copies: the share nearer to a training image of the "
        "group than 99 % of its held-out images are, less what chance makes of it. Grey: training images in place of "
        "generated ones, which is what a model that generates its training set would reach. Each number depends on how "
        f"many images there are. Recall, {'; '.join(found)}.",
        f"Generated images against held-out ones by group and training set. Recall, {'; '.join(found)}.",
    )
