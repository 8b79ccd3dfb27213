"""Which photographs are there, by what decides on the group, by group, source and condition; what the design loses."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from evenhand.figures.common import Declared, Drawing, FigureText, Given
from evenhand.figures.panels import mark_values
from evenhand.figures.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    MUTED,
    PAGE_WIDTH,
    SMALL,
    group_styles,
    joined,
    new_figure,
    percent,
    span,
)
from evenhand.splits.groups import Group, columns_of

FIGURES: Declared = {
    "availability": {
        "place": 130,
        "label": "available photographs",
        "section": "Data",
        "files": ["availability", "design"],
    }
}

COLUMNS = ("by", "value", "n", "ok", "share_ok", "reasons")
DESIGN_COLUMNS = ("train_set", "compared_share", "planned", "drawn")
SECTIONS = {"group": "group", "source": "source", "condition_3": "class"}
SKIN_TYPES = {"skin_type": "skin type", "second_skin_type": "skin type"}


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    groups = given.groups
    bars, conditions = availability_data(given.table("availability", COLUMNS), groups)
    design = given.table("design", DESIGN_COLUMNS)
    return Drawing(
        availability_text(bars, conditions, design, groups), lambda: draw_availability(bars, conditions, design, groups)
    )


def availability_data(table: pd.DataFrame, groups: Sequence[Group]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows for bars (section, name, n, ok, share_ok) and those for points, one per condition (n, share_ok).

    Args:
        table: `COLUMNS`, as in tables/availability.csv.
        groups: of the study; a column that decides on them has its bars.
    """
    sections = {column: SKIN_TYPES.get(column, column) for column in columns_of(groups)} | SECTIONS
    bars = table[table["by"].isin(sections)]
    bars = bars.assign(section=bars["by"].map(sections), name=bars["value"])
    bars.loc[((bars["section"] == "skin type") & (bars["name"] == "-1")) | (bars["name"] == ""), "name"] = "missing"
    if len(groups) > 2:
        bars.loc[(bars["section"] == "group") & (bars["name"] == "neither"), "name"] = "no group"
    columns = ["section", "name", "n", "ok", "share_ok"]
    conditions = table.loc[table["by"] == "condition", ["value", "n", "share_ok"]]
    return bars[columns].reset_index(drop=True), conditions.reset_index(drop=True)


def draw_availability(
    bars: pd.DataFrame, conditions: pd.DataFrame, design: pd.DataFrame, groups: Sequence[Group]
) -> Figure:
    """Bars of the share found; one point per condition; size of each training set before and after."""
    figure = new_figure(PAGE_WIDTH, max(4.4, 0.2 * len(bars)))
    grid = figure.add_gridspec(2, 2, width_ratios=[1.5, 1])
    _draw_bars(figure.add_subplot(grid[:, 0]), bars, groups)
    _draw_conditions(figure.add_subplot(grid[0, 1]), conditions)
    _draw_design(figure.add_subplot(grid[1, 1]), design)
    return figure


def availability_text(
    bars: pd.DataFrame, conditions: pd.DataFrame, design: pd.DataFrame, groups: Sequence[Group]
) -> FigureText:
    """Title, caption and alternative text."""
    counts = bars[bars["section"] == "group"].set_index("name")[["ok", "n"]]
    total, found = int(counts["n"].sum()), int(counts["ok"].sum())
    among = [f"{counts['ok'][group.name]:,} of {counts['n'][group.name]:,} of {group.title}" for group in groups]
    none = int((conditions["share_ok"] == 0).sum())
    sizes = f"{span(design['drawn'].tolist())} images instead of {span(design['planned'].tolist())}"
    effect = "" if design["drawn"].equals(design["planned"]) else f" The training sets have {sizes}."
    shares = [
        f"{section} {name}: {percent(round(share, 3))}"
        for section, name, share in bars[["section", "name", "share_ok"]].itertuples(index=False)
    ]
    return FigureText(
        "Photographs that are there",
        f"Share of photographs found and decoded: {found:,} of {total:,}, among them "
        f"{joined(among)}. Each point is one of {len(conditions)} conditions; no photograph was found of "
        f"{none} of them.{effect} Reasons are in tables/availability_by_status.csv.",
        f"Bars of the share of photographs found. {'; '.join(shares)}.",
    )


def _draw_bars(axes: Axes, bars: pd.DataFrame, groups: Sequence[Group]) -> None:
    styles = group_styles([group.name for group in groups])
    position = 0.0
    ticks, labels = [], []
    for section, rows in bars.groupby("section", sort=False):
        axes.text(0, position - 0.15, str(section), fontsize=SMALL, fontweight="bold", va="center")
        for name, n, ok, share in rows[["name", "n", "ok", "share_ok"]].itertuples(index=False):
            position += 1
            style = styles.get(name) if section == "group" else None
            axes.barh(position, 1, height=0.72, color=FAINT, alpha=0.5)
            axes.barh(position, share, height=0.72, color=style.colour if style else GREEN)
            axes.text(1.02, position, f"{ok:,} of {n:,}", va="center", fontsize=SMALL, color=INK)
            ticks.append(position)
            labels.append(name)
        position += 1.3
    axes.set_yticks(ticks, labels)
    axes.set_ylim(position - 0.5, -0.8)
    axes.set_xlim(0, 1.42)  # room for the numbers
    axes.set_xticks([0, 0.5, 1])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel("photographs found", loc="left")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_bounds(0, 1)


def _draw_conditions(axes: Axes, conditions: pd.DataFrame) -> None:
    axes.plot(conditions["n"], conditions["share_ok"], "o", color=BLUE, alpha=0.6, markersize=4, markeredgewidth=0)
    axes.set_xscale("log")
    texts = [f"{row.value}: {row.share_ok:.0%} of {row.n:,} photographs" for row in conditions.itertuples()]
    mark_values(axes, conditions["n"], conditions["share_ok"], texts)
    low, high = conditions["n"].min(), conditions["n"].max()
    ticks = [digit * 10**power for power in range(5) for digit in (1, 2, 5) if low <= digit * 10**power <= high]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(-0.05, 1.05)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel("images of the condition")
    axes.set_ylabel("photographs found")
    axes.grid(visible=True)


def _draw_design(axes: Axes, design: pd.DataFrame) -> None:
    places = range(len(design))
    for shift, column, colour, label in [(-0.2, "planned", MUTED, "all photographs"), (0.2, "drawn", GREEN, "found")]:
        axes.bar([place + shift for place in places], design[column], 0.36, color=colour, label=label)
    names = design["train_set"].tolist()
    if len(names) <= 3:  # room for the numbers
        sizes = design[["drawn", "planned"]].itertuples(index=False)
        names = [f"{name}\n{drawn:,} of\n{planned:,}" for name, (drawn, planned) in zip(names, sizes, strict=True)]
    axes.set_xticks(places, names)
    axes.set_xlabel("training set")
    axes.set_ylabel("images")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.margins(y=0.5)
    axes.legend(loc="upper left")
