"""Which measure of uncertainty would have raised the flag: against high error, and against an unrepresented group."""

import math

import pandas as pd
from matplotlib.figure import Figure

from evenhand.figures.common import Declared, Drawing, FigureText, Given
from evenhand.figures.grid import panel_grid
from evenhand.figures.intervals import MARKERS, draw_intervals, ordered_sets, set_colours, set_names
from evenhand.figures.style import MUTED, span

FIGURES: Declared = {
    "uncertainty": {
        "place": 90,
        "label": "uncertainty as a warning sign",
        "section": "Results",
        "files": ["uncertainty"],
    }
}

COLUMNS = (
    *("train_set", "dark_share", "score", "statistic", "target"),
    *("estimate", "ci_low", "ci_high", "n_runs", "n_images"),
)
SCORE_NAMES = {
    "latent_std": "latent standard\ndeviation",
    "kl": "KL divergence",
    "decoding_var": "variance of\nsampled decodings",
    "ensemble_var": "variance across\nmodels of other runs",
}
# The question of each panel: the targets of the table that answer it, and its title.
PANELS = (
    (("worst decile",), "flags the tenth of images\nwith the highest error"),
    (("group not in the training set", "dark group"), "flags the group that is not\nin the training set*"),
)


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    data = uncertainty_data(given.table("uncertainty", COLUMNS))
    return Drawing(uncertainty_text(data), lambda: draw_uncertainty(data))


def uncertainty_data(table: pd.DataFrame) -> pd.DataFrame:
    """AUROC rows of the two questions.

    Args:
        table: columns `COLUMNS`.

    Returns:
        panel (0 or 1), score, rank of the score, train_set, dark_share, position, estimate, ci_low, ci_high, n_runs,
        n_images; intervals are cut to [0, 1], beyond which no AUROC can lie.
    """
    panels = {target: panel for panel, (targets, _) in enumerate(PANELS) for target in targets}
    rows = table[(table["statistic"] == "auroc") & table["target"].isin(list(panels))]
    rows = rows.merge(ordered_sets(rows), on=["train_set", "dark_share"], validate="many_to_one")
    ranks = {score: rank for rank, score in enumerate(dict.fromkeys(rows["score"]))}
    rows = rows.assign(
        panel=rows["target"].map(panels),
        rank=rows["score"].map(ranks),
        ci_low=rows["ci_low"].clip(0, 1),
        ci_high=rows["ci_high"].clip(0, 1),
    )
    columns = ["panel", "score", "rank", "train_set", "dark_share", "position"]
    columns += ["target", "estimate", "ci_low", "ci_high", "n_runs", "n_images"]
    return rows.sort_values(["panel", "rank", "position"], ignore_index=True)[columns]


def draw_uncertainty(data: pd.DataFrame) -> Figure:
    """Two panels of AUROC, a row per score, training sets beside one another within a row, chance as a dashed line."""
    scores = list(dict.fromkeys(data["score"]))
    sets = ordered_sets(data)
    height = (0.25 + 0.16 * len(sets)) * len(scores) + 1.1
    figure, panels, legend = panel_grid(len(PANELS), height, columns=2, legend_rows=math.ceil(len(sets) / 4))
    colours = set_colours(len(sets))
    for panel, (axes, (_, title)) in enumerate(zip(panels, PANELS, strict=True)):
        axes.axvline(0.5, color=MUTED, linewidth=0.8, linestyle="--")
        for position, label in zip(sets["position"], set_names(sets), strict=True):
            rows = data[(data["panel"] == panel) & (data["position"] == position)]
            shift = 0.7 * ((position + 0.5) / len(sets) - 0.5)
            marker = MARKERS[position % len(MARKERS)]
            draw_intervals(axes, rows["rank"] + shift, rows, colours[position], marker, label, horizontal=True)
        axes.set_yticks(range(len(scores)), [SCORE_NAMES.get(score, score) for score in scores])
        axes.set_ylim(len(scores) - 0.5, -0.5)
        axes.set_xlim(-0.02, 1.02)
        axes.set_title(title)
        axes.set_xlabel("AUROC (0.5: chance)")
        axes.label_outer()
    legend.legend(*panels[0].get_legend_handles_labels(), loc="center", ncols=min(len(sets), 4))
    return figure


def uncertainty_text(data: pd.DataFrame) -> FigureText:
    """Title, caption and alternative text; names the best score of each panel by its mean over training sets."""
    best = []
    for panel, question in enumerate(("the highest errors", "the group")):
        means = data[data["panel"] == panel].groupby("score")["estimate"].mean()
        if means.notna().any():
            name = SCORE_NAMES.get(str(means.idxmax()), str(means.idxmax())).replace("\n", " ")
            best.append(f"{question}: {name}, {means.max():.2f} on average")
    found = "; ".join(best)
    return FigureText(
        "Does a model's own uncertainty raise the flag?",
        "Area under the ROC curve with which each measure of uncertainty finds the tenth of the test images with the "
        "highest error (left) and the images of the group missing from the training set (right; * the dark group "
        f"where both are in it); means over {data['n_runs'].max()} runs with intervals over runs, which end at 0 and 1 "
        f"({span(data['n_images'].tolist())} different test images). The variance across models needs all runs, is "
        "scored on the test images of the first, and its interval covers the choice of images alone. At the dashed "
        "line a measure says nothing, below it dark or badly reconstructed images look more certain. "
        f"Best for {found}.",
        f"AUROC of uncertainty measures by training set. Best for {found}.",
    )
