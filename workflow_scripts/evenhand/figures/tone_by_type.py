"""Apparent skin tone of the photographs against the skin type that annotators gave them."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from evenhand.data.tone import CLASSES
from evenhand.figures.common import Declared, Drawing, FigureText, Given, GroupNames
from evenhand.figures.style import FAINT, GROUPS, INK, MUTED, PAGE_WIDTH, SMALL, new_figure

FIGURES: Declared = {
    "tone_by_type": {
        "place": 140,
        "label": "apparent tone by skin type",
        "section": "Data",
        "files": ["tone_by_type"],
    }
}

QUANTILES = ("ita_05", "ita_25", "ita_50", "ita_75", "ita_95")
COLUMNS = ("fitzpatrick_scale", "n", "n_few_skin", *QUANTILES)


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    data = tone_by_type_data(given.table("tone_by_type", COLUMNS), given.light, given.dark)
    return Drawing(tone_by_type_text(data, given.groups), lambda: draw_tone_by_type(data))


def tone_by_type_data(table: pd.DataFrame, light: Sequence[int], dark: Sequence[int]) -> pd.DataFrame:
    """The rows, missing types first, with their group (`light`, `dark` or empty).

    Args:
        table: `COLUMNS`, as in tables/tone_by_type.csv.
    """
    groups = dict.fromkeys(light, "light") | dict.fromkeys(dark, "dark")
    data = table.sort_values("fitzpatrick_scale", ignore_index=True)
    return data.assign(group=data["fitzpatrick_scale"].map(groups).fillna(""))


def draw_tone_by_type(data: pd.DataFrame) -> Figure:
    """One box per skin type: quartiles, whiskers from the 5 % to the 95 % quantile; the classes of tone behind."""
    figure = new_figure(PAGE_WIDTH * 0.85, 3.6)
    axes = figure.add_subplot()
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
        style = GROUPS.get(row["group"])
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
    labels = [
        f"{'missing' if scale < 0 else scale}\nn = {n - few:,}"
        for scale, n, few in data[["fitzpatrick_scale", "n", "n_few_skin"]].itertuples(index=False)
    ]
    axes.set_xticks(range(len(data)), labels)
    axes.set_xlim(-0.6, len(data) - 0.4)
    axes.set_ylim(low, high)
    axes.set_xlabel("Fitzpatrick skin type given by the annotators")
    axes.set_ylabel("apparent tone: ITA (degrees)")
    return figure


def tone_by_type_text(data: pd.DataFrame, names: GroupNames) -> FigureText:
    """Title, caption and alternative text."""
    measured = int((data["n"] - data["n_few_skin"]).sum())
    few = int(data["n_few_skin"].sum())
    medians = ", ".join(
        f"{'missing' if scale < 0 else scale}: {round(median)}"
        for scale, median in data[["fitzpatrick_scale", "ita_50"]].dropna().itertuples(index=False)
    )
    return FigureText(
        "Apparent tone by skin type",
        f"Individual typology angle (ITA, larger is lighter) of the skin pixels of {measured:,} photographs, by "
        f"Fitzpatrick skin type; {few:,} photographs with less than 5 % skin pixels are left out. Boxes: quartiles; "
        f"whiskers: 5 % to 95 %; coloured: {names.light} and, hatched, {names.dark}. Lighting and camera enter this "
        "measure. The names at the right are the classes of Del Bino and Bernerd (2013).",
        f"Box plots of ITA by skin type. Medians in degrees: {medians or 'none'}.",
    )
