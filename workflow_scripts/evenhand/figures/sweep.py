"""Reconstruction error of the groups against the share of the compared group in training, and where they cross."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evenhand.evaluation.measures import MEASURES
from evenhand.figures.common import Declared, Drawing, FigureText, Given, by_pair
from evenhand.figures.panels import counted, mark_values
from evenhand.figures.style import (
    FAINT,
    INK,
    MUTED,
    PAGE_WIDTH,
    GroupStyle,
    capital,
    group_styles,
    new_figure,
    percent,
    span,
)
from evenhand.splits.groups import Group

FIGURES: Declared = {
    "sweep": {
        "place": 30,
        "label": "error against the {compared} share",
        "section": "Results",
        "files": ["runs", "sweep"],
        "needs": ["training"],
    }
}

COLUMNS = ("compared", "quantity", "metric", "estimate", "ci_low", "ci_high", "note")
METRIC = "mse"


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    runs = given.table("runs", ["train_set", "compared_share", "run", "group", "n_images", METRIC])
    trends = given.table("sweep", COLUMNS)
    trends = trends[trends["metric"] == METRIC]
    data = sweep_data(runs)
    return Drawing(sweep_text(data, trends, given.groups), lambda: draw_sweep(data, runs, trends, given.groups))


def sweep_data(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean over runs (and over sets of equal share) of the error, per share of the compared group and group.

    Args:
        runs: train_set, compared_share, run, group, mse, n_images.

    Returns:
        compared_share, group, mean, n_runs, n_images (test images of a run); by group and share.
    """
    by = runs.groupby(["group", "compared_share"], as_index=False)
    return by.agg(mean=(METRIC, "mean"), n_runs=("run", "nunique"), n_images=("n_images", "max"))


def draw_sweep(data: pd.DataFrame, runs: pd.DataFrame, trends: pd.DataFrame, groups: Sequence[Group]) -> Figure:
    """A panel per pair: means as lines, every run as a faint point, the crossing as a line with its interval."""
    reference, *others = groups
    styles = group_styles([group.name for group in groups])
    figure = new_figure(PAGE_WIDTH * 0.8, 3.6 * len(others))
    panels = figure.subplots(len(others), squeeze=False, sharex=True, sharey=True)[:, 0]
    for axes, group in zip(panels, others, strict=True):
        mine = trends[trends["compared"] == group.name]
        _draw_crossing(axes, mine[mine["quantity"] == "crossing"].iloc[0])
        for one in (reference, group):
            _draw_group(axes, runs[runs["group"] == one.name], data[data["group"] == one.name], styles[one.name], one)
        axes.set_ylabel(MEASURES[METRIC].label)
        axes.grid(axis="y")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    panels[-1].set_xlabel(f"{groups[1].name} share of the training set, %")
    return figure


def sweep_text(data: pd.DataFrame, trends: pd.DataFrame, groups: Sequence[Group]) -> FigureText:
    """Title, caption and alternative text; slopes and crossing come from the table of trends."""
    share = f"{groups[1].name} share"
    reference, *others = groups
    slopes, crossings = {}, {}
    for group in others:
        rows = {str(row["quantity"]): row for row in trends[trends["compared"] == group.name].to_dict("records")}
        for one in (reference, group):
            if f"slope of {one.name}" in rows:
                slope = rows[f"slope of {one.name}"]
                ends = f" ({slope['ci_low'] / 10:.2g} to {slope['ci_high'] / 10:.2g})"
                interval = "" if pd.isna(slope["ci_low"]) else ends
                slopes[one.name] = f"{one.title} {slope['estimate'] / 10:+.2g}{interval}"
        crossings[group.name] = _where(rows["crossing"], share)
    where = capital(by_pair(crossings))
    changes = f"Change of the error per 10 points of {share}: {'; '.join(slopes.values())}. " if slopes else ""
    return FigureText(
        f"Reconstruction error against the {share} of the training set",
        f"Mean squared error (pixels in [−1, 1]) of the test images; lines are means over "  # noqa: RUF001
        f"{data['n_runs'].max()} runs of {span(data['n_images'].tolist())} test images per group, faint points the "
        f"runs.\n\n{changes}{where}.",
        f"Line plot of the error of {'both' if len(groups) == 2 else 'all'} groups against the {share}. {where}.",
    )


def _where(crossing: Mapping[Hashable, Any], share: str) -> str:
    """Where the groups of a pair cross, from the row of that name; `share` is what the x axis is called."""
    note, estimate, low, high = (crossing[name] for name in ("note", "estimate", "ci_low", "ci_high"))
    several = isinstance(note, str) and "several crossings" in note
    where = "the groups cross more than once" if several else "the groups do not cross within the design"
    if pd.notna(estimate):
        where = f"the groups do equally well at a {share} of {percent(round(estimate, 2))}"
    if pd.notna(low):
        where += f"; the gap is not told from 0 between {percent(low)} and {percent(high)}"
    return f"{where} ({note})" if isinstance(note, str) and note else where


def _draw_crossing(axes: Axes, crossing: pd.Series) -> None:
    if pd.notna(crossing["ci_low"]):
        ends = 100 * crossing["ci_low"], 100 * crossing["ci_high"]
        axes.axvspan(*ends, color=FAINT, alpha=0.4, linewidth=0, label="gap not told from 0")
    if pd.notna(crossing["estimate"]):
        axes.axvline(
            100 * crossing["estimate"], color=MUTED, linestyle="--", linewidth=1, label="groups do equally well"
        )


def _draw_group(axes: Axes, points: pd.DataFrame, line: pd.DataFrame, style: GroupStyle, group: Group) -> None:
    """The runs of a group and the line through their means."""
    axes.plot(
        100 * points["compared_share"], points[METRIC], style.marker, color=style.colour, alpha=0.35, markersize=3
    )
    axes.plot(
        100 * line["compared_share"],
        line["mean"],
        marker=style.marker,
        color=style.colour,
        markeredgecolor=INK,
        linewidth=2,
        label=group.title,
    )
    texts = [f"{group.name}: {row['mean']:.4g}; {counted(row)}" for row in line.to_dict("records")]
    mark_values(axes, 100 * line["compared_share"], line["mean"], texts)
