"""Reconstruction error of both groups against the dark share of the training set, and where the two cross."""

import pandas as pd
from matplotlib.figure import Figure

from evenhand.figures.common import Declared, Drawing, FigureText, Given, GroupNames
from evenhand.figures.group_boxes import METRICS
from evenhand.figures.style import FAINT, GROUPS, INK, MUTED, PAGE_WIDTH, new_figure, percent, span

FIGURES: Declared = {
    "sweep": {"place": 30, "label": "error against the dark share", "section": "Results", "files": ["runs", "sweep"]}
}

COLUMNS = ("quantity", "metric", "estimate", "ci_low", "ci_high", "note")
METRIC = "mse"


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    runs = given.table("runs", ["train_set", "dark_share", "run", "group", "n_images", METRIC])
    trends = given.table("sweep", COLUMNS)
    trends = trends[trends["metric"] == METRIC]
    data = sweep_data(runs)
    return Drawing(sweep_text(data, trends, given.groups), lambda: draw_sweep(data, runs, trends, given.groups))


def sweep_data(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean over runs (and over sets of equal share) of the error, per dark share and group.

    Args:
        runs: train_set, dark_share, run, group, mse, n_images.

    Returns:
        dark_share, group, mean, n_runs, n_images (test images of a run); by group and share.
    """
    by = runs.groupby(["group", "dark_share"], as_index=False)
    return by.agg(mean=(METRIC, "mean"), n_runs=("run", "nunique"), n_images=("n_images", "max"))


def draw_sweep(data: pd.DataFrame, runs: pd.DataFrame, trends: pd.DataFrame, names: GroupNames) -> Figure:
    """A line per group through the means, every run as a faint point, the crossing as a line with its interval."""
    figure = new_figure(PAGE_WIDTH * 0.8, 3.6)
    axes = figure.add_subplot()
    crossing = trends[trends["quantity"] == "crossing"].iloc[0]
    if pd.notna(crossing["ci_low"]):
        ends = 100 * crossing["ci_low"], 100 * crossing["ci_high"]
        axes.axvspan(*ends, color=FAINT, alpha=0.4, linewidth=0, label="gap not told from 0")
    if pd.notna(crossing["estimate"]):
        axes.axvline(
            100 * crossing["estimate"], color=MUTED, linestyle="--", linewidth=1, label="groups do equally well"
        )
    for group, style in GROUPS.items():
        points, line = runs[runs["group"] == group], data[data["group"] == group]
        axes.plot(
            100 * points["dark_share"], points[METRIC], style.marker, color=style.colour, alpha=0.35, markersize=3
        )
        axes.plot(
            100 * line["dark_share"],
            line["mean"],
            marker=style.marker,
            color=style.colour,
            markeredgecolor=INK,
            linewidth=2,
            label=getattr(names, group),
        )
    axes.set_xlabel("dark share of the training set, %")
    axes.set_ylabel(METRICS[METRIC][1])
    axes.grid(axis="y")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return figure


def sweep_text(data: pd.DataFrame, trends: pd.DataFrame, names: GroupNames) -> FigureText:
    """Title, caption and alternative text; slopes and crossing come from the table of trends."""
    rows = {str(row["quantity"]): row for row in trends.to_dict("records")}
    found = []
    for group in GROUPS:
        if f"slope of {group}" in rows:
            slope = rows[f"slope of {group}"]
            interval = (
                "" if pd.isna(slope["ci_low"]) else f" ({slope['ci_low'] / 10:.2g} to {slope['ci_high'] / 10:.2g})"
            )
            found.append(f"{getattr(names, group)} {slope['estimate'] / 10:+.2g}{interval}")
    crossing = rows["crossing"]
    several = isinstance(crossing["note"], str) and crossing["note"].startswith("several")
    where = "The groups cross more than once" if several else "The groups do not cross within the design"
    if pd.notna(crossing["estimate"]):
        where = f"The groups do equally well at a dark share of {percent(round(crossing['estimate'], 2))}"
    if pd.notna(crossing["ci_low"]):
        low, high = percent(crossing["ci_low"]), percent(crossing["ci_high"])
        where += f"; the gap is not told from 0 between {low} and {high}"
    if isinstance(crossing["note"], str) and crossing["note"]:
        where += f" ({crossing['note']})"
    slopes = f"Change of the error per 10 points of dark share: {'; '.join(found)}. " if found else ""
    return FigureText(
        "Reconstruction error against the dark share of the training set",
        f"Mean squared error (pixels in [−1, 1]) of the test images; lines are means over "  # noqa: RUF001
        f"{data['n_runs'].max()} runs of {span(data['n_images'].tolist())} test images per group, faint points the "
        f"runs. {slopes}{where}.",
        f"Line plot of the error of both groups against the dark share. {where}.",
    )
