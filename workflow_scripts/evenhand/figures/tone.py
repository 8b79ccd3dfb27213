"""Reconstruction error against the apparent skin tone of the input, as a curve instead of two groups."""

import pandas as pd
from matplotlib.figure import Figure

from evenhand.figures.common import Declared, Drawing, FigureText, Given
from evenhand.figures.group_boxes import METRICS
from evenhand.figures.intervals import ordered_sets, set_colours, set_names
from evenhand.figures.style import PAGE_WIDTH, new_figure
from evenhand.workflow.tables import read_table

FIGURES: Declared = {
    "tone_curves": {
        "place": 60,
        "label": "error against apparent tone",
        "section": "Results",
        "files": ["tone_curves"],
    }
}

COLUMNS = ("train_set", "dark_share", "ita", "mse", "ci_low", "ci_high", "n_images", "n_no_skin", "warnings")


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    data = tone_data(read_table(given.files["tone_curves"], COLUMNS))
    return Drawing(tone_text(data), lambda: draw_tone(data))


def tone_data(table: pd.DataFrame) -> pd.DataFrame:
    """Curves with the position of the training set, by position and ITA; one row without numbers for none."""
    rows = table.merge(ordered_sets(table), on=["train_set", "dark_share"], validate="many_to_one")
    return rows.sort_values(["position", "ita"], ignore_index=True)


def draw_tone(data: pd.DataFrame) -> Figure:
    """A curve with its band per training set; light skin on the left, as everywhere in the report."""
    figure = new_figure(PAGE_WIDTH * 0.8, 3.6)
    axes = figure.add_subplot()
    sets = ordered_sets(data[data["ita"].notna()])
    if sets.empty:
        axes.text(
            0.5, 0.5, "too few test images with detectable skin for a curve", ha="center", transform=axes.transAxes
        )
    styles = ["-", "--", "-.", ":"]
    for position, label, colour in zip(sets["position"], set_names(sets), set_colours(len(sets)), strict=True):
        rows = data[data["train_set"] == sets["train_set"].iloc[position]]
        axes.fill_between(rows["ita"], rows["ci_low"], rows["ci_high"], color=colour, alpha=0.18, linewidth=0)
        axes.plot(rows["ita"], rows["mse"], styles[position % 4], color=colour, linewidth=2, label=label)
    axes.invert_xaxis()
    axes.set_xlabel("ITA of the input, degrees (light to dark)")
    axes.set_ylabel(METRICS["mse"][1])
    axes.grid(axis="y")
    if len(sets):
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=min(len(sets), 3))
    return figure


def tone_text(data: pd.DataFrame) -> FigureText:
    """Title, caption and alternative text; compares the two ends of each curve."""
    title = "Reconstruction error against apparent skin tone"
    if data["ita"].isna().all():
        text = "Too few test images with detectable skin for a curve."
        return FigureText(title, text, text)
    found = []
    for name, (_, rows) in zip(set_names(ordered_sets(data)), data.groupby("position"), strict=True):
        ratio = rows["mse"].iloc[0] / rows["mse"].iloc[-1]
        found.append(f"{name}: {rows['warnings'].iloc[0] if pd.isna(ratio) else f'{ratio:.2f} times'}")
    ends = "; ".join(found)
    return FigureText(
        title,
        "Mean squared error (pixels in [−1, 1], geometric mean) against the individual typology angle of the "  # noqa: RUF001
        f"input, with confidence bands over images; {data['n_images'].max():,} test images, "
        f"{data['n_no_skin'].max():,} without detectable skin left out. ITA is apparent tone: lighting enters. A flat "
        f"curve would mean that tone does not matter. Error at the dark end relative to the light end: {ends}.",
        f"Curves of error against apparent skin tone. Dark end relative to light end: {ends}.",
    )
