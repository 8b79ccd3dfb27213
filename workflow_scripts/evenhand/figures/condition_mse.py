"""Figure 8 of the paper: mean reconstruction error per skin condition, light against dark, per training set."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from evenhand.figures.common import Declared, Drawing, FigureText, Given, GroupNames
from evenhand.figures.grid import panel_grid
from evenhand.figures.intervals import ordered_sets, set_names
from evenhand.figures.labels import label_points
from evenhand.figures.style import BLUE, FAINT, MUTED, SKY, percent

FIGURES: Declared = {
    "condition_mse": {
        "place": 50,
        "label": "8 reconstruction error per condition",
        "section": "Results",
        "files": ["pooled_conditions"],
        "settings": ["rare_below", "label_conditions"],
    }
}

COLUMNS = ("train_set", "dark_share", "label", "group", "n_images", "raw", "estimate", "ci_low", "ci_high")


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    rare, count = given.settings["rare_below"], given.settings["label_conditions"]
    table = given.table("pooled_conditions", COLUMNS)
    data = condition_mse_data(table, rare)
    one_group_only = table["label"].nunique() - data["label"].nunique()
    return Drawing(
        condition_mse_text(data, given.groups, rare, one_group_only),
        lambda: draw_condition_mse(data, given.groups, rare, count),
    )


def condition_mse_data(table: pd.DataFrame, rare_below: int) -> pd.DataFrame:
    """Conditions that occur in the test sets of both groups, one row per training set and condition.

    Args:
        table: columns `COLUMNS`, one row per training set, condition and test group; n_images counts distinct images,
            raw is their mean, estimate the partially pooled mean. Where pooling was impossible the raw mean stands in.
        rare_below: a condition with fewer images than this in either group is `rare`.

    Returns:
        train_set, dark_share, label, then for each group n_images, raw, estimate, ci_low, ci_high with `_light` or
        `_dark` at the end, and rare; ordered by dark share, set, label.
    """
    keys = ["dark_share", "train_set", "label"]
    table = table.assign(estimate=table["estimate"].fillna(table["raw"]))
    light, dark = (table[table["group"] == group].drop(columns="group") for group in ("light", "dark"))
    data = light.merge(dark, on=keys, how="inner", suffixes=("_light", "_dark"), validate="one_to_one")
    data["rare"] = data[["n_images_light", "n_images_dark"]].min(axis=1) < rare_below
    return data.sort_values(keys, ignore_index=True)


def marker_area(data: pd.DataFrame) -> pd.Series:
    """Marker area in square points, proportional to the number of images of the smaller group, at least visible."""
    return (data[["n_images_light", "n_images_dark"]].min(axis=1) * 1.2).clip(8, 120)


def scale(data: pd.DataFrame) -> tuple[float, float]:
    """Ends of the common logarithmic scale: all estimates, and the intervals of conditions that are not rare."""
    ends = data.loc[~data["rare"], ["ci_low_light", "ci_low_dark", "ci_high_light", "ci_high_dark"]]
    values = np.concatenate([data[["estimate_light", "estimate_dark"]].to_numpy().ravel(), ends.to_numpy().ravel()])
    # An interval that reaches 0 is cut: a tenth of the smallest estimate is far enough.
    smallest = 0.1 * data[["estimate_light", "estimate_dark"]].to_numpy().min()
    values = np.log(values[np.isfinite(values)].clip(smallest))
    margin = 0.06 * (values.max() - values.min()) or 0.1
    return float(np.exp(values.min() - margin)), float(np.exp(values.max() + margin))


def draw_condition_mse(data: pd.DataFrame, names: GroupNames, rare_below: int, label_count: int) -> Figure:
    """One square panel per training set on common scales with the line of equal error.

    Conditions with enough images are coloured, with intervals; rare ones are pale. Raw means are small grey points;
    one outside the scale is drawn at its edge as a triangle.
    """
    sets = ordered_sets(data)
    legend_columns = 4 if len(sets) > 1 else 2  # a single panel is narrower than the page
    figure, panels, legend = panel_grid(len(sets), None, 3 if len(sets) <= 6 else 4, legend_rows=4 // legend_columns)
    low, high = scale(data)
    for axes, name, share in zip(panels, sets["train_set"], sets["dark_share"], strict=True):
        panel = data[data["train_set"] == name]
        axes.plot([low, high], [low, high], color=MUTED, linewidth=0.8, linestyle="--", zorder=1)
        raw = panel[["raw_light", "raw_dark"]].to_numpy()
        inside = ((raw >= low) & (raw <= high)).all(axis=1)
        beyond = raw[~inside].clip(low, high)
        axes.scatter(raw[inside, 0], raw[inside, 1], s=3, color=MUTED, linewidth=0, zorder=1.5)
        axes.scatter(beyond[:, 0], beyond[:, 1], s=12, marker="^", color=FAINT, clip_on=False, zorder=4)
        enough = panel[~panel["rare"]]
        light, dark = enough["estimate_light"], enough["estimate_dark"]
        lowest = enough[["ci_low_light", "ci_low_dark"]].clip(lower=low)
        axes.hlines(dark, lowest["ci_low_light"], enough["ci_high_light"], color=SKY, linewidth=0.7, zorder=1.8)
        axes.vlines(light, lowest["ci_low_dark"], enough["ci_high_dark"], color=SKY, linewidth=0.7, zorder=1.8)
        for rare, colour in ((True, FAINT), (False, BLUE)):
            some = panel[panel["rare"] == rare]
            axes.scatter(
                some["estimate_light"],
                some["estimate_dark"],
                s=marker_area(some),
                color=colour,
                alpha=0.8,
                edgecolor="white",
                linewidth=0.4,
                zorder=2 + (not rare),
            )
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
        axes.set_box_aspect(1)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        axes.set_title(f"{name}, {percent(share)} dark")
        axes.label_outer()
    panels[0].set_ylabel(f"mean squared error,\n{names.dark}")
    figure.supxlabel(f"mean squared error, {names.light}", fontsize="medium")
    handles = [
        Line2D([], [], color=BLUE, linestyle="", marker="o", label=f"condition, {rare_below} or more images per group"),
        Line2D([], [], color=FAINT, linestyle="", marker="o", label="fewer"),
        Line2D([], [], color=MUTED, linestyle="", marker="o", markersize=2, label="raw mean"),
        Line2D([], [], linestyle="--", color=MUTED, label="equal error"),
    ]
    legend.legend(handles=handles, loc="center", ncols=legend_columns, columnspacing=1.2)
    for axes, name in zip(panels, sets["train_set"], strict=True):
        panel = data[data["train_set"] == name]
        panel = panel.assign(distance=np.log(panel["estimate_dark"] / panel["estimate_light"]).abs())
        # Only conditions with enough images are named; the others follow as places to keep free.
        panel = panel.sort_values(["rare", "distance", "label"], ascending=[True, False, True])
        named = panel.loc[~panel["rare"], "label"].head(label_count)
        label_points(axes, panel[["estimate_light", "estimate_dark"]].to_numpy(np.float64), named.tolist())
    return figure


def condition_mse_text(data: pd.DataFrame, names: GroupNames, rare_below: int, one_group_only: int) -> FigureText:
    """Title, caption and alternative text; `one_group_only` conditions have no test image in one of the groups."""
    sentences = []
    sets = ordered_sets(data)
    for name, label in zip(sets["train_set"], set_names(sets), strict=True):
        panel = data[data["train_set"] == name]
        enough = panel[~panel["rare"]]
        above = int((enough["estimate_dark"] > enough["estimate_light"]).sum())
        if len(enough):
            sentences.append(f"{label}: {above} of {len(enough)}")
    conditions = data["label"].nunique()
    rare = data.loc[data["rare"], "label"].nunique()
    counts = "; ".join(sentences) or "no condition has that many"
    first = data[data["train_set"] == sets["train_set"].iloc[0]]
    images = f"{first['n_images_light'].sum():,} light and {first['n_images_dark'].sum():,} dark test images"
    return FigureText(
        "Reconstruction error per condition",
        f"Mean squared error (pixels in [−1, 1]) of {images} with {conditions} skin conditions, "  # noqa: RUF001
        f"{names.light} (x) against {names.dark} (y) on logarithmic scales, one panel per training set. Above the "
        "dashed line dark images have the larger error. Estimates are partially pooled: rare conditions are drawn "
        "towards the mean of all, "
        "with confidence intervals; small grey points are the raw means. Marker area grows with the number of distinct "
        f"test images of the smaller group; {rare} conditions with fewer than {rare_below} images in a group are pale "
        f"and say little each. {one_group_only} conditions occur in the test sets of one group only and cannot be "
        f"drawn. Conditions above the line, of those with enough images: {counts}.",
        f"Scatter plots of mean squared error of {conditions} conditions, light against dark; {rare} have fewer than "
        f"{rare_below} images in a group. Above the line of equality, of the others: {counts}.",
    )
