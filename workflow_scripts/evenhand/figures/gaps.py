"""The gap between the test groups per training set, with intervals and, where declared, the margin of equivalence."""

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from evenhand.figures.common import Declared, Drawing, FigureText, Given, GroupNames
from evenhand.figures.group_boxes import METRICS
from evenhand.figures.intervals import draw_intervals, ordered_sets, set_axis, set_names
from evenhand.figures.style import FAINT, INK, MUTED, PAGE_WIDTH, PURPLE, new_figure, percent

FIGURES: Declared = {"gaps": {"place": 20, "label": "gap between the groups", "section": "Results", "files": ["gaps"]}}

COLUMNS = (
    *("train_set", "dark_share", "metric", "n_runs", "n_test", "ratio", "gap", "ci_low", "ci_high"),
    *("naive_low", "naive_high", "margin", "shared", "shared_low", "shared_high"),
)


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    data = gap_data(given.table("gaps", COLUMNS))
    return Drawing(gap_text(data, given.groups), lambda: draw_gaps(data))


def gap_data(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `METRICS` in the order of the figure: by metric, then dark share, then name.

    Args:
        table: columns `COLUMNS`, one row per training set and metric; gap is dark minus light.

    Returns:
        `COLUMNS` with `estimate` for the gap, and position.
    """
    rows = table[table["metric"].isin(list(METRICS))].rename(columns={"gap": "estimate"})
    rows = rows.merge(ordered_sets(rows), on=["train_set", "dark_share"], validate="many_to_one")
    order = rows["metric"].map({metric: rank for rank, metric in enumerate(METRICS)})
    return rows.assign(order=order).sort_values(["order", "position"], ignore_index=True).drop(columns="order")


def draw_gaps(data: pd.DataFrame) -> Figure:
    """One panel per metric: mean gap with its corrected interval, the naive one beside it, the line of no gap.

    The thin line is the interval that allows for the training images that runs share.
    """
    figure = new_figure(PAGE_WIDTH, 3.55)
    metrics = list(dict.fromkeys(data["metric"]))
    layout = figure.add_gridspec(2, len(metrics), height_ratios=[0.45, 3.0])
    legend = figure.add_subplot(layout[0, :])
    legend.set_axis_off()
    handles: list[Artist] = [
        Line2D([], [], marker="o", color=PURPLE, markeredgecolor=INK, label="gap with corrected interval"),
        Line2D([], [], color=PURPLE, linewidth=0.8, label="all differences from shared images"),
        Line2D([], [], color=FAINT, linewidth=2, label="naive interval"),
    ]
    for column, metric in enumerate(metrics):
        axes = figure.add_subplot(layout[1, column])
        rows = data[data["metric"] == metric]
        axes.axhline(0, color=MUTED, linewidth=0.8, linestyle="--")
        axes.vlines(rows["position"] + 0.15, rows["naive_low"], rows["naive_high"], color=FAINT, linewidth=2)
        margin = rows.dropna(subset="margin")
        for position, half in zip(margin["position"], margin["margin"], strict=True):
            axes.fill_between([position - 0.4, position + 0.4], -half, half, color=FAINT, alpha=0.35, linewidth=0)
        known = rows[np.isfinite(rows["shared_high"])]
        axes.vlines(known["position"], known["shared_low"], known["shared_high"], color=PURPLE, linewidth=0.8)
        draw_intervals(axes, rows["position"], rows, PURPLE, "o")
        set_axis(axes, ordered_sets(rows))
        axes.set_ylabel(f"gap, dark − light\n{METRICS[metric][1]}")  # noqa: RUF001 - a minus sign
    if data["margin"].notna().any():
        handles.append(Patch(color=FAINT, alpha=0.35, label="margin declared as no difference"))
    legend.legend(handles=handles, loc="center", ncols=2)
    return figure


def gap_text(data: pd.DataFrame, names: GroupNames) -> FigureText:
    """Title, caption and alternative text; the caption gives gap and interval of the error per training set."""
    rows = data[data["metric"] == "mse"]
    found = [
        f"{name} {gap:+.3g}" + ("" if pd.isna(low) else f" ({low:.3g} to {high:.3g})")
        for name, gap, low, high in zip(set_names(rows), rows["estimate"], rows["ci_low"], rows["ci_high"], strict=True)
    ]
    shares = ", ".join(
        f"{percent(round(share, 2))} under {name}"
        for name, share in zip(rows["train_set"], rows["shared"], strict=True)
        if pd.notna(share)
    )
    overlap = (
        "Both take a model's error to depend little on which images it was trained on. Two runs share part of their "
        f"training images ({shares}), and what these do to the error looks like a property of the training set; the "
        "thin lines hold even if all that runs differ in came from there. "
    )
    return FigureText(
        "Gap between the groups by training set",
        f"Mean of {names.dark} minus mean of {names.light}, over {rows['n_runs'].max()} runs of "
        f"{rows['n_test'].max():,.0f} test images per group. Coloured bars are confidence intervals with the variance "
        "corrected for the overlap of runs (Nadeau and Bengio 2003); grey bars take runs for independent and are too "
        f"short. {overlap if shares else ''}Above 0 dark images have the larger value. Where a grey area "
        f"is drawn, a gap inside it was declared to be no difference. Error gap: {'; '.join(found)}.",
        f"Gap between dark and light test images by training set. Error gap: {'; '.join(found)}.",
    )
