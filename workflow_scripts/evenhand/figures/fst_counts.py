"""Figure 2 of the paper: how many images the dataset has of each Fitzpatrick skin type."""

import pandas as pd
from matplotlib.figure import Figure

from evenhand.figures.common import Declared, Drawing, FigureText, Given, GroupNames
from evenhand.figures.style import FAINT, GROUPS, INK, PAGE_WIDTH, SMALL, new_figure

FIGURES: Declared = {
    "fst_counts": {"place": 110, "label": "2 images by skin type", "section": "Data", "files": ["fst_counts"]}
}

COLUMNS = ("fitzpatrick_scale", "group", "n")
SCALES = (-1, 1, 2, 3, 4, 5, 6)


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    data = fst_count_data(given.table("fst_counts", COLUMNS))
    return Drawing(fst_count_text(data, given.groups), lambda: draw_fst_counts(data, given.groups))


def fst_count_data(table: pd.DataFrame) -> pd.DataFrame:
    """One row per skin type in the order of the scale, zero where the table has none.

    Args:
        table: columns `COLUMNS`; scale -1 is a missing label; group is `light`, `dark` or anything else for neither.

    Returns:
        Columns fitzpatrick_scale, group (`light`, `dark` or the empty string), n.
    """
    counts = table.groupby("fitzpatrick_scale")["n"].sum()
    group = table.drop_duplicates("fitzpatrick_scale").set_index("fitzpatrick_scale")["group"]
    return pd.DataFrame(
        {
            "fitzpatrick_scale": SCALES,
            "group": [name if (name := group.get(scale)) in GROUPS else "" for scale in SCALES],
            "n": [int(counts.get(scale, 0)) for scale in SCALES],
        }
    )


def draw_fst_counts(data: pd.DataFrame, names: GroupNames) -> Figure:
    """Bars of counts by skin type, the two test groups in their colours, each bar with its number."""
    figure = new_figure(PAGE_WIDTH, 3.1)
    axes = figure.add_subplot()
    labels = ["missing\n(−1)" if scale < 0 else str(scale) for scale in data["fitzpatrick_scale"]]  # noqa: RUF001
    legend: dict[str, str] = {"light": names.light, "dark": names.dark, "": "in neither group"}
    for group, name in legend.items():
        rows = data[data["group"] == group]
        if rows.empty:
            continue
        style = GROUPS.get(group)
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
    axes.set_xticks(range(len(data)), labels)
    axes.set_xlabel("Fitzpatrick skin type (FST), light to dark")
    axes.set_ylabel("images")
    axes.margins(y=0.12)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, columnspacing=1.0, handlelength=1.2)
    return figure


def fst_count_text(data: pd.DataFrame, names: GroupNames) -> FigureText:
    """Title, caption and alternative text of figure 2."""
    n = data.groupby("group")["n"].sum()
    light, dark, total = int(n.get("light", 0)), int(n.get("dark", 0)), int(data["n"].sum())
    counts = ", ".join(
        f"{'missing' if scale < 0 else scale}: {count:,}"
        for scale, count in zip(data["fitzpatrick_scale"], data["n"], strict=True)
    )
    ratio = f"{light / dark:.1f} light images for every dark one" if dark else "there is no dark image"
    return FigureText(
        "Images by Fitzpatrick skin type",
        f"Number of images by Fitzpatrick skin type (n = {total:,}). The study compares {names.light}, {light:,} "
        f"images, with {names.dark}, {dark:,} images: {ratio}. Grey bars are in neither group.",
        f"Bar chart of image counts by Fitzpatrick skin type. {counts}.",
    )
