"""What the metadata alone tell: images by Fitzpatrick skin type, and how common each condition is in each group."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from evenhand.figures.common import Declared, Drawing, FigureText, Given, counts_by_pair
from evenhand.figures.panels import label_points, legend_columns, mark_values
from evenhand.figures.style import BLUE, FAINT, INK, MUTED, PAGE_WIDTH, SMALL, group_styles, joined, new_figure, percent
from evenhand.splits.groups import Group

FIGURES: Declared = {
    "fst_counts": {
        "place": 110,
        "label": "images by skin type",
        "section": "Data",
        "files": ["fst_counts"],
        "paper": 2,
        "needs": ["skin"],
    },
    "prevalence": {
        "place": 120,
        "label": "condition prevalence",
        "section": "Data",
        "files": ["prevalence"],
        "settings": ["label_conditions"],
        "paper": 7,
    },
}

COUNT_COLUMNS = ("skin_type", "group", "n")
SCALES = (-1, 1, 2, 3, 4, 5, 6)
SHARE_COLUMNS = (
    *("compared", "level", "condition", "n_reference", "n_compared"),
    *("share_reference", "share_compared"),
)
LEVELS = ("three", "nine", "fine")


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    groups = given.groups
    if given.name == "fst_counts":
        counts = fst_count_data(given.table("fst_counts", COUNT_COLUMNS), groups)
        return Drawing(fst_count_text(counts, groups), lambda: draw_fst_counts(counts, groups))
    shares = prevalence_data(given.table("prevalence", SHARE_COLUMNS))
    labels = given.settings["label_conditions"]
    return Drawing(prevalence_text(shares, groups), lambda: draw_prevalence(shares, groups, labels))


def fst_count_data(table: pd.DataFrame, groups: Sequence[Group]) -> pd.DataFrame:
    """One row per skin type in the order of the scale, zero where the table has none.

    Args:
        table: columns `COUNT_COLUMNS`; scale -1 is a missing label; group is a name, or anything else for none.
        groups: of the study.

    Returns:
        Columns skin_type, group (a name or the empty string), n.
    """
    counts = table.groupby("skin_type")["n"].sum()
    group = table.drop_duplicates("skin_type").set_index("skin_type")["group"]
    names = [group.name for group in groups]
    return pd.DataFrame(
        {
            "skin_type": SCALES,
            "group": [name if (name := group.get(scale)) in names else "" for scale in SCALES],
            "n": [int(counts.get(scale, 0)) for scale in SCALES],
        }
    )


def draw_fst_counts(data: pd.DataFrame, groups: Sequence[Group]) -> Figure:
    """Bars of counts by skin type, the groups in their colours, each bar with its number."""
    figure = new_figure(PAGE_WIDTH, 3.1)
    axes = figure.add_subplot()
    labels = ["missing\n(−1)" if scale < 0 else str(scale) for scale in data["skin_type"]]  # noqa: RUF001
    styles = group_styles([group.name for group in groups])
    names = [*((group.name, group.title) for group in groups), ("", f"in {_none_of(groups)}")]
    for group, name in names:
        rows = data[data["group"] == group]
        if rows.empty:
            continue
        style = styles.get(group)
        bars = axes.bar(
            rows.index,
            rows["n"],
            width=0.72,
            color=style.colour if style else FAINT,
            hatch=style.hatch if style else "",
            edgecolor="white" if style and style.hatch else "none",
            label=f"{name}: {rows['n'].sum():,}",
        )
        axes.bar_label(bars, [f"{n:,}" for n in rows["n"]], padding=2, fontsize=SMALL, color=INK)
        shares = rows["n"] / max(1, data["n"].sum())
        types = ["missing" if scale < 0 else f"FST {scale}" for scale in rows["skin_type"]]
        texts = [
            f"{kind}: {n:,} images, {percent(round(share, 4))}, {name}"
            for kind, n, share in zip(types, rows["n"], shares, strict=True)
        ]
        mark_values(axes, rows.index, rows["n"], texts)
    axes.set_xticks(range(len(data)), labels)
    axes.set_xlabel("Fitzpatrick skin type (FST), light to dark")
    axes.set_ylabel("images")
    axes.margins(y=0.12)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if (data["group"] != "").any():
        columns = legend_columns(axes.get_legend_handles_labels()[1])
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, columnspacing=1.0, handlelength=1.2)
    return figure


def fst_count_text(data: pd.DataFrame, groups: Sequence[Group]) -> FigureText:
    """Title, caption and alternative text."""
    n = data.groupby("group")["n"].sum()
    reference, *others = groups
    many = {group.name: int(n.get(group.name, 0)) for group in groups}
    compared = joined([f"{group.title}, {many[group.name]:,} images" for group in others])
    counts = ", ".join(
        f"{'missing' if scale < 0 else scale}: {count:,}"
        for scale, count in zip(data["skin_type"], data["n"], strict=True)
    )
    ratios = joined(
        [
            f"{many[reference.name] / many[group.name]:.1f} {reference.name} images for every {group.name} one"
            if many[group.name]
            else f"there is no {group.name} image"
            for group in others
        ]
    )
    # Groups that rest on something else have no types.
    study = (
        f" The study compares {reference.title}, {many[reference.name]:,} images, with {compared}: {ratios}. Grey bars "
        f"are in {_none_of(groups)}."
        if any(many.values())
        else ""
    )
    return FigureText(
        "Images by Fitzpatrick skin type",
        f"Number of images by Fitzpatrick skin type (n = {data['n'].sum():,}).{study}",
        f"Bar chart of image counts by Fitzpatrick skin type. {counts}.",
    )


def _none_of(groups: Sequence[Group]) -> str:
    return "neither group" if len(groups) == 2 else "no group"


def prevalence_data(table: pd.DataFrame) -> pd.DataFrame:
    """Conditions by level, the largest difference between the groups first (ties by name).

    Args:
        table: columns `SHARE_COLUMNS`; shares are of all images of the group, in [0, 1].

    Returns:
        `SHARE_COLUMNS` and difference (share_compared - share_reference).
    """
    data = table.assign(
        difference=table["share_compared"] - table["share_reference"],
        rank=table["level"].map({level: rank for rank, level in enumerate(LEVELS)}),
    )
    data = data.assign(size=data["difference"].abs())
    data = data.sort_values(["rank", "size", "condition"], ascending=[True, False, True], ignore_index=True)
    return data[[*SHARE_COLUMNS, "difference"]]


def total_variation(data: pd.DataFrame) -> float:
    """Half the sum of absolute differences of shares: 0 for equal mixes, 1 for disjoint ones."""
    return float(data["difference"].abs().sum() / 2)


def draw_prevalence(data: pd.DataFrame, groups: Sequence[Group], label_count: int) -> Figure:
    """For each pair a square panel per level: reference on x, compared group on y, equal shares, outliers named."""
    reference, *others = groups
    levels = _levels(data)
    figure = new_figure(PAGE_WIDTH, 2.75 * len(others))
    panels = figure.subplots(len(others), len(levels), squeeze=False)
    parts = {
        (row, column): data[(data["compared"] == group.name) & (data["level"] == level)]
        for row, group in enumerate(others)
        for column, level in enumerate(levels)
    }
    for place, rows in parts.items():
        axes = panels[place]
        limit = 1.12 * 100 * float(np.max(rows[["share_reference", "share_compared"]].to_numpy()))
        axes.plot([0, limit], [0, limit], color=MUTED, linewidth=0.8, linestyle="--")
        axes.scatter(
            100 * rows["share_reference"],
            100 * rows["share_compared"],
            s=26 if len(rows) < 20 else 14,
            color=BLUE,
            alpha=0.75,
            edgecolor="white",
            linewidth=0.4,
        )
        texts = [
            f"{row.condition}: {row.share_reference:.2%} (x), {row.share_compared:.2%} (y); "
            f"{row.n_reference:,} and {row.n_compared:,} images"
            for row in rows.itertuples()
        ]
        mark_values(axes, 100 * rows["share_reference"], 100 * rows["share_compared"], texts)
        axes.set_xlim(-0.02 * limit, limit)
        axes.set_ylim(-0.02 * limit, limit)
        axes.set_box_aspect(1)
        axes.set_title(f"{len(rows)} conditions\ntotal variation {total_variation(rows):.2f}")
        axes.locator_params(nbins=5)
    for axes, group in zip(panels[:, 0], others, strict=True):
        axes.set_ylabel(f"% of images of\n{group.title}")
    figure.supxlabel(f"% of images of {reference.title}", fontsize="medium")
    for place, rows in parts.items():
        points = 100 * rows[["share_reference", "share_compared"]].to_numpy()
        label_points(panels[place], points, rows["condition"].head(label_count).tolist())
    return figure


def prevalence_text(data: pd.DataFrame, groups: Sequence[Group]) -> FigureText:
    """Title, caption and alternative text."""
    reference, *others = groups
    levels = _levels(data)
    variation, largest = {}, []
    among: list[str] = []
    for group in others:
        parts = [data[(data["compared"] == group.name) & (data["level"] == level)] for level in levels]
        variation[group.name] = ", ".join(f"{total_variation(rows):.2f} over {len(rows)} conditions" for rows in parts)
        finest = parts[-1]
        first = finest.iloc[0]
        largest.append(
            f"{first['condition']}, {100 * first['share_reference']:.1f} % of {reference.name} and "
            f"{100 * first['share_compared']:.1f} % of {group.name} images"
        )
        among = among or [f"{reference.title} (x, n = {finest['n_reference'].sum():,})"]
        among.append(f"{group.title} (y, n = {finest['n_compared'].sum():,})")
    several = len(others) > 1
    return FigureText(
        f"Condition prevalence in the {'two ' if not several else ''}groups",
        f"Share of each condition among images of {joined(among)}. On the dashed line a condition is equally common in "
        "both.\n\n"
        f"One panel per level of the label hierarchy{' and compared group' if several else ''}. Total "
        "variation, the share of images that would have to change condition for the mixes to agree: "
        f"{counts_by_pair(variation)}. Largest difference at the finest level: {'; '.join(largest)}.",
        f"Scatter plots of condition prevalence, {reference.name} against {joined([group.name for group in others])} "
        f"group{'s' if several else ''}. Total variation: {counts_by_pair(variation)}.",
    )


def _levels(data: pd.DataFrame) -> list[str]:
    """The levels of conditions that there are, from coarse to fine."""
    return [level for level in LEVELS if (data["level"] == level).any()]
