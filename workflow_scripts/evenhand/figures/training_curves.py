"""Loss and its terms by epoch, a line per model."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from evenhand.figures.common import Declared, Drawing, FigureText, Given, rows_to_draw
from evenhand.figures.panels import mark_values, ordered_sets, panel_grid, set_colours, set_names
from evenhand.splits.groups import Group, read_train_sets
from evenhand.workflow.planning import start_suffix

FIGURES: Declared = {
    "training_curves": {
        "place": 150,
        "label": "loss by epoch",
        "section": "Training",
        "files": ["train_sets", "histories"],
        "needs": ["training"],
        "settings": ["runs", "starts"],
    }
}

# In words; a user's own family may have others.
TERMS = {
    "loss": "loss",
    "mse": "mean squared error",
    "kl": "KL divergence\n(mean over latents)",
    "distance": "squared distance\nof latents to codes",
    "perceptual": "perceptual",
}
# A loss has converged when its mean fall an epoch, over this many last epochs, is less than this part of it.
LAST_EPOCHS = 3
CONVERGED = 0.01


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    histories = [
        rows_to_draw(given.models / train_set.name / f"run{number}{start_suffix(start)}" / "history.csv").assign(
            train_set=train_set.name, compared_share=train_set.share(given.groups[1].name), run=number, start=start
        )
        for train_set in read_train_sets(given.files["train_sets"])
        for number in range(given.settings["runs"])
        for start in range(given.settings["starts"])
    ]
    data = training_data(pd.concat(histories, ignore_index=True))
    return Drawing(training_text(data), lambda: draw_training(data, given.groups))


def training_data(histories: pd.DataFrame) -> pd.DataFrame:
    """Histories of all models in one order.

    Args:
        histories: train_set, compared_share, run, start, epoch, loss and its terms, one row per model and epoch.

    Returns:
        The same with position of the training set, by position, run, start and epoch.
    """
    rows = histories.merge(ordered_sets(histories), on=["train_set", "compared_share"], validate="many_to_one")
    return rows.sort_values(["position", "run", "start", "epoch"], ignore_index=True)


def draw_training(data: pd.DataFrame, groups: Sequence[Group]) -> Figure:
    """One panel per term of the loss, a line per model, coloured by training set."""
    sets = ordered_sets(data)
    beside = {"epoch", "train_set", "compared_share", "run", "start", "position"}
    terms = [term for term in data if term not in beside and data[term].notna().any()]
    figure, panels, legend = panel_grid(len(terms), 2.1, 2, share=False, legend_rows=math.ceil(len(sets) / 4))
    marker = "o" if data["epoch"].max() == 1 else "-"
    # Thousands of outlines would make a file of many megabytes; as a bitmap they look the same.
    bitmap = len(data[["train_set", "run", "start"]].drop_duplicates()) > 100
    for axes, term in zip(panels, terms, strict=True):
        names = set_names(sets, groups[1].name)
        for position, label, colour in zip(sets["position"], names, set_colours(len(sets)), strict=True):
            mine = data[data["position"] == position]
            for index, ((run, start), rows) in enumerate(mine.groupby(["run", "start"])):
                model = f"{label}, run {run}" + (f", start {start}" if start else "")
                name = label if index == 0 else ""
                axes.plot(rows["epoch"], rows[term], marker, color=colour, linewidth=1, label=name, rasterized=bitmap)
                last = rows.tail(0 if bitmap else 1)  # of thousands of points the last of each model
                texts = [f"{model}: {row[term]:.4g} after epoch {row['epoch']}" for row in last.to_dict("records")]
                mark_values(axes, last["epoch"], last[term], texts)
        axes.set_ylabel(TERMS.get(str(term), str(term)))
        axes.set_xlabel("epoch")
        axes.grid(axis="y")
        axes.locator_params(axis="x", integer=True)
    legend.legend(*panels[0].get_legend_handles_labels(), loc="center", ncols=min(len(sets), 4))
    return figure


def training_text(data: pd.DataFrame) -> FigureText:
    """Title, caption and alternative text; says whether the loss converged, by the rule of `CONVERGED`."""
    epochs = int(data["epoch"].max())
    loss = data.pivot_table(index=["train_set", "run", "start"], columns="epoch", values="loss")
    models = len(loss)
    if epochs > LAST_EPOCHS:
        falls = 1 - (loss[epochs] / loss[epochs - LAST_EPOCHS]) ** (1 / LAST_EPOCHS)
        end = (
            f" Over the last {LAST_EPOCHS} epochs the loss fell by {100 * falls.mean():.1f} % an epoch on average "
            f"({100 * falls.min():.1f} to {100 * falls.max():.1f} % by model). By the rule that a converged loss falls "
            f"by less than {100 * CONVERGED:.0f} % an epoch, {(falls < CONVERGED).sum()} of {models} models have "
            f"converged by epoch {epochs}."
        )
    else:
        end = f" Too few epochs to tell whether the loss converged (more than {LAST_EPOCHS} are needed)."
    return FigureText(
        "Training",
        f"Loss on the training images and its terms over {epochs} epoch{'s' if epochs > 1 else ''}, one line for each "
        f"of {models} models.{end} Lines of one colour should lie close together; one that stands out needs a look.",
        f"Line plots of the loss and its terms by epoch for {models} models.{end}",
    )
