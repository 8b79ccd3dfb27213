"""Apparent tone of images generated from the prior, beside the tone of the training images."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from evenhand.figures.common import Declared, Drawing, FigureText, Given
from evenhand.figures.panels import draw_intervals, ordered_sets, panel_grid, set_axis, set_names, side_by_side
from evenhand.figures.style import GREEN, MUTED, PURPLE, SKY
from evenhand.splits.groups import Group

FIGURES: Declared = {
    "samples": {
        "place": 100,
        "label": "tone of generated images",
        "section": "Results",
        "files": ["samples"],
        "needs": ["skin"],
    }
}

KEYS = ("train_set", "compared_share", "sample_of", "quantity")
COLUMNS = (*KEYS, "estimate", "ci_low", "ci_high", "n_runs", "n_images")
QUANTITIES = {
    "ita_mean": "mean ITA, degrees\n(lower: darker)",
    "ita_sd": "standard deviation\nof ITA, degrees",
    "wasserstein": "distance to the training\nimages, degrees of ITA",
}
STYLES = {"training": (MUTED, "D"), "prior": (PURPLE, "o"), "posterior": (GREEN, "^")}


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    data = sample_data(given.table("samples", COLUMNS))
    return Drawing(sample_text(data, given.groups), lambda: draw_samples(data, given.groups))


def sample_data(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `QUANTITIES` with the position of the training set, by quantity, sample and position.

    The distance from the test images to the training images is left out: it is that of two different mixes.
    """
    rows = table[table["quantity"].isin(list(QUANTITIES))]
    rows = rows[(rows["quantity"] != "wasserstein") | (rows["sample_of"] != "posterior")]
    rows = rows.merge(ordered_sets(rows), on=["train_set", "compared_share"], validate="many_to_one")
    return rows.sort_values(["quantity", "sample_of", "position"], ignore_index=True)


def sample_names(groups: Sequence[Group]) -> dict[str, str]:
    """What the samples are called; the test images are as many of each group."""
    test = f"half {groups[1].name}" if len(groups) == 2 else "as many of each group"
    return {
        "training": "training images",
        "prior": "decoded from the prior",
        "posterior": f"reconstructed test images ({test})",
    }


def draw_samples(data: pd.DataFrame, groups: Sequence[Group]) -> Figure:
    """One panel per quantity, samples side by side for each training set, intervals over runs."""
    quantities = [quantity for quantity in QUANTITIES if (data["quantity"] == quantity).any()]
    figure, panels, legend = panel_grid(len(quantities), 2.5, share=False)
    names = sample_names(groups)
    given = set(data["sample_of"])
    kinds = list(dict.fromkeys([*(kind for kind in STYLES if kind in given), *sorted(given)]))
    for axes, quantity in zip(panels, quantities, strict=True):
        for kind, shift in zip(kinds, side_by_side(len(kinds), 0.52), strict=True):
            colour, marker = STYLES.get(kind, (SKY, "v"))
            rows = data[(data["quantity"] == quantity) & (data["sample_of"] == kind)]
            draw_intervals(axes, rows["position"] + shift, rows, colour, marker, names.get(kind, f"{kind} images"))
        set_axis(axes, ordered_sets(data), groups[1].name)
        axes.set_ylabel(QUANTITIES[quantity])
        axes.grid(axis="y")
        if quantity == "wasserstein":
            axes.set_ylim(bottom=0)
    legend.legend(*panels[0].get_legend_handles_labels(), loc="center", ncols=4)
    return figure


def sample_text(data: pd.DataFrame, groups: Sequence[Group]) -> FigureText:
    """Title, caption and alternative text; compares mean tone of samples and of training images."""
    means = data[data["quantity"] == "ita_mean"].pivot_table(index="position", columns="sample_of", values="estimate")
    names = sample_names(groups)
    kinds = [kind for kind in names if kind in means]
    counts = data.groupby("sample_of")["n_images"].mean()
    sizes = ", ".join(f"{counts[kind]:.0f} {names[kind]}" for kind in kinds)
    found = "; ".join(
        f"{name}: " + ", ".join(f"{names[kind]} {means[kind][position]:.0f}" for kind in kinds)
        for position, name in enumerate(set_names(ordered_sets(data), groups[1].name))
        if position in means.index
    )
    return FigureText(
        "What skin tone do the models generate?",
        "Apparent tone (individual typology angle) of images decoded from the prior, beside that of the training "
        f"images, per training set; means over {data['n_runs'].max()} runs with intervals, per run on average {sizes} "
        "with detectable skin. A fair generator reproduces the tones it was trained on: the first two markers coincide "
        "and the distance is small. Reconstructions show what tones the decoder can make when it is given an image. "
        f"Mean ITA in degrees, {found}.",
        f"Apparent tone of generated and of training images by training set. Mean ITA in degrees, {found}.",
    )
