"""Figure 8 of the paper: mean reconstruction error per skin condition, light against dark, per training set."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fairgen.figures.common import FigureText, GroupNames
from fairgen.figures.labels import label_points
from fairgen.style import BLUE, FAINT, MUTED, PAGE_WIDTH, new_figure, percent

COLUMNS = ("train_set", "dark_share", "label", "group", "n_images", "mse")


def condition_mse_data(table: pd.DataFrame, rare_below: int) -> pd.DataFrame:
    """Conditions that occur in the test sets of both groups, one row per training set and condition.

    Args:
        table: columns `COLUMNS`, one row per training set, condition and test group; n_images counts distinct images.
        rare_below: a condition with fewer images than this in either group is `rare`.

    Returns:
        train_set, dark_share, label, n_light, n_dark, light, dark (mean MSE), rare; ordered by dark share, set, label.
    """
    keys = ["dark_share", "train_set", "label"]
    parts = [
        table[table["group"] == group].rename(columns={"mse": group, "n_images": f"n_{group}"})[
            [*keys, f"n_{group}", group]
        ]
        for group in ("light", "dark")
    ]
    data = parts[0].merge(parts[1], on=keys, how="inner", validate="one_to_one").sort_values(keys, ignore_index=True)
    data["rare"] = data[["n_light", "n_dark"]].min(axis=1) < rare_below
    return data[["train_set", "dark_share", "label", "n_light", "n_dark", "light", "dark", "rare"]]


def outside(data: pd.DataFrame, start: float, limit: float) -> pd.Series:
    """Which conditions lie beyond the square from `start` to `limit` in either group."""
    return (data[["light", "dark"]].max(axis=1) > limit) | (data[["light", "dark"]].min(axis=1) < start)


def marker_area(images: pd.Series) -> pd.Series:
    """Marker area in square points, proportional to the number of images of the smaller group, at least visible."""
    return (images * 1.2).clip(8, 120)


def draw_condition_mse(data: pd.DataFrame, names: GroupNames, rare_below: int, label_count: int) -> Figure:
    """One square panel per training set on common scales, the line of equal error, rare conditions muted."""
    sets = list(data[["train_set", "dark_share"]].drop_duplicates().itertuples(index=False, name=None))
    columns = min(len(sets), 3 if len(sets) <= 3 else 4)
    rows = math.ceil(len(sets) / columns)
    side = PAGE_WIDTH / max(columns, 2)
    figure = new_figure(max(side * columns, PAGE_WIDTH * 0.6), (side - 0.25) * rows + 0.9)
    legend_height = 0.3  # inches, in a row of its own above the panels
    layout = figure.add_gridspec(rows + 1, columns, height_ratios=[legend_height, *[side - 0.5] * rows])
    legend = figure.add_subplot(layout[0, :])
    legend.set_axis_off()
    grid = np.array([[figure.add_subplot(layout[1 + row, column]) for column in range(columns)] for row in range(rows)])
    common = data[~data["rare"]] if (~data["rare"]).any() else data
    # The scale is that of the conditions with enough images; a rare one beyond it is drawn at the edge as a triangle.
    limit = 1.1 * float(common[["light", "dark"]].to_numpy().max())
    start = 0.7 * float(common[["light", "dark"]].to_numpy().min())
    for axes, (name, share) in zip(grid.flat, sets, strict=False):
        panel = data[data["train_set"] == name]
        axes.plot([start, limit], [start, limit], color=MUTED, linewidth=0.8, linestyle="--", zorder=1)
        for rare, colour, alpha in ((True, FAINT, 0.9), (False, BLUE, 0.75)):
            some = panel[panel["rare"] == rare]
            beyond = outside(some, start, limit)
            area = marker_area(some[["n_light", "n_dark"]].min(axis=1))
            axes.scatter(
                some["light"][~beyond],
                some["dark"][~beyond],
                s=area[~beyond],
                color=colour,
                alpha=alpha,
                edgecolor="white",
                linewidth=0.4,
                zorder=2 + (not rare),
            )
            axes.scatter(
                some["light"][beyond].clip(start, limit),
                some["dark"][beyond].clip(start, limit),
                clip_on=False,
                s=16,
                marker="^",
                color=MUTED,
                zorder=4,
            )
        axes.set_xlim(start, limit)
        axes.set_ylim(start, limit)
        axes.set_box_aspect(1)
        axes.locator_params(nbins=4)
        axes.set_title(f"{name}, {percent(share)} dark")
        # Common scales: numbers at the left edge and under the lowest panel of each column are enough.
        axes.label_outer()
    for axes in grid.flat[len(sets) :]:
        axes.set_visible(False)
    figure.supxlabel(f"mean squared error, {names.light}", fontsize="medium")
    for axes in grid[:, 0]:
        axes.set_ylabel(f"mean squared error,\n{names.dark}")
    handles = [
        Line2D(
            [], [], linestyle="", marker="o", color=BLUE, label=f"condition, at least {rare_below} images per group"
        ),
        Line2D([], [], linestyle="", marker="o", color=FAINT, label="fewer"),
        Line2D([], [], linestyle="--", color=MUTED, label="equal error"),
    ]
    if outside(data, start, limit).any():
        handles.insert(2, Line2D([], [], linestyle="", marker="^", color=MUTED, label="beyond the scale"))
    legend.legend(handles=handles, loc="center", ncols=4)
    for axes, (name, _) in zip(grid.flat, sets, strict=False):
        panel = data[data["train_set"] == name]
        panel = panel.assign(distance=(panel["dark"] - panel["light"]).abs())
        # Only conditions with enough images are named; the others follow as places to keep free.
        panel = panel.sort_values(["rare", "distance", "label"], ascending=[True, False, True])
        named = panel.loc[~panel["rare"], "label"].head(label_count)
        label_points(axes, panel[["light", "dark"]].to_numpy(np.float64), named.tolist())
    return figure


def condition_mse_text(data: pd.DataFrame, names: GroupNames, rare_below: int, one_group_only: int) -> FigureText:
    """Title, caption and alternative text; `one_group_only` conditions have no test image in one of the groups."""
    sentences = []
    for name, share in data[["train_set", "dark_share"]].drop_duplicates().itertuples(index=False, name=None):
        panel = data[data["train_set"] == name]
        enough = panel[~panel["rare"]]
        above = int((enough["dark"] > enough["light"]).sum())
        sentences.append(f"{name} ({percent(share)} dark): {above} of {len(enough)}")
    conditions = data["label"].nunique()
    rare = data.loc[data["rare"], "label"].nunique()
    counts = "; ".join(sentences)
    return FigureText(
        "Reconstruction error per condition",
        f"Mean squared error (pixels in [−1, 1]) of test images with each of {conditions} skin conditions, "  # noqa: RUF001
        f"{names.light} (x) against {names.dark} (y), one panel per training set. Above the dashed line dark images "
        f"have the larger error. Marker area grows with the number of distinct test images of the smaller "
        f"group; {rare} conditions with fewer than {rare_below} images in a group are grey and say little each. "
        f"{one_group_only} conditions occur in the test sets of one group only and cannot be drawn. "
        f"Conditions above the line, of those with enough images: {counts}.",
        f"Scatter plots of mean squared error per condition, light against dark. Above the line of equality: {counts}.",
    )
