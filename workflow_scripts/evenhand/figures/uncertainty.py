"""Which measure of uncertainty would have raised the flag: against high error, and against an unrepresented group."""

import math
from collections.abc import Sequence
from textwrap import fill

import pandas as pd
from matplotlib.figure import Figure

from evenhand.evaluation.measures import MEASURES
from evenhand.figures.common import Declared, Drawing, FigureText, Given, by_pair
from evenhand.figures.panels import (
    draw_intervals,
    label_edges,
    ordered_sets,
    panel_grid,
    set_colours,
    set_names,
    side_by_side,
)
from evenhand.figures.style import MARKERS, MUTED, capital, joined, span
from evenhand.splits.groups import Group, pairs_of

FIGURES: Declared = {
    "uncertainty": {
        "place": 90,
        "label": "uncertainty as a warning sign",
        "section": "Results",
        "files": ["uncertainty"],
    }
}

COLUMNS = (
    *("train_set", "compared_share", "compared", "score", "statistic", "target"),
    *("estimate", "ci_low", "ci_high", "n_runs", "n_images"),
)
SCORE_NAMES = {name: fill(measure.title, 17) for name, measure in MEASURES.items() if measure.uncertainty} | {
    "ensemble_var": "variance across\nmodels of other runs"
}
# The questions of the panels. The second is of the compared group where the training set holds both groups.
PANELS = ("flags the tenth of images\nwith the highest error", "flags the group that is not\nin the training set*")


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    data = uncertainty_data(given.table("uncertainty", COLUMNS))
    return Drawing(uncertainty_text(data, given.groups), lambda: draw_uncertainty(data, given.groups))


def uncertainty_data(table: pd.DataFrame) -> pd.DataFrame:
    """AUROC rows of the two questions.

    Args:
        table: columns `COLUMNS`.

    Returns:
        panel (0 or 1), compared, score, rank of the score, train_set, compared_share, position, estimate, ci_low,
        ci_high, n_runs, n_images; intervals are cut to [0, 1], beyond which no AUROC can lie.
    """
    panel = table["target"].map({"worst decile": 0, "group not in the training set": 1})
    panel = panel.mask(table["target"] == table["compared"] + " group", 1)
    rows = table.assign(panel=panel)[(table["statistic"] == "auroc") & panel.notna()]
    rows = rows.merge(ordered_sets(rows), on=["train_set", "compared_share"], validate="many_to_one")
    ranks = {score: rank for rank, score in enumerate(dict.fromkeys(rows["score"]))}
    rows = rows.assign(
        panel=rows["panel"].astype(int),
        rank=rows["score"].map(ranks),
        ci_low=rows["ci_low"].clip(0, 1),
        ci_high=rows["ci_high"].clip(0, 1),
    )
    columns = ["panel", "compared", "score", "rank", "train_set", "compared_share", "position"]
    columns += ["target", "estimate", "ci_low", "ci_high", "n_runs", "n_images"]
    return rows.sort_values(["panel", "rank", "position"], ignore_index=True)[columns]


def draw_uncertainty(data: pd.DataFrame, groups: Sequence[Group]) -> Figure:
    """For each pair two panels of AUROC, a row per score, in it the training sets side by side; chance is dashed."""
    pairs = pairs_of(groups)
    scores = list(dict.fromkeys(data["score"]))
    sets = ordered_sets(data)
    height = (0.25 + 0.16 * len(sets)) * len(scores) + (1.1 if len(pairs) == 1 else 1.3)  # with a line more of title
    figure, panels, legend = panel_grid(
        len(PANELS), height, columns=2, legend_rows=math.ceil(len(sets) / 4), blocks=len(pairs)
    )
    colours, shifts = set_colours(len(sets)), side_by_side(len(sets), 0.7)
    of_panels = [(pair, panel, title) for pair in pairs for panel, title in enumerate(PANELS)]
    for axes, (pair, panel, title) in zip(panels, of_panels, strict=True):
        mine = data[(data["panel"] == panel) & (data["compared"] == pair.compared)]
        axes.axvline(0.5, color=MUTED, linewidth=0.8, linestyle="--")
        for position, label in zip(sets["position"], set_names(sets, groups[1].name), strict=True):
            rows = mine[mine["position"] == position]
            marker = MARKERS[position % len(MARKERS)]
            places = rows["rank"] + shifts[position]
            draw_intervals(axes, places, rows, colours[position], marker, label, horizontal=True)
        axes.set_yticks(range(len(scores)), [SCORE_NAMES.get(score, score) for score in scores])
        axes.set_ylim(len(scores) - 0.5, -0.5)
        axes.set_xlim(-0.02, 1.02)
        axes.set_title(title if len(pairs) == 1 else f"{title}\n({joined(pair)})")
        axes.set_xlabel("AUROC (0.5: chance)")
    label_edges(panels, len(pairs))
    legend.legend(*panels[0].get_legend_handles_labels(), loc="center", ncols=min(len(sets), 4))
    return figure


def uncertainty_text(data: pd.DataFrame, groups: Sequence[Group]) -> FigureText:
    """Title, caption and alternative text; names the best score of each panel by its mean over training sets."""
    several = len(groups) > 2
    compared = "compared" if several else groups[1].name
    best = {}
    for pair in pairs_of(groups):
        found = []
        for panel, question in enumerate(("the highest errors", "the group")):
            rows = data[(data["panel"] == panel) & (data["compared"] == pair.compared)]
            means = rows.groupby("score")["estimate"].mean()
            if means.notna().any():
                name = SCORE_NAMES.get(str(means.idxmax()), str(means.idxmax())).replace("\n", " ")
                found.append(f"{question}: {name}, {means.max():.2f} on average")
        best[pair.compared] = f"best for {'; '.join(found)}"
    return FigureText(
        "Does a model's own uncertainty raise the flag?",
        "How well each measure of uncertainty finds the worst images (left) and the group that training left out "
        f"(right): AUROC, {data['n_runs'].max()} runs, {span(data['n_images'].tolist())} different test images. At the "
        "dashed line it says nothing.\n\n"
        "Area under the ROC curve with which each measure finds the tenth of the test images with the "
        "highest error (left) and the images of the group missing from the training set (right; * the "
        f"{compared} group where both are in it){', a row per pair of groups' if several else ''}; means over runs "
        "with intervals over runs, which end at 0 and 1. The variance across models needs all runs, is "
        "scored on the test images of the first, and its interval covers the choice of images alone. Below the "
        f"dashed line {compared} or badly reconstructed images look more certain. "
        f"{capital(by_pair(best))}.",
        f"AUROC of uncertainty measures by training set. {capital(by_pair(best))}.",
    )
