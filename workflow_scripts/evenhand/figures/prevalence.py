"""Figure 7 of the paper: how common each skin condition is in the light and in the dark group, at three levels."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from evenhand.figures.common import Declared, Drawing, FigureText, Given, GroupNames
from evenhand.figures.labels import label_points
from evenhand.figures.style import BLUE, MUTED, PAGE_WIDTH, new_figure

FIGURES: Declared = {
    "prevalence": {
        "place": 120,
        "label": "7 condition prevalence",
        "section": "Data",
        "files": ["prevalence"],
        "settings": ["label_conditions"],
    }
}

COLUMNS = ("level", "condition", "n_light", "n_dark", "share_light", "share_dark")
LEVELS = ("three", "nine", "fine")


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    count = given.settings["label_conditions"]
    data = prevalence_data(given.table("prevalence", COLUMNS))
    return Drawing(prevalence_text(data, given.groups), lambda: draw_prevalence(data, given.groups, count))


def prevalence_data(table: pd.DataFrame) -> pd.DataFrame:
    """Conditions by level, the largest difference between the groups first (ties by name).

    Args:
        table: columns `COLUMNS`; shares are of all images of the group, in [0, 1].

    Returns:
        `COLUMNS` and difference (share_dark - share_light).
    """
    data = table.assign(
        difference=table["share_dark"] - table["share_light"],
        rank=table["level"].map({level: rank for rank, level in enumerate(LEVELS)}),
    )
    data = data.assign(size=data["difference"].abs())
    data = data.sort_values(["rank", "size", "condition"], ascending=[True, False, True], ignore_index=True)
    return data[[*COLUMNS, "difference"]]


def total_variation(data: pd.DataFrame) -> float:
    """Half the sum of absolute differences of shares: 0 for equal mixes, 1 for disjoint ones."""
    return float(data["difference"].abs().sum() / 2)


def draw_prevalence(data: pd.DataFrame, names: GroupNames, label_count: int) -> Figure:
    """One square panel per level: light share on x, dark share on y, the line of equal shares, outliers named."""
    figure = new_figure(PAGE_WIDTH, 2.75)
    levels = [level for level in LEVELS if (data["level"] == level).any()]
    panels = figure.subplots(1, len(levels), squeeze=False)[0]
    for axes, level in zip(panels, levels, strict=True):
        rows = data[data["level"] == level]
        limit = 1.12 * 100 * float(np.max(rows[["share_light", "share_dark"]].to_numpy()))
        axes.plot([0, limit], [0, limit], color=MUTED, linewidth=0.8, linestyle="--")
        axes.scatter(
            100 * rows["share_light"],
            100 * rows["share_dark"],
            s=26 if len(rows) < 20 else 14,
            color=BLUE,
            alpha=0.75,
            edgecolor="white",
            linewidth=0.4,
        )
        axes.set_xlim(-0.02 * limit, limit)
        axes.set_ylim(-0.02 * limit, limit)
        axes.set_box_aspect(1)
        axes.set_title(f"{len(rows)} conditions\ntotal variation {total_variation(rows):.2f}")
        axes.locator_params(nbins=5)
    panels[0].set_ylabel(f"% of images of\n{names.dark}")
    figure.supxlabel(f"% of images of {names.light}", fontsize="medium")
    for axes, level in zip(panels, levels, strict=True):
        rows = data[data["level"] == level]
        points = 100 * rows[["share_light", "share_dark"]].to_numpy()
        label_points(axes, points, rows["condition"].head(label_count).tolist())
    return figure


def prevalence_text(data: pd.DataFrame, names: GroupNames) -> FigureText:
    """Title, caption and alternative text of figure 7."""
    levels = [level for level in LEVELS if (data["level"] == level).any()]
    parts = {level: data[data["level"] == level] for level in levels}
    variation = ", ".join(f"{total_variation(rows):.2f} over {len(rows)} conditions" for rows in parts.values())
    finest = parts[levels[-1]]
    first = finest.iloc[0]
    return FigureText(
        "Condition prevalence in the two groups",
        f"Share of each skin condition among images of {names.light} (x, n = {finest['n_light'].sum():,}) and "
        f"{names.dark} (y, n = {finest['n_dark'].sum():,}), one panel per level of the label hierarchy. On the dashed "
        f"line a condition is equally common in both. Total variation, the share of images that would have to change "
        f"condition for the mixes to agree: {variation}. Largest difference at the finest level: {first['condition']}, "
        f"{100 * first['share_light']:.1f} % of light and {100 * first['share_dark']:.1f} % of dark images.",
        f"Scatter plots of condition prevalence, light against dark group. Total variation: {variation}.",
    )
