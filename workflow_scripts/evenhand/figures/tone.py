"""Apparent skin tone: reconstruction error against that of the input, and tone against the skin type of annotators."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from evenhand.data.metadata import SKIN_TYPE_COLUMNS
from evenhand.data.tone import CLASSES
from evenhand.evaluation.measures import MEASURES
from evenhand.figures.common import Declared, Drawing, FigureText, Given
from evenhand.figures.panels import mark_values, ordered_sets, set_colours, set_names
from evenhand.figures.style import FAINT, INK, MUTED, PAGE_WIDTH, SMALL, group_styles, joined, new_figure
from evenhand.splits.groups import Group, group_of
from evenhand.workflow.tables import read_table

FIGURES: Declared = {
    "tone_curves": {
        "place": 60,
        "label": "error against apparent tone",
        "section": "Results",
        "files": ["tone_curves"],
        "needs": ["skin"],
    },
    "tone_by_type": {
        "place": 140,
        "label": "apparent tone by skin type",
        "section": "Data",
        "files": ["tone_by_type"],
        "needs": ["skin"],
    },
}

COLUMNS = ("train_set", "compared_share", "ita", "mse", "ci_low", "ci_high", "n_images", "n_no_skin", "warnings")
QUANTILES = ("ita_05", "ita_25", "ita_50", "ita_75", "ita_95")
TYPE_COLUMNS = ("skin_type", "n", "n_few_skin", *QUANTILES)


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    groups = given.groups
    if given.name == "tone_curves":
        curves = tone_data(read_table(given.files["tone_curves"], COLUMNS))
        return Drawing(tone_text(curves, groups), lambda: draw_tone(curves, groups))
    data = tone_by_type_data(given.table("tone_by_type", TYPE_COLUMNS), groups)
    return Drawing(tone_by_type_text(data, groups), lambda: draw_tone_by_type(data, groups))


def tone_data(table: pd.DataFrame) -> pd.DataFrame:
    """Curves with the position of the training set, by position and ITA; one row without numbers for none."""
    rows = table.merge(ordered_sets(table), on=["train_set", "compared_share"], validate="many_to_one")
    return rows.sort_values(["position", "ita"], ignore_index=True)


def draw_tone(data: pd.DataFrame, groups: Sequence[Group]) -> Figure:
    """A curve with its band per training set; light skin on the left, as everywhere in the report."""
    figure = new_figure(PAGE_WIDTH * 0.8, 3.6)
    axes = figure.add_subplot()
    sets = ordered_sets(data[data["ita"].notna()])
    if sets.empty:
        axes.text(
            0.5, 0.5, "too few test images with detectable skin for a curve", ha="center", transform=axes.transAxes
        )
    styles, names = ["-", "--", "-.", ":"], set_names(sets, groups[1].name)
    for position, label, colour in zip(sets["position"], names, set_colours(len(sets)), strict=True):
        rows = data[data["train_set"] == sets["train_set"].iloc[position]]
        axes.fill_between(rows["ita"], rows["ci_low"], rows["ci_high"], color=colour, alpha=0.18, linewidth=0)
        axes.plot(rows["ita"], rows["mse"], styles[position % 4], color=colour, linewidth=2, label=label)
    axes.invert_xaxis()
    axes.set_xlabel("ITA of the input, degrees (light to dark)")
    axes.set_ylabel(MEASURES["mse"].label)
    axes.grid(axis="y")
    if len(sets):
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=min(len(sets), 3))
    return figure


def tone_text(data: pd.DataFrame, groups: Sequence[Group]) -> FigureText:
    """Title, caption and alternative text; compares the two ends of each curve."""
    title = "Reconstruction error against apparent skin tone"
    if data["ita"].isna().all():
        text = "Too few test images with detectable skin for a curve."
        return FigureText(title, text, text)
    found = []
    names = set_names(ordered_sets(data), groups[1].name)
    for name, (_, rows) in zip(names, data.groupby("position"), strict=True):
        ratio = rows["mse"].iloc[0] / rows["mse"].iloc[-1]
        found.append(f"{name}: {rows['warnings'].iloc[0] if pd.isna(ratio) else f'{ratio:.2f} times'}")
    ends = "; ".join(found)
    return FigureText(
        title,
        "Mean squared error (pixels in [−1, 1], geometric mean) against the individual typology angle of the "  # noqa: RUF001
        f"input, with confidence bands over images; {data['n_images'].max():,} test images, "
        f"{data['n_no_skin'].max():,} without detectable skin left out.\n\nITA is apparent tone: lighting enters. A "
        f"flat curve would mean that tone does not matter. Error at the dark end relative to the light end: {ends}.",
        f"Curves of error against apparent skin tone. Dark end relative to light end: {ends}.",
    )


def groups_by_type(groups: Sequence[Group]) -> dict[int, str]:
    """The group of each skin type that decides on one; empty for groups that rest on something else."""
    by_type = [group for group in groups if len(group.where) == 1 and {*group.where} <= {*SKIN_TYPE_COLUMNS}]
    found = {scale: group_of(dict.fromkeys(SKIN_TYPE_COLUMNS, str(scale)), by_type) for scale in range(-1, 7)}
    return {scale: name for scale, name in found.items() if name}


def tone_by_type_data(table: pd.DataFrame, groups: Sequence[Group]) -> pd.DataFrame:
    """The rows, missing types first, with the group of the type (empty: of none).

    Args:
        table: `TYPE_COLUMNS`, as in tables/tone_by_type.csv.
        groups: of the study.
    """
    data = table.sort_values("skin_type", ignore_index=True)
    return data.assign(group=data["skin_type"].map(groups_by_type(groups)).fillna(""))


def draw_tone_by_type(data: pd.DataFrame, groups: Sequence[Group]) -> Figure:
    """One box per skin type: quartiles, whiskers from the 5 % to the 95 % quantile; the classes of tone behind."""
    figure = new_figure(PAGE_WIDTH * 0.85, 3.6)
    axes = figure.add_subplot()
    styles = group_styles([group.name for group in groups])
    measured = data.dropna(subset=["ita_50"])
    low, high = (measured["ita_05"].min() - 8, measured["ita_95"].max() + 8) if len(measured) else (-90.0, 90.0)
    for name, limit in CLASSES.items():
        if low < limit < high:
            axes.axhline(limit, color=FAINT, linewidth=0.8, linestyle="--")
        if max(limit, low) < high:
            axes.text(
                len(data) - 0.42, max(limit, low), f" {name}", va="bottom", fontsize=SMALL, color=MUTED, clip_on=False
            )
    for position, row in measured.iterrows():
        style = styles.get(row["group"])
        box = dict(zip(["whislo", "q1", "med", "q3", "whishi"], row[list(QUANTILES)], strict=True))
        axes.bxp(
            [box],
            positions=[float(position)],  # type: ignore[arg-type]
            widths=0.5,
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            boxprops={
                "facecolor": style.colour if style else FAINT,
                "alpha": 0.6,
                "hatch": style.hatch if style else "",
                "edgecolor": INK,
            },
            medianprops={"color": INK, "linewidth": 1.6},
            whiskerprops={"color": INK},
            capprops={"color": INK},
        )
    texts = [
        f"median {row['ita_50']:.1f}°, quartiles {row['ita_25']:.1f} to {row['ita_75']:.1f}; "
        f"{row['n'] - row['n_few_skin']:,} photographs"
        for row in measured.to_dict("records")
    ]
    mark_values(axes, measured.index, measured["ita_50"], texts)
    labels = [
        f"{'missing' if scale < 0 else scale}\nn = {n - few:,}"
        for scale, n, few in data[["skin_type", "n", "n_few_skin"]].itertuples(index=False)
    ]
    axes.set_xticks(range(len(data)), labels)
    axes.set_xlim(-0.6, len(data) - 0.4)
    axes.set_ylim(low, high)
    axes.set_xlabel("Fitzpatrick skin type given by the annotators")
    axes.set_ylabel("apparent tone: ITA (degrees)")
    return figure


def tone_by_type_text(data: pd.DataFrame, groups: Sequence[Group]) -> FigureText:
    """Title, caption and alternative text."""
    measured = int((data["n"] - data["n_few_skin"]).sum())
    few = int(data["n_few_skin"].sum())
    medians = ", ".join(
        f"{'missing' if scale < 0 else scale}: {round(median)}"
        for scale, median in data[["skin_type", "ita_50"]].dropna().itertuples(index=False)
    )
    # Only a type that decides on the group by itself is coloured; of the groups the reference alone is not hatched.
    shown = [group.title for group in groups if group.name in groups_by_type(groups).values()]
    coloured = f"; coloured: {' and, hatched, '.join(filter(None, [shown[0], joined(shown[1:])]))}" if shown else ""
    return FigureText(
        "Apparent tone by skin type",
        f"Individual typology angle (ITA, larger is lighter) of the skin pixels of {measured:,} photographs, by "
        f"Fitzpatrick skin type; {few:,} photographs with less than 5 % skin pixels are left out.\n\nBoxes: quartiles; "
        f"whiskers: 5 % to 95 %{coloured}. Lighting and camera enter this measure. The names at the right "
        "are the classes of Del Bino and Bernerd (2013).",
        f"Box plots of ITA by skin type. Medians in degrees: {medians or 'none'}.",
    )
