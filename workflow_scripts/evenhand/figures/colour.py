"""What models do to colour and tone: how reconstructions shift it (claim C9), what tone generated images have."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from evenhand.evaluation.measures import MEASURES
from evenhand.figures.common import Declared, Drawing, FigureText, Given
from evenhand.figures.panels import (
    draw_intervals,
    legend_columns,
    ordered_sets,
    panel_grid,
    set_axis,
    set_names,
    side_by_side,
)
from evenhand.figures.style import GREEN, MUTED, PURPLE, SKY, group_styles
from evenhand.splits.groups import Group

FIGURES: Declared = {
    "colour_shift": {
        "place": 70,
        "label": "colour shift of reconstructions",
        "section": "Results",
        "files": ["colour"],
        "needs": ["skin"],
    },
    "samples": {
        "place": 100,
        "label": "tone of generated images",
        "section": "Results",
        "files": ["samples"],
        "needs": ["skin", "training"],
    },
}

COLUMNS = (
    *("train_set", "compared_share", "group", "quantity", "estimate", "ci_low", "ci_high"),
    *("n_runs", "n_images", "n_no_skin"),
)
OF_COLOUR = {name: measure for name, measure in MEASURES.items() if measure.table == "colour_runs"}
# Shifts first, then the differences, which have no sign.
QUANTITIES = {
    **{name: measure.label for name, measure in OF_COLOUR.items() if not measure.better},
    "ita_shift": "ITA, degrees\n(below 0: darker)",
    **{name: measure.label for name, measure in OF_COLOUR.items() if measure.better},
}
SAMPLE_COLUMNS = (
    *("train_set", "compared_share", "sample_of", "quantity", "estimate", "ci_low", "ci_high"),
    *("n_runs", "n_images"),
)
SAMPLE_QUANTITIES = {
    "ita_mean": "mean ITA, degrees\n(lower: darker)",
    "ita_sd": "standard deviation\nof ITA, degrees",
    "wasserstein": "distance to the training\nimages, degrees of ITA",
}
STYLES = {"training": (MUTED, "D"), "prior": (PURPLE, "o"), "posterior": (GREEN, "^")}


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    if given.name == "colour_shift":
        data = colour_data(given.table("colour", COLUMNS))
        return Drawing(colour_text(data, given.groups), lambda: draw_colour(data, given.groups))
    samples = sample_data(given.table("samples", SAMPLE_COLUMNS))
    return Drawing(sample_text(samples, given.groups), lambda: draw_samples(samples, given.groups))


def colour_data(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `QUANTITIES` with the position of the training set, by quantity, group and position."""
    rows = table[table["quantity"].isin(list(QUANTITIES))]
    rows = rows.merge(ordered_sets(rows), on=["train_set", "compared_share"], validate="many_to_one")
    return rows.sort_values(["quantity", "group", "position"], ignore_index=True)


def draw_colour(data: pd.DataFrame, groups: Sequence[Group]) -> Figure:
    """One panel per quantity, the groups side by side for each training set, intervals over runs."""
    quantities = [quantity for quantity in QUANTITIES if (data["quantity"] == quantity).any()]
    titles = [group.title for group in groups]
    lines = math.ceil(len(groups) / legend_columns(titles))
    figure, panels, legend = panel_grid(len(quantities), 2.3, share=False, legend_rows=lines)
    styles = group_styles([group.name for group in groups])
    for axes, quantity in zip(panels, quantities, strict=True):
        axes.axhline(0, color=MUTED, linewidth=0.8, linestyle="--")
        for group, shift in zip(groups, side_by_side(len(groups), 0.52), strict=True):
            rows = data[(data["quantity"] == quantity) & (data["group"] == group.name)]
            style = styles[group.name]
            draw_intervals(axes, rows["position"] + shift, rows, style.colour, style.marker, group.title)
        set_axis(axes, ordered_sets(data), groups[1].name)
        axes.set_ylabel(QUANTITIES[quantity])
        axes.grid(axis="y")
    legend.legend(*panels[0].get_legend_handles_labels(), loc="center", ncols=legend_columns(titles))
    return figure


def colour_text(data: pd.DataFrame, groups: Sequence[Group]) -> FigureText:
    """Title, caption and alternative text; gives the shift of lightness by group and training set."""
    sets = ordered_sets(data)
    found = []
    for group in groups:
        rows = data[(data["quantity"] == "dl") & (data["group"] == group.name)].sort_values("position")
        values = ["not measured" if pd.isna(value) else f"{value:+.1f}" for value in rows["estimate"]]
        shifts = ", ".join(
            f"{value} {name}" for value, name in zip(values, set_names(sets, groups[1].name), strict=True)
        )
        found.append(f"{group.title}: {shifts}")
    n = data["n_images"].mean()
    lost = data["n_no_skin"].mean()
    return FigureText(
        "Colour shift of the reconstructions",
        "Colour of the reconstruction minus colour of the input on skin pixels, CIELAB units and degrees of ITA, mean "
        f"over {data['n_runs'].max()} runs with intervals; on average {n:.0f} test images per run and group, "
        f"{lost:.0f} without detectable skin left out.\n\nA model that keeps colour lies on the dashed line. Shift of "
        f"lightness: {'; '.join(found)}.",
        f"Colour shift by training set and group. Shift of lightness: {'; '.join(found)}.",
    )


def sample_data(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `SAMPLE_QUANTITIES` with the position of the training set, by quantity, sample and position.

    The distance from the test images to the training images is left out: it is that of two different mixes.
    """
    rows = table[table["quantity"].isin(list(SAMPLE_QUANTITIES))]
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
    quantities = [quantity for quantity in SAMPLE_QUANTITIES if (data["quantity"] == quantity).any()]
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
        axes.set_ylabel(SAMPLE_QUANTITIES[quantity])
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
        f"images; means over {data['n_runs'].max()} runs with intervals, per run on average {sizes}.\n\n"
        "Of these, those with detectable skin. A fair generator reproduces the tones it was trained on: the "
        "first two markers coincide "
        "and the distance is small. Reconstructions show what tones the decoder can make when it is given an image. "
        f"Mean ITA in degrees, {found}.",
        f"Apparent tone of generated and of training images by training set. Mean ITA in degrees, {found}.",
    )
