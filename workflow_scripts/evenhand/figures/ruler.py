"""Does each measure charge the groups alike for the same damage?"""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from evenhand.evaluation.measures import MEASURES
from evenhand.figures.common import Declared, Drawing, FigureText, Given
from evenhand.figures.panels import draw_intervals, panel_grid, set_colours, side_by_side
from evenhand.figures.style import MARKERS, MUTED, joined, span
from evenhand.splits.groups import Group, pairs_of

FIGURES: Declared = {
    "ruler": {
        "place": 125,
        "label": "cost of known damages, {compared} against {reference}",
        "section": "Data",
        "files": ["ruler_bias"],
        "needs": ["ruler"],
    }
}

COLUMNS = (
    *("compared", "measure", "damage", "step"),
    *("n_reference", "n_compared", "ratio", "ci_low", "ci_high", "treatment"),
)

TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10)  # of ratios


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    table = given.table("ruler_bias", COLUMNS)
    return Drawing(ruler_text(table, given.groups), lambda: draw_ruler(table, given.groups))


def draw_ruler(table: pd.DataFrame, groups: Sequence[Group]) -> Figure:
    """A panel for each measure: the ratio of the costs for each damage and step, a colour for each pair of groups."""
    measures = list(dict.fromkeys(table["measure"]))
    steps = table[["damage", "step"]].drop_duplicates(ignore_index=True).reset_index(names="place")
    pairs = pairs_of(groups)
    figure, panels, legend = panel_grid(len(measures), 2.5, columns=2, share=False)
    rows = table.merge(steps, on=["damage", "step"], validate="many_to_one").rename(columns={"ratio": "estimate"})
    # One scale for all measures; an interval beyond it ends at its edge.
    limits = max(rows["ci_low"].min() / 1.05, TICKS[0]), min(rows["ci_high"].max() * 1.05, TICKS[-1])
    for axes, measure in zip(panels, measures, strict=True):
        axes.axhline(1, color=MUTED, linewidth=0.8, linestyle="--")
        for pair, colour, shift, marker in zip(
            pairs, set_colours(len(pairs)), side_by_side(len(pairs), 0.6), MARKERS, strict=False
        ):
            mine = rows[(rows["measure"] == measure) & (rows["compared"] == pair.compared)]
            draw_intervals(axes, mine["place"] + shift, mine, colour, marker, f"{pair.compared} over {pair.reference}")
        axes.set_yscale("log")
        axes.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylim(*limits)
        axes.set_xticks(steps["place"], [f"{step:g}" for step in steps["step"]], rotation=90)
        for damage, places in steps.groupby("damage", sort=False)["place"]:
            axes.annotate(str(damage), (places.mean(), 0), (0, -36), xycoords=("data", "axes fraction"),
                          textcoords="offset points", ha="center", va="top", annotation_clip=False)  # fmt: skip
        axes.set_title(MEASURES[measure].title)
        axes.set_ylabel("ratio of costs")
    legend.legend(*panels[0].get_legend_handles_labels(), loc="center", ncols=min(len(pairs), 3))
    return figure


def ruler_text(table: pd.DataFrame, groups: Sequence[Group]) -> FigureText:
    """Title, caption and alternative text, with which measures charge the groups unlike."""
    several = f", in each of {len(groups) - 1} pairs of groups" if len(groups) > 2 else ""
    found = []
    for measure, rows in table.groupby("measure", sort=False):
        counts = rows["treatment"].value_counts()
        words = joined([f"{counts[name]} {name}" for name in ("alike", "unlike", "undecided") if name in counts])
        found.append(f"{MEASURES[str(measure)].title}: {words}")
    verdicts = "; ".join(found)
    n = span([*table["n_reference"], *table["n_compared"]])
    return FigureText(
        "Does each measure charge the groups alike for the same damage?",
        "How many times as much the same damage costs in one group as in the other, by measure; no model is in this "
        f"({n} images of a group). Where a measure is away from 1, a gap in it is in part one of the ruler.\n\n"
        f"A place for each damage and step{several} (blur in pixels, noise in levels of 255, tint as a fraction, JPEG "
        "by its quality); intervals over images, near-duplicates as one. Damages by whether the groups are charged "
        f"alike: {verdicts}.",
        f"Ratios of the costs of known damages between the groups, by measure. {verdicts}.",
    )
