"""Mean reconstruction error per condition, the compared group against the reference, per training set."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from evenhand.figures.common import (
    Declared,
    Drawing,
    FigureText,
    Given,
    by_pair,
    compared_images,
    counts_by_pair,
)
from evenhand.figures.panels import label_edges, label_points, mark_values, ordered_sets, panel_grid, set_names
from evenhand.figures.style import BLUE, FAINT, MUTED, SKY, joined, percent
from evenhand.splits.groups import Group, Pair, pairs_of

FIGURES: Declared = {
    "condition_mse": {
        "place": 50,
        "label": "reconstruction error per condition",
        "section": "Results",
        "files": ["pooled_conditions"],
        "settings": ["rare_below", "label_conditions"],
        "paper": 8,
    }
}

COLUMNS = ("train_set", "compared_share", "condition", "group", "n_images", "raw", "estimate", "ci_low", "ci_high")
ESTIMATES, COUNTS = ["estimate_reference", "estimate_compared"], ["n_images_reference", "n_images_compared"]


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    groups, rare, count = given.groups, given.settings["rare_below"], given.settings["label_conditions"]
    table = given.table("pooled_conditions", COLUMNS)
    data = condition_mse_data(table, pairs_of(groups), rare)
    one_group_only = {
        pair.compared: table.loc[table["group"].isin(pair), "condition"].nunique()
        - data.loc[data["compared"] == pair.compared, "condition"].nunique()
        for pair in pairs_of(groups)
    }
    return Drawing(
        condition_mse_text(data, groups, rare, one_group_only), lambda: draw_condition_mse(data, groups, rare, count)
    )


def condition_mse_data(table: pd.DataFrame, pairs: Sequence[Pair], rare_below: int) -> pd.DataFrame:
    """Conditions that occur in the test sets of both groups, one row per pair, training set and condition.

    Args:
        table: columns `COLUMNS`, one row per training set, condition and test group; n_images counts distinct images,
            raw is their mean, estimate the partially pooled mean. Where pooling was impossible the raw mean stands in.
        pairs: of groups.
        rare_below: a condition with fewer images than this in either group is `rare`.

    Returns:
        compared, train_set, compared_share, condition, then for each group of the pair n_images, raw, estimate, ci_low,
        ci_high with `_reference` or `_compared` at the end, and rare; ordered by pair, share, set, condition.
    """
    keys = ["compared_share", "train_set", "condition"]
    table = table.assign(estimate=table["estimate"].fillna(table["raw"]))
    found = []
    for pair in pairs:
        reference, compared = (table[table["group"] == group].drop(columns="group") for group in pair)
        both = reference.merge(
            compared, on=keys, how="inner", suffixes=("_reference", "_compared"), validate="one_to_one"
        )
        found.append(both.assign(compared=pair.compared).sort_values(keys))
    data = pd.concat(found, ignore_index=True)
    return data.assign(rare=data[COUNTS].min(axis=1) < rare_below)


def marker_area(data: pd.DataFrame) -> pd.Series:
    """Marker area in square points, proportional to the number of images of the smaller group, at least visible."""
    return (data[COUNTS].min(axis=1) * 1.2).clip(8, 120)


def scale(data: pd.DataFrame) -> tuple[float, float]:
    """Ends of the common logarithmic scale: all estimates, and the intervals of conditions that are not rare."""
    ends = data.loc[~data["rare"], ["ci_low_reference", "ci_low_compared", "ci_high_reference", "ci_high_compared"]]
    values = np.concatenate([data[ESTIMATES].to_numpy().ravel(), ends.to_numpy().ravel()])
    # An interval that reaches 0 is cut: a tenth of the smallest estimate is far enough.
    smallest = 0.1 * data[ESTIMATES].to_numpy().min()
    values = np.log(values[np.isfinite(values)].clip(smallest))
    margin = 0.06 * (values.max() - values.min()) or 0.1
    return float(np.exp(values.min() - margin)), float(np.exp(values.max() + margin))


def draw_condition_mse(data: pd.DataFrame, groups: Sequence[Group], rare_below: int, label_count: int) -> Figure:
    """For each pair one square panel per training set on common scales with the line of equal error.

    Conditions with enough images are coloured, with intervals; rare ones are pale. Raw means are small grey points;
    one outside the scale is drawn at its edge as a triangle.
    """
    sets = ordered_sets(data)
    reference, *others = groups
    legend_columns = 4 if len(sets) > 1 else 2  # a single panel is narrower than the page
    columns = 3 if len(sets) <= 6 else 4
    figure, panels, legend = panel_grid(len(sets), None, columns, legend_rows=4 // legend_columns, blocks=len(others))
    ends = scale(data)
    drawn: list[pd.DataFrame] = []
    for group in others:
        for name, share in zip(sets["train_set"], sets["compared_share"], strict=True):
            axes = panels[len(drawn)]
            panel = data[(data["train_set"] == name) & (data["compared"] == group.name)]
            _draw_panel(axes, panel, ends)
            axes.set_title(f"{name}, {percent(share)} {groups[1].name}")
            drawn.append(panel)
    label_edges(panels, len(others))
    for axes, group in zip(panels[:: len(sets)], others, strict=True):
        axes.set_ylabel(f"mean squared error,\n{group.title}")
    figure.supxlabel(f"mean squared error, {reference.title}", fontsize="medium")
    handles = [
        Line2D([], [], color=BLUE, linestyle="", marker="o", label=f"condition, {rare_below} or more images per group"),
        Line2D([], [], color=FAINT, linestyle="", marker="o", label="fewer"),
        Line2D([], [], color=MUTED, linestyle="", marker="o", markersize=2, label="raw mean"),
        Line2D([], [], linestyle="--", color=MUTED, label="equal error"),
    ]
    legend.legend(handles=handles, loc="center", ncols=legend_columns, columnspacing=1.2)
    for axes, panel in zip(panels, drawn, strict=True):
        # Only conditions with enough images are named; the others follow as places to keep free.
        named = panel.assign(distance=np.abs(np.log(panel["estimate_compared"] / panel["estimate_reference"])))
        named = named.sort_values(["rare", "distance", "condition"], ascending=[True, False, True])
        names = named.loc[~named["rare"], "condition"].head(label_count)
        label_points(axes, named[ESTIMATES].to_numpy(np.float64), names.tolist())
    return figure


def condition_mse_text(
    data: pd.DataFrame, groups: Sequence[Group], rare_below: int, one_group_only: dict[str, int]
) -> FigureText:
    """Title, caption and alternative text.

    Args:
        data: as `condition_mse_data` returns them.
        groups: of the study.
        rare_below: as there.
        one_group_only: by compared group, the conditions without a test image in one of the groups of the pair.
    """
    reference, *others = groups
    sets = ordered_sets(data)
    above, images, conditions, rare = {}, {}, {}, {}
    for group in others:
        mine = data[data["compared"] == group.name]
        sentences = []
        for name, label in zip(sets["train_set"], set_names(sets, groups[1].name), strict=True):
            enough = mine[(mine["train_set"] == name) & ~mine["rare"]]
            if len(enough):
                higher = int((enough["estimate_compared"] > enough["estimate_reference"]).sum())
                sentences.append(f"{label}: {higher} of {len(enough)}")
        above[group.name] = "; ".join(sentences) or "no condition has that many"
        first = mine.loc[mine["train_set"] == sets["train_set"].iloc[0], COUNTS].sum()
        images[group.name] = f"{first.iloc[0]:,} {reference.name} and {first.iloc[1]:,} {group.name}"
        conditions[group.name] = str(mine["condition"].nunique())
        rare[group.name] = str(mine.loc[mine["rare"], "condition"].nunique())
    alone = counts_by_pair({name: str(count) for name, count in one_group_only.items()})
    return FigureText(
        "Reconstruction error per condition",
        f"Mean squared error of {counts_by_pair(conditions)} conditions, {', or '.join(images.values())} test images. "
        f"Above the dashed line {compared_images(groups)} have the larger error.\n\n"
        f"Pixels in [−1, 1]; {reference.title} (x) against "  # noqa: RUF001
        f"{joined([group.title for group in others], 'or')} (y) on logarithmic scales, one panel per training "
        f"set{' and compared group' if len(others) > 1 else ''}. Estimates are partially pooled: rare "
        f"conditions are drawn towards the mean of all, with "
        "confidence intervals; small grey points are the raw means. Marker area grows with the number of distinct test "
        f"images of the smaller group; {counts_by_pair(rare)} conditions with fewer than {rare_below} images in a "
        f"group are pale and say little each. {alone} conditions occur in the test sets of one group only and cannot "
        f"be drawn. {by_pair(above, 'Conditions above the line, of those with enough images')}.",
        f"Scatter plots of mean squared error of {counts_by_pair(conditions)} conditions, {reference.name} against "
        f"{joined([group.name for group in others])}; {counts_by_pair(rare)} have fewer than {rare_below} images in a "
        f"group. {by_pair(above, 'Above the line of equality, of the others')}.",
    )


def _draw_panel(axes: Axes, panel: pd.DataFrame, ends: tuple[float, float]) -> None:
    """The conditions of one pair and training set, on scales with these ends."""
    low, high = ends
    axes.plot([low, high], [low, high], color=MUTED, linewidth=0.8, linestyle="--", zorder=1)
    raw = panel[["raw_reference", "raw_compared"]].to_numpy()
    inside = ((raw >= low) & (raw <= high)).all(axis=1)
    beyond = raw[~inside].clip(low, high)
    axes.scatter(raw[inside, 0], raw[inside, 1], s=3, color=MUTED, linewidth=0, zorder=1.5)
    axes.scatter(beyond[:, 0], beyond[:, 1], s=12, marker="^", color=FAINT, clip_on=False, zorder=4)
    enough = panel[~panel["rare"]]
    x, y = (enough[column] for column in ESTIMATES)
    left, below = (enough[column].clip(lower=low) for column in ("ci_low_reference", "ci_low_compared"))
    axes.hlines(y, left, enough["ci_high_reference"], color=SKY, linewidth=0.7, zorder=1.8)
    axes.vlines(x, below, enough["ci_high_compared"], color=SKY, linewidth=0.7, zorder=1.8)
    for rare, colour in ((True, FAINT), (False, BLUE)):
        some = panel[panel["rare"] == rare]
        axes.scatter(
            some["estimate_reference"],
            some["estimate_compared"],
            s=marker_area(some),
            color=colour,
            alpha=0.8,
            edgecolor="white",
            linewidth=0.4,
            zorder=2 + (not rare),
        )
    texts = [
        f"{row.condition}: {row.estimate_reference:.3g} (x), {row.estimate_compared:.3g} (y); "
        f"{row.n_images_reference:,.0f} and {row.n_images_compared:,.0f} images"
        for row in panel.itertuples()
    ]
    mark_values(axes, panel["estimate_reference"], panel["estimate_compared"], texts)
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    axes.set_box_aspect(1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
