"""How reconstructions shift colour, per training set and test group (claim C9)."""

import pandas as pd
from matplotlib.figure import Figure

from evenhand.figures.common import Declared, Drawing, FigureText, Given, GroupNames
from evenhand.figures.grid import panel_grid
from evenhand.figures.intervals import draw_intervals, ordered_sets, set_axis, set_names
from evenhand.figures.style import GROUPS, MUTED

FIGURES: Declared = {
    "colour_shift": {
        "place": 70,
        "label": "colour shift of reconstructions",
        "section": "Results",
        "files": ["colour"],
    }
}

COLUMNS = (
    *("train_set", "dark_share", "group", "quantity", "estimate", "ci_low", "ci_high"),
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
    rows = rows.merge(ordered_sets(rows), on=["train_set", "dark_share"], validate="many_to_one")
    return rows.sort_values(["quantity", "group", "position"], ignore_index=True)


def draw_colour(data: pd.DataFrame, names: GroupNames) -> Figure:
    """One panel per quantity, the groups side by side for each training set, intervals over runs."""
    quantities = [quantity for quantity in QUANTITIES if (data["quantity"] == quantity).any()]
    figure, panels, legend = panel_grid(len(quantities), 2.3, share=False)
    for axes, quantity in zip(panels, quantities, strict=True):
        axes.axhline(0, color=MUTED, linewidth=0.8, linestyle="--")
        for (group, style), shift in zip(GROUPS.items(), (-0.13, 0.13), strict=True):
            rows = data[(data["quantity"] == quantity) & (data["group"] == group)]
            draw_intervals(axes, rows["position"] + shift, rows, style.colour, style.marker, getattr(names, group))
        set_axis(axes, ordered_sets(data))
        axes.set_ylabel(QUANTITIES[quantity])
        axes.grid(axis="y")
    legend.legend(*panels[0].get_legend_handles_labels(), loc="center", ncols=2)
    return figure


def colour_text(data: pd.DataFrame, names: GroupNames) -> FigureText:
    """Title, caption and alternative text; gives the shift of lightness by group and training set."""
    sets = ordered_sets(data)
    found = []
    for group in GROUPS:
        rows = data[(data["quantity"] == "dl") & (data["group"] == group)].sort_values("position")
        values = ["not measured" if pd.isna(value) else f"{value:+.1f}" for value in rows["estimate"]]
        shifts = ", ".join(f"{value} {name}" for value, name in zip(values, set_names(sets), strict=True))
        found.append(f"{getattr(names, group)}: {shifts}")
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
