"""How reconstructions shift colour, per training set and test group (claim C9)."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

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
from evenhand.figures.style import MUTED, group_styles
from evenhand.splits.groups import Group

FIGURES: Declared = {
    "colour_shift": {
        "place": 70,
        "label": "colour shift of reconstructions",
        "section": "Results",
        "files": ["colour"],
        "needs": ["skin"],
    }
}

COLUMNS = (
    *("train_set", "compared_share", "group", "quantity", "estimate", "ci_low", "ci_high"),
    *("n_runs", "n_images", "n_no_skin"),
)
QUANTITIES = {
    "dl": "lightness L*\n(below 0: darker)",
    "da": "a*\n(above 0: redder)",
    "db": "b*\n(above 0: yellower)",
    "ita_shift": "ITA, degrees\n(below 0: darker)",
    "ciede2000": "difference CIEDE2000\n(0: same colour)",
}


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    data = colour_data(given.table("colour", COLUMNS))
    return Drawing(colour_text(data, given.groups), lambda: draw_colour(data, given.groups))


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
        f"{lost:.0f} without detectable skin left out. A model that keeps colour lies on the dashed line. Shift of "
        f"lightness: {'; '.join(found)}.",
        f"Colour shift by training set and group. Shift of lightness: {'; '.join(found)}.",
    )
