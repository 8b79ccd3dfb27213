"""The verdicts of a study on one page of paper: the answer, and each claim with its interval, its verdict and its n."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from evenhand.figures.common import draw_with_fonts
from evenhand.figures.style import (
    FAINT,
    INK,
    LARGE,
    MUTED,
    SMALL,
    SYNTHETIC,
    describe_fonts,
    house_style,
    new_figure,
    save_figure,
)
from evenhand.report.claims import DASH, PLOT_WIDTH, claim_rows

PAPER = (8.27, 11.69)  # inches: A4
WIDTH, HEIGHT = 7.0, 10.4  # inches: what is written on
ROW = 0.46  # of a claim, at most
# As on the page: each verdict has its words, its colour and a sign of its own.
SIGNS = {
    "supported": ("✓", "#00664b"),
    "contradicted": ("✗", "#9c3a00"),
    "no relevant difference": ("=", "#00528a"),
    "inconclusive": ("?", "#55606b"),
    "not testable": (DASH, "#3c4650"),
}


def write_verdicts(
    study: str, synthetic: bool, claims: pd.DataFrame, answer: str, origin: Mapping[str, str], output: Path
) -> None:
    """Draw the page and write it as PDF.

    Args:
        study: its name.
        synthetic: whether the images come from the generator; the page says so at its top.
        claims: tables/claims.csv.
        answer: in two sentences.
        origin: from `evenhand.workflow.provenance`; empty without a record.
        output: the file.
    """
    figure, fonts = draw_with_fonts(lambda: draw_verdicts(study, synthetic, claims, answer, origin))
    with house_style(fonts.families):
        save_figure(figure, [output], 300, "editable")
    print(f"verdicts: {output} {describe_fonts(fonts)}".strip())


def draw_verdicts(study: str, synthetic: bool, claims: pd.DataFrame, answer: str, origin: Mapping[str, str]) -> Figure:
    """One line per claim: number, statement, interval to scale, numbers, verdict."""
    figure = new_figure(*PAPER)
    figure.set_layout_engine("none")
    width, height = WIDTH / PAPER[0], HEIGHT / PAPER[1]
    axes = figure.add_axes(((1 - width) / 2, (1 - height) / 2, width, height))
    axes.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
    axes.set_axis_off()
    head = textwrap.wrap(answer, 105)
    axes.text(0, 0.05, f"Study {study}: verdicts", fontsize=LARGE + 2, fontweight="bold", va="top")
    if synthetic:
        axes.text(WIDTH, 0.08, SYNTHETIC, color="#A63C00", fontweight="bold", fontsize=SMALL, ha="right", va="top")
    axes.text(0, 0.42, "\n".join(head), fontsize=SMALL + 0.5, va="top", linespacing=1.3)
    top = 0.62 + 0.17 * len(head)
    height = min(ROW, (HEIGHT - top - 0.8) / len(claims))
    for place, row in enumerate(claim_rows(claims)):
        middle = top + (place + 0.5) * height
        axes.plot([0, WIDTH], [middle - height / 2] * 2, color=FAINT, linewidth=0.5)
        axes.text(0, middle, row["claim"], fontweight="bold", va="center")
        axes.text(0.42, middle, textwrap.fill(row["statement"], 53), fontsize=SMALL - 1, va="center")
        if row["plot"]:
            _draw_interval(axes, row["plot"], 3.35, middle)
        sign, colour = SIGNS[row["verdict"]]
        words = f"{sign} {row['verdict']}{' *' if row['survives'] else ''}"
        axes.text(WIDTH, middle - 0.02, words, color=colour, fontweight="bold", fontsize=SMALL, ha="right", va="bottom")
        numbers = [row["estimate"], row["interval"], f"n = {row['n']}"]
        shown = "; ".join(number for number in numbers if DASH not in number)
        axes.text(WIDTH, middle + 0.02, shown, fontsize=SMALL - 1, ha="right", va="top")
    made = "; ".join(f"{name} {value}" for name, value in origin.items())
    foot = (
        "Dot: estimate; bar: interval; dashed: what it was tested against; grey: declared as no relevant difference. "
        "Each to its own scale. * also after Holm's method over all claims. n: runs, or rows of the metadata."
        + (f" Made from: {made}." if made else "")
    )
    axes.text(0, HEIGHT - 0.1, textwrap.fill(foot, 120), fontsize=SMALL - 1, color=MUTED, va="bottom")
    return figure


def _draw_interval(axes: Axes, plot: Mapping[str, object], left: float, middle: float) -> None:
    """The picture of an interval (`interval_plot`), 1.3 inches wide."""

    def place(pixels: object) -> float:
        return left + 1.3 * float(str(pixels)) / PLOT_WIDTH

    margin = plot["margin"]
    if isinstance(margin, tuple):
        start, end = place(margin[0]), place(margin[0] + margin[1])
        axes.add_patch(Rectangle((start, middle - 0.1), end - start, 0.2, color=FAINT, linewidth=0))
    if plot["null"] is not None:
        axes.plot([place(plot["null"])] * 2, [middle - 0.12, middle + 0.12], "--", color="#a63c00", linewidth=0.8)
    axes.plot([place(plot["low"]), place(plot["high"])], [middle] * 2, color=INK, linewidth=1.4)
    axes.plot(place(plot["estimate"]), middle, "o", color=INK, markersize=4)
