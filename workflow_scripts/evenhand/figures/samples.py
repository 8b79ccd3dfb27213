"""Apparent tone of images generated from the prior, beside the tone of the training images."""

import pandas as pd
from matplotlib.figure import Figure

from evenhand.figures.common import Declared, Drawing, FigureText, Given
from evenhand.figures.grid import panel_grid
from evenhand.figures.intervals import draw_intervals, ordered_sets, set_axis, set_names
from evenhand.figures.style import GREEN, MUTED, PURPLE, SKY

FIGURES: Declared = {
    "samples": {"place": 100, "label": "tone of generated images", "section": "Results", "files": ["samples"]}
}

COLUMNS = ("train_set", "dark_share", "source", "quantity", "estimate", "ci_low", "ci_high", "n_runs", "n_images")
QUANTITIES = {
    "ita_mean": "mean ITA, degrees\n(lower: darker)",
    "ita_sd": "standard deviation\nof ITA, degrees",
    "wasserstein": "distance to the training\nimages, degrees of ITA",
}
SOURCE_NAMES = {
    "training": "training images",
    "prior": "decoded from the prior",
    "posterior": "reconstructed test images (half dark)",
}
SOURCES = {"training": (MUTED, "D"), "prior": (PURPLE, "o"), "posterior": (GREEN, "^")}


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    data = sample_data(given.table("samples", COLUMNS))
    return Drawing(sample_text(data), lambda: draw_samples(data))


def sample_data(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `QUANTITIES` with the position of the training set, by quantity, source and position.

    The distance from the test images to the training images is left out: it is that of two different mixes.
    """
    rows = table[table["quantity"].isin(list(QUANTITIES))]
    rows = rows[(rows["quantity"] != "wasserstein") | (rows["source"] != "posterior")]
    rows = rows.merge(ordered_sets(rows), on=["train_set", "dark_share"], validate="many_to_one")
    return rows.sort_values(["quantity", "source", "position"], ignore_index=True)


def draw_samples(data: pd.DataFrame) -> Figure:
    """One panel per quantity, sources side by side for each training set, intervals over runs."""
    quantities = [quantity for quantity in QUANTITIES if (data["quantity"] == quantity).any()]
    figure, panels, legend = panel_grid(len(quantities), 2.5, share=False)
    sources = list(dict.fromkeys([*(s for s in SOURCES if (data["source"] == s).any()), *sorted(set(data["source"]))]))
    for axes, quantity in zip(panels, quantities, strict=True):
        for index, source in enumerate(sources):
            colour, marker = SOURCES.get(source, (SKY, "v"))
            rows = data[(data["quantity"] == quantity) & (data["source"] == source)]
            shift = 0.26 * ((index + 0.5) / len(sources) - 0.5) * 2
            draw_intervals(
                axes, rows["position"] + shift, rows, colour, marker, SOURCE_NAMES.get(source, f"{source} images")
            )
        set_axis(axes, ordered_sets(data))
        axes.set_ylabel(QUANTITIES[quantity])
        axes.grid(axis="y")
        if quantity == "wasserstein":
            axes.set_ylim(bottom=0)
    legend.legend(*panels[0].get_legend_handles_labels(), loc="center", ncols=4)
    return figure


def sample_text(data: pd.DataFrame) -> FigureText:
    """Title, caption and alternative text; compares mean tone of samples and of training images."""
    means = data[data["quantity"] == "ita_mean"].pivot_table(index="position", columns="source", values="estimate")
    kinds = [kind for kind in SOURCE_NAMES if kind in means]
    counts = data.groupby("source")["n_images"].mean()
    sizes = ", ".join(f"{counts[kind]:.0f} {SOURCE_NAMES[kind]}" for kind in kinds)
    found = "; ".join(
        f"{name}: " + ", ".join(f"{SOURCE_NAMES.get(kind, kind)} {means[kind][position]:.0f}" for kind in kinds)
        for position, name in enumerate(set_names(ordered_sets(data)))
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
