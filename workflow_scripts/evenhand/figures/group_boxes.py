"""Figures 3 and 6 of the paper: a metric by training set and test group, one point per run."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from evenhand.figures.common import Declared, Drawing, FigureText, Given, GroupNames
from evenhand.figures.intervals import ordered_sets, set_axis, set_names
from evenhand.figures.style import GROUPS, INK, PAGE_WIDTH, SMALL, new_figure, span

FIGURES: Declared = {
    "mse_boxes": {
        "place": 10,
        "label": "3 reconstruction error",
        "section": "Results",
        "files": ["runs"],
        "metric": "mse",
    },
    "latent_std_boxes": {
        "place": 80,
        "label": "6 latent standard deviation",
        "section": "Results",
        "files": ["runs"],
        "metric": "latent_std",
    },
}

METRICS = {
    "mse": ("Reconstruction error", "mean squared error (pixels in [−1, 1])"),  # noqa: RUF001
    "latent_std": ("Latent standard deviation", "mean standard deviation of the latents"),
}
COLUMNS = ("train_set", "dark_share", "run", "group", "n_images")


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    metric = FIGURES[given.name]["metric"]
    data = group_box_data(given.table("runs", [*COLUMNS, metric]), metric)
    return Drawing(group_box_text(data, metric, given.groups), lambda: draw_group_boxes(data, metric, given.groups))


def group_box_data(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per training set, run and group, ordered by dark share, name, group and run.

    Args:
        table: `COLUMNS` and `metric`, one row per model and test group.
        metric: the column to draw.

    Returns:
        train_set, dark_share, position (0, 1, ... by dark share), group, run, n_images, value.
    """
    data = table.rename(columns={metric: "value"})
    data = data.merge(ordered_sets(data), on=["train_set", "dark_share"], validate="many_to_one")
    data = data.sort_values(["position", "group", "run"], ignore_index=True)
    return data[["train_set", "dark_share", "position", "group", "run", "n_images", "value"]]


def draw_group_boxes(data: pd.DataFrame, metric: str, names: GroupNames) -> Figure:
    """Two boxes per training set (quartiles, whiskers to 1.5 times their distance) with every run as a point on top.

    With fewer than five runs a box would dress up two or three numbers as a distribution, so only points and their
    mean are drawn.
    """
    sets = ordered_sets(data)
    figure = new_figure(PAGE_WIDTH if len(sets) > 3 else PAGE_WIDTH * 0.8, 3.5)
    axes = figure.add_subplot()
    width = 0.34
    few = data["run"].nunique() <= 40  # points of many runs are smaller, so that the box shows through
    for group, shift in (("light", -0.2), ("dark", 0.2)):
        style, name = GROUPS[group], getattr(names, group)
        rows = data[data["group"] == group]
        axes.plot([], [], style.marker, color=style.colour, markeredgecolor=INK, markeredgewidth=0.6, label=name)
        for position, values in rows.groupby("position")["value"]:
            centre = float(position) + shift  # type: ignore[arg-type]
            if len(values) >= 5:
                axes.boxplot(
                    values,
                    positions=[centre],
                    widths=width,
                    showfliers=False,  # every run is drawn below, so an outlier would appear twice
                    patch_artist=True,
                    manage_ticks=False,
                    boxprops={"facecolor": style.colour, "alpha": 0.45, "hatch": style.hatch, "edgecolor": INK},
                    medianprops={"color": INK, "linewidth": 1.6},
                    whiskerprops={"color": INK},
                    capprops={"color": INK},
                )
            else:
                axes.hlines(values.mean(), centre - width / 2, centre + width / 2, color=style.colour, linewidth=2.5)
            # Runs are spread sideways in their order: nothing is hidden, and no random number is needed.
            offsets = np.linspace(-0.3, 0.3, len(values)) * width if len(values) > 1 else np.zeros(1)
            axes.plot(
                centre + offsets,
                values,
                style.marker,
                color=style.colour,
                markersize=4 if few else 1.5,
                markeredgecolor=INK,
                markeredgewidth=0.6 if few else 0,
            )
    set_axis(axes, sets)
    axes.set_ylabel(METRICS[metric][1])
    axes.grid(axis="y")
    runs = data["run"].nunique()
    axes.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        ncols=2,
        title=f"test images, one point per run ({runs:,} run{'s' if runs > 1 else ''}, "
        f"each the mean of {span(data['n_images'].tolist())} images)",
        title_fontsize=SMALL,
    )
    return figure


def group_box_text(data: pd.DataFrame, metric: str, names: GroupNames) -> FigureText:
    """Title, caption and alternative text; the caption gives dark / light of the means for each training set."""
    title, label = METRICS[metric]
    means = data.groupby(["position", "group"])["value"].mean().unstack("group")
    sets = ordered_sets(data)
    runs = data["run"].nunique()
    ratios, levels = [], []
    for position, name in enumerate(set_names(sets)):
        light, dark = (means[group].get(position, np.nan) for group in ("light", "dark"))
        if light > 0 and dark > 0:
            ratios.append(f"{dark / light:.2f} under {name}")
        levels.append(f"{name}: light {light:.4g}, dark {dark:.4g}")
    boxes = (
        "boxes show quartiles and median, whiskers reach to 1.5 times the interquartile range"
        if runs >= 5
        else "bars are means; with fewer than five runs no box is drawn"
    )
    return FigureText(
        f"{title} by training set and test group",
        f"{title} of the test images, {label}, by training set. Each point is one of {runs:,} "
        f"run{'s' if runs > 1 else ''}, the mean over {span(data['n_images'].tolist())} images of {names.light} or "
        f"{names.dark}; {boxes}. Dark divided by light: {', '.join(ratios)}.",
        f"Plot of {label} for light and dark test images by training set. Means: {'; '.join(levels)}.",
    )
