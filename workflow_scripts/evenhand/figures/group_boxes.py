"""A metric by training set and test group, one point per run."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from evenhand.evaluation.measures import MEASURES
from evenhand.figures.common import Declared, Drawing, FigureText, Given
from evenhand.figures.panels import legend_columns, mark_values, ordered_sets, set_axis, set_names, side_by_side
from evenhand.figures.style import INK, PAGE_WIDTH, SMALL, capital, group_styles, joined, new_figure, span
from evenhand.splits.groups import Group

FIGURES: Declared = {
    "mse_boxes": {
        "place": 10,
        "label": "reconstruction error",
        "section": "Results",
        "files": ["runs", "codec_runs"],
        "paper": 3,
        "metric": "mse",
    },
    "latent_std_boxes": {
        "place": 80,
        "label": "latent standard deviation",
        "section": "Results",
        "files": ["runs"],
        "paper": 6,
        "needs": ["posterior"],
        "metric": "latent_std",
    },
}

COLUMNS = ("train_set", "compared_share", "run", "group", "n_images")


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    metric = FIGURES[given.name]["metric"]
    data = group_box_data(given.table("runs", [*COLUMNS, metric]), metric)
    if "codec_runs" in FIGURES[given.name]["files"]:
        data = with_codec(data, given.table("codec_runs", [*COLUMNS, "codec_mse"]))
    return Drawing(group_box_text(data, metric, given.groups), lambda: draw_group_boxes(data, metric, given.groups))


def group_box_data(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per training set, run and group, ordered by share of the compared group, name, group and run.

    Args:
        table: `COLUMNS` and `metric`, one row per model and test group.
        metric: the column to draw.

    Returns:
        train_set, compared_share, position (0, 1, ... by share of the compared group), group, run, n_images, value.
    """
    data = table.rename(columns={metric: "value"})
    data = data.merge(ordered_sets(data), on=["train_set", "compared_share"], validate="many_to_one")
    data = data.sort_values(["position", "group", "run"], ignore_index=True)
    return data[["train_set", "compared_share", "position", "group", "run", "n_images", "value"]]


def with_codec(data: pd.DataFrame, codec_runs: pd.DataFrame) -> pd.DataFrame:
    """The data with one more column: the codecs whose error on the reference group is that of the balanced models.

    Their rows have the name of that training set and, as they have learned from none, no `compared_share`. Nothing is
    added where none or several are balanced, or where no codec has the error.
    """
    balanced = codec_runs[codec_runs["compared_share"] == 0.5]
    if balanced["train_set"].nunique() != 1 or balanced["codec_mse"].isna().any():
        return data
    codec = balanced.rename(columns={"codec_mse": "value"}).sort_values(["group", "run"])
    codec = codec.assign(compared_share=np.nan, position=data["position"].max() + 1)
    return pd.concat([data, codec[data.columns]], ignore_index=True)


def codec_name(data: pd.DataFrame) -> str:
    """What the further column of `with_codec` is called, empty where there is none."""
    names = data.loc[data["compared_share"].isna(), "train_set"].unique()
    return f"JPEG for {names[0]}" if len(names) else ""


def draw_group_boxes(data: pd.DataFrame, metric: str, groups: Sequence[Group]) -> Figure:
    """A box per training set and group (quartiles, whiskers to 1.5 times their distance), every run as a point on top.

    With fewer than five runs a box would dress up two or three numbers as a distribution, so only points and their
    mean are drawn.
    """
    sets, codec = ordered_sets(data.dropna(subset=["compared_share"])), codec_name(data)
    figure = new_figure(PAGE_WIDTH if len(sets) > 3 or codec else PAGE_WIDTH * 0.8, 3.5)
    axes = figure.add_subplot()
    titles = [group.title for group in groups]
    styles = group_styles([group.name for group in groups])
    width = 0.68 / len(groups)
    few = data["run"].nunique() <= 40  # points of many runs are smaller, so that the box shows through
    for group, shift in zip(groups, side_by_side(len(groups), 0.8), strict=True):
        style = styles[group.name]
        rows = data[data["group"] == group.name]
        axes.plot([], [], style.marker, color=style.colour, markeredgecolor=INK, markeredgewidth=0.6, label=group.title)
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
            of_runs = rows.loc[values.index, ["run", "n_images"]].itertuples(index=False)
            texts = [
                f"{group.name}, run {run:.0f}: {value:.4g}; {n:,.0f} images"
                for value, (run, n) in zip(values, of_runs, strict=True)
            ]
            mark_values(axes, centre + offsets, values, texts)
    set_axis(axes, sets, groups[1].name)
    if codec:
        axes.axvline(len(sets) - 0.5, color=INK, linewidth=0.6)
        labels = [label.get_text() for label in axes.get_xticklabels()]
        axes.set_xticks([*axes.get_xticks(), len(sets)], [*labels, codec.replace(" ", "\n", 1)])
        axes.set_xlim(-0.6, len(sets) + 0.6)
    axes.set_ylabel(MEASURES[metric].label)
    axes.grid(axis="y")
    runs = data["run"].nunique()
    axes.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        ncols=legend_columns(titles, figure.get_size_inches()[0]),
        title=f"test images, one point per run ({runs:,} run{'s' if runs > 1 else ''}, "
        f"each the mean of {span(data['n_images'].tolist())} images)",
        title_fontsize=SMALL,
    )
    return figure


def group_box_text(data: pd.DataFrame, metric: str, groups: Sequence[Group]) -> FigureText:
    """Title, caption and alternative text; the caption gives the ratios of the means by training set."""
    title, label = capital(MEASURES[metric].title), MEASURES[metric].label
    means = data.groupby(["position", "group"])["value"].mean().unstack("group")
    sets, codec = ordered_sets(data.dropna(subset=["compared_share"])), codec_name(data)
    runs = data["run"].nunique()
    named = list(enumerate([*set_names(sets, groups[1].name), *([codec] if codec else [])]))
    levels = [
        f"{name}: " + ", ".join(f"{group.name} {means[group.name].get(position, np.nan):.4g}" for group in groups)
        for position, name in named
    ]
    reference, *others = groups
    ratios = []
    for group in others:
        ratio = means[group.name] / means[reference.name]
        found = [
            f"{ratio[position]:.2f} under {name}"
            for position, name in named
            if 0 < ratio.get(position, np.nan) < np.inf
        ]
        ratios.append(f"{capital(group.name)} divided by {reference.name}: {', '.join(found)}.")
    boxes = (
        "boxes show quartiles and median, whiskers reach to 1.5 times the interquartile range"
        if runs >= 5
        else "bars are means; with fewer than five runs no box is drawn"
    )
    of_codec = (
        f" {codec}: no model, but in each run the JPEG, of lower quality or of smaller pictures, whose mean on "
        f"{reference.name} images is that of the model; what it makes of the groups the pictures alone decide."
        if codec
        else ""
    )
    return FigureText(
        f"{title} by training set and test group",
        f"{title} of the test images, {label}, by training set. Each point is one of {runs:,} "
        f"run{'s' if runs > 1 else ''}, the mean over {span(data['n_images'].tolist())} images of "
        f"{joined([group.name for group in groups], 'or')}.\n\nGroups: "
        f"{joined([group.title for group in groups])}; {boxes}. {' '.join(ratios)}{of_codec}",
        f"Plot of {label} for {joined([group.name for group in groups])} test images by training set. Means: "
        f"{'; '.join(levels)}.",
    )
