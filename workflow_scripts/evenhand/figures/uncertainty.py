"""Which measure of uncertainty would have raised the flag: against high error, and against an unrepresented group."""

import math
from collections.abc import Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from evenhand.evaluation.measures import CONTROLS, MEASURES
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
from evenhand.stats.uncertainty import LACKED

FIGURES: Declared = {
    "uncertainty": {
        "place": 90,
        "label": "uncertainty as a warning sign",
        "section": "Results",
        "files": ["uncertainty"],
        "needs": ["training"],
    }
}

COLUMNS = (
    *("train_set", "compared_share", "compared", "score", "statistic", "target"),
    *("estimate", "ci_low", "ci_high", "n_runs", "n_images"),
)
SCORE_NAMES = {name: fill(measure.title, 17) for name, measure in MEASURES.items()}
# The questions of the panels, each with its statistic and its value by chance. All but the first are of the group that
# is not in the training set, or, where both are in it, of the compared one, for which there is no alarm.
PANELS = (
    ("flags the tenth of {compared}\nimages of highest error", "auroc", 0.5),
    ("flags the group that is not\nin the training set*", "auroc", 0.5),
    ("the same with both\ncontrols held fixed*", "auroc_adjusted", 0.5),
    ("share of that group caught\nat 5 % false alarms", "alarm", 0.05),
)


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    data = uncertainty_data(given.table("uncertainty", COLUMNS))
    return Drawing(uncertainty_text(data, given.groups), lambda: draw_uncertainty(data, given.groups))


def uncertainty_data(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the four questions.

    Args:
        table: columns `COLUMNS`.

    Returns:
        panel (number in `PANELS`), compared, score, rank of the score (controls first), train_set, compared_share,
        position, estimate, ci_low, ci_high, n_runs, n_images; intervals are cut to [0, 1], beyond which there is
        nothing.
    """
    of_group = (table["target"] == LACKED) | (table["target"] == table["compared"] + " group")
    worst = table["target"] == "worst decile of " + table["compared"] + " images"
    panel = pd.Series(np.nan, index=table.index)
    for number, (_, statistic, _) in enumerate(PANELS):
        panel[(table["statistic"] == statistic) & (of_group if number else worst)] = number
    rows = table.assign(panel=panel)[panel.notna()]
    rows = rows.merge(ordered_sets(rows), on=["train_set", "compared_share"], validate="many_to_one")
    names = sorted(dict.fromkeys(rows["score"]), key=lambda score: score not in CONTROLS)
    ranks = {score: rank for rank, score in enumerate(names)}
    rows = rows.assign(
        panel=rows["panel"].astype(int),
        rank=rows["score"].map(ranks),
        ci_low=rows["ci_low"].clip(0, 1),
        ci_high=rows["ci_high"].clip(0, 1),
    )
    columns = ["panel", "compared", "score", "rank", "train_set", "compared_share", "position"]
    columns += ["target", "estimate", "ci_low", "ci_high", "n_runs", "n_images"]
    return rows.sort_values(["panel", "rank", "position"], ignore_index=True)[columns]


def bars_to_clear(rows: pd.DataFrame) -> pd.Series:
    """By position of the training set the AUROC of the better control, in the direction in which it is the better."""
    controls = rows[rows["score"].isin(CONTROLS)]
    return (0.5 + (controls["estimate"] - 0.5).abs()).groupby(controls["position"]).max()


def draw_uncertainty(data: pd.DataFrame, groups: Sequence[Group]) -> Figure:
    """For each pair the panels, a row per score, in it the training sets side by side; chance is dashed.

    Dotted, in the colour of the training set: what the better control does.
    """
    pairs = pairs_of(groups)
    scores = data.sort_values("rank")["score"].drop_duplicates().tolist()
    sets = ordered_sets(data)
    height = max(0.42, 0.16 + 0.11 * len(sets)) * len(scores) + (
        1.1 if len(pairs) == 1 else 1.3
    )  # with a line more of title
    figure, panels, legend = panel_grid(
        len(PANELS), height, columns=2, legend_rows=math.ceil(len(sets) / 4), blocks=len(pairs)
    )
    colours, shifts = set_colours(len(sets)), side_by_side(len(sets), 0.7)
    of_panels = [(pair, panel, *of) for pair in pairs for panel, of in enumerate(PANELS)]
    for axes, (pair, panel, words, statistic, chance) in zip(panels, of_panels, strict=True):
        title = words.format(compared=pair.compared)
        mine = data[(data["panel"] == panel) & (data["compared"] == pair.compared)]
        axes.axvline(chance, color=MUTED, linewidth=0.8, linestyle="--")
        if statistic == "auroc":
            bars = bars_to_clear(mine)
            for position in bars.index:
                axes.axvline(bars[position], color=colours[position], linewidth=1.2, linestyle=":")
        for position, label in zip(sets["position"], set_names(sets, groups[1].name), strict=True):
            rows = mine[mine["position"] == position]
            marker = MARKERS[position % len(MARKERS)]
            places = rows["rank"] + shifts[position]
            draw_intervals(axes, places, rows, colours[position], marker, label, horizontal=True)
        axes.set_yticks(range(len(scores)), [SCORE_NAMES.get(score, score) for score in scores])
        axes.set_ylim(len(scores) - 0.5, -0.5)
        axes.set_xlim(-0.02, 1.02)
        axes.set_title(title if len(pairs) == 1 else f"{title}\n({joined(pair)})")
        axes.set_xlabel("AUROC, or share caught (dashed: chance)")
    label_edges(panels, len(pairs))
    legend.legend(*panels[0].get_legend_handles_labels(), loc="center", ncols=min(len(sets), 4))
    return figure


def uncertainty_text(data: pd.DataFrame, groups: Sequence[Group]) -> FigureText:
    """Title, caption and alternative text; names the best score of each question by its mean over training sets."""
    several = len(groups) > 2
    compared = "compared" if several else groups[1].name
    best = {}
    for pair in pairs_of(groups):
        found = []
        for panel, question in enumerate(("the highest errors", "the group", "the group after controls", "the alarm")):
            rows = data[(data["panel"] == panel) & (data["compared"] == pair.compared)]
            means = rows[~rows["score"].isin(CONTROLS)].groupby("score")["estimate"].mean()
            if means.notna().any():
                name = SCORE_NAMES[str(means.idxmax())].replace("\n", " ")
                bar = bars_to_clear(rows).mean() if panel < 2 else math.nan
                against = "" if math.isnan(bar) else f" (the better control {bar:.2f})"
                found.append(f"{question}: {name}, {means.max():.2f} on average{against}")
        best[pair.compared] = f"best for {'; '.join(found)}"
    return FigureText(
        "Would a warning have rung?",
        "How well scores of uncertainty find the worst images and the group that training left out, also with controls "
        f"held fixed: AUROC, {data['n_runs'].max()} runs, {span(data['n_images'].tolist())} different test images. "
        "Dashed: chance; dotted: the better control.\n\n"
        "Scores of uncertainty, and two controls that know no model (top rows): the area under the ROC curve with "
        f"which each finds the tenth of the {compared} test images of highest error, and the images of the group "
        f"missing from the training set (* the {compared} group where both are in it), alone and with both controls "
        "held fixed; and the share of that group that it catches where 5 % of the other group raise a false alarm"
        f"{', a block per pair of groups' if several else ''}. Means over runs with intervals over images and runs, "
        "which end at 0 and 1. Dotted is the bar to clear. Scores across models need all runs, are held against the "
        "test images of the first, and their intervals cover the choice of images alone; those with the error in them "
        f"are not held against it. {capital(by_pair(best))}.",
        f"Scores of uncertainty as warnings, by training set. {capital(by_pair(best))}.",
    )
