"""The gap between the test groups per training set, as it is and with conditions or sources held fixed (claim C11)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from evenhand.evaluation.measures import MEASURES, PRINCIPAL
from evenhand.figures.common import Declared, Drawing, FigureText, Given, by_pair, compared_images
from evenhand.figures.panels import (
    counted,
    draw_intervals,
    label_edges,
    mark_values,
    ordered_sets,
    panel_grid,
    set_axis,
    set_names,
    side_by_side,
)
from evenhand.figures.style import (
    FAINT,
    INK,
    MUTED,
    PAGE_WIDTH,
    PURPLE,
    SMALL,
    group_styles,
    joined,
    new_figure,
    percent,
    span,
)
from evenhand.splits.groups import Group, pairs_of

FIGURES: Declared = {
    "overview": {"place": 5, "label": "error and gap at a glance", "section": "Results", "files": ["gaps"]},
    "gaps": {"place": 20, "label": "gap between the groups", "section": "Results", "files": ["gaps"]},
    "adjusted_gaps": {
        "place": 40,
        "label": "gap with conditions or sources held fixed",
        "section": "Results",
        "files": ["adjusted"],
    },
}

OVERVIEW_WIDTH = 4.2  # inches: letters stay readable on a phone
KEYS = ("train_set", "compared_share", "compared")
COLUMNS = (
    *(*KEYS, "metric", "n_runs", "n_test", "ratio", "gap", "ci_low", "ci_high"),
    *("naive_low", "naive_high", "margin", "shared", "shared_low", "shared_high"),
)
OVERVIEW_COLUMNS = (*COLUMNS, "mean_reference", "mean_compared")
ADJUSTED_COLUMNS = (
    *(*KEYS, "adjustment", "n_strata", "coverage", "gap", "ci_low", "ci_high", "crude_gap"),
    *("n_runs", "n_reference", "n_compared"),
)


def drawing(given: Given) -> Drawing:
    """The figure from its files."""
    groups = given.groups
    if given.name == "overview":
        data = gap_data(given.table("gaps", OVERVIEW_COLUMNS))
        errors = data[data["metric"] == "mse"]
        return Drawing(overview_text(errors, groups), lambda: draw_overview(errors, groups))
    if given.name == "gaps":
        data = gap_data(given.table("gaps", COLUMNS))
        return Drawing(gap_text(data, groups), lambda: draw_gaps(data, groups))
    adjusted = adjusted_data(given.table("adjusted", ADJUSTED_COLUMNS))
    return Drawing(adjusted_text(adjusted, groups), lambda: draw_adjusted(adjusted, groups))


def gap_data(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `PRINCIPAL` measures in the order of the figure: by metric, then share of the compared group, then name.

    Args:
        table: columns `COLUMNS`, one row per training set, pair and metric; gap is compared minus reference.

    Returns:
        `COLUMNS` with `estimate` for the gap, and position.
    """
    rows = table[table["metric"].isin(PRINCIPAL)].rename(columns={"gap": "estimate"})
    rows = rows.merge(ordered_sets(rows), on=["train_set", "compared_share"], validate="many_to_one")
    order = rows["metric"].map({metric: rank for rank, metric in enumerate(PRINCIPAL)})
    return rows.assign(order=order).sort_values(["order", "position"], ignore_index=True).drop(columns="order")


def draw_overview(data: pd.DataFrame, groups: Sequence[Group]) -> Figure:
    """Mean error by training set and group, and under it the gaps with their intervals; as narrow as a phone."""
    names = [group.name for group in groups]
    styles, sets = group_styles(names), ordered_sets(data)
    figure = new_figure(OVERVIEW_WIDTH, 3.9)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.25, 1])
    pairs = pairs_of(groups)
    of_reference = data[data["compared"] == pairs[0].compared]
    series = [(groups[0], of_reference, "mean_reference")]
    series += [(group, data[data["compared"] == group.name], "mean_compared") for group in groups[1:]]
    for group, rows, column in series:
        style = styles[group.name]
        above.plot(
            rows["position"],
            rows[column],
            style.marker,
            color=style.colour,
            linestyle=":",
            linewidth=1,
            markersize=7,
            markeredgecolor=INK,
            markeredgewidth=0.6,
            label=group.title,
        )
        texts = [f"{group.name}: {row[column]:.4g}; {counted(row)}" for row in rows.to_dict("records")]
        mark_values(above, rows["position"], rows[column], texts)
    above.margins(y=0.12)
    above.set_ylim(bottom=0)
    above.set_ylabel("mean squared error")
    above.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2 if len(groups) == 2 else 1)
    below.axhline(0, color=MUTED, linewidth=0.8, linestyle="--")
    for pair, shift in zip(pairs, side_by_side(len(pairs), 0.5), strict=True):
        rows = data[data["compared"] == pair.compared]
        colour, marker = (PURPLE, "o") if len(pairs) == 1 else styles[pair.compared][:2]
        for position, half in rows.loc[rows["margin"].notna(), ["position", "margin"]].to_numpy():
            below.fill_between([position - 0.4, position + 0.4], -half, half, color=FAINT, alpha=0.35, linewidth=0)
        draw_intervals(below, rows["position"] + shift, rows, colour, marker)
    set_axis(below, sets, groups[1].name)
    of_gap = f"{groups[1].name} − {groups[0].name}" if len(pairs) == 1 else f"less {groups[0].name}"  # noqa: RUF001
    below.set_ylabel(f"gap, {of_gap}")
    for axes in (above, below):
        axes.grid(axis="y")
    figure.align_ylabels()
    return figure


def overview_text(data: pd.DataFrame, groups: Sequence[Group]) -> FigureText:
    """Title, caption and alternative text; the latter gives every mean and gap."""
    reference, *others = groups
    found = {}
    for group in others:
        rows = data[data["compared"] == group.name]
        found[group.name] = "; ".join(
            f"{name} {group.name} {compared:.4g}, {reference.name} {mean:.4g}, gap {gap:+.3g}"
            + ("" if pd.isna(low) else f" ({low:.3g} to {high:.3g})")
            for name, compared, mean, gap, low, high in zip(
                set_names(rows, groups[1].name),
                *(rows[key] for key in ("mean_compared", "mean_reference", "estimate", "ci_low", "ci_high")),
                strict=True,
            )
        )
    area = " Inside the grey area a gap was declared to be no difference." if data["margin"].notna().any() else ""
    return FigureText(
        "Error by training set and group, and the gap between them",
        f"Above: mean error; below: the gap with its interval over images and models, {data['n_runs'].max()} "
        f"run{'s' if data['n_runs'].max() > 1 else ''} of {data['n_test'].max():,.0f} test images per group. Above 0 "
        f"{compared_images(groups)} have the larger error.{area}",
        f"Mean squared error and its gap by training set. {by_pair(found)}.",
    )


def draw_gaps(data: pd.DataFrame, groups: Sequence[Group]) -> Figure:
    """A column per metric, a row per pair: mean gap with its interval, the naive one beside it, no gap.

    The thin line is the interval that allows for the training images that runs share.
    """
    pairs = pairs_of(groups)
    figure = new_figure(PAGE_WIDTH, 0.55 + 3.0 * len(pairs))
    metrics = list(dict.fromkeys(data["metric"]))
    layout = figure.add_gridspec(1 + len(pairs), len(metrics), height_ratios=[0.45, *[3.0] * len(pairs)])
    legend = figure.add_subplot(layout[0, :])
    legend.set_axis_off()
    handles: list[Artist] = [
        Line2D([], [], marker="o", color=PURPLE, markeredgecolor=INK, label="gap with interval over images and models"),
        Line2D([], [], color=PURPLE, linewidth=0.8, label="all differences from shared images"),
        Line2D([], [], color=FAINT, linewidth=2, label="naive interval"),
    ]
    for column, metric in enumerate(metrics):
        first = None
        for line, pair in enumerate(pairs):
            # On one scale, so that the gaps of several groups can be compared.
            first = axes = figure.add_subplot(layout[1 + line, column], sharey=first)
            rows = data[(data["metric"] == metric) & (data["compared"] == pair.compared)]
            axes.axhline(0, color=MUTED, linewidth=0.8, linestyle="--")
            axes.vlines(rows["position"] + 0.15, rows["naive_low"], rows["naive_high"], color=FAINT, linewidth=2)
            margin = rows.dropna(subset="margin")
            for position, half in zip(margin["position"], margin["margin"], strict=True):
                axes.fill_between([position - 0.4, position + 0.4], -half, half, color=FAINT, alpha=0.35, linewidth=0)
            known = rows[np.isfinite(rows["shared_high"])]
            axes.vlines(known["position"], known["shared_low"], known["shared_high"], color=PURPLE, linewidth=0.8)
            draw_intervals(axes, rows["position"], rows, PURPLE, "o")
            set_axis(axes, ordered_sets(data), groups[1].name)
            axes.set_ylabel(f"gap, {pair.compared} − {pair.reference}\n{MEASURES[metric].label}")  # noqa: RUF001 - a minus sign
    if data["margin"].notna().any():
        handles.append(Patch(color=FAINT, alpha=0.35, label="margin declared as no difference"))
    legend.legend(handles=handles, loc="center", ncols=2)
    return figure


def gap_text(data: pd.DataFrame, groups: Sequence[Group]) -> FigureText:
    """Title, caption and alternative text; the caption gives gap and interval of the error per training set."""
    errors = data[data["metric"] == "mse"]
    reference, *others = groups
    found = {}
    for group in others:
        rows = errors[errors["compared"] == group.name]
        names = set_names(rows, groups[1].name)
        found[group.name] = "; ".join(
            f"{name} {gap:+.3g}" + ("" if pd.isna(low) else f" ({low:.3g} to {high:.3g})")
            for name, gap, low, high in zip(names, rows["estimate"], rows["ci_low"], rows["ci_high"], strict=True)
        )
    shared = errors.drop_duplicates("train_set").dropna(subset="shared")
    shares = ", ".join(
        f"{percent(round(share, 2))} under {name}"
        for name, share in zip(shared["train_set"], shared["shared"], strict=True)
    )
    overlap = (
        "Both take a model's error to depend little on which images it was trained on. Two runs share part of their "
        f"training images ({shares}), and what these do to the error looks like a property of the training set; the "
        "thin lines hold even if all that runs differ in came from there. "
    )
    return FigureText(
        "Gap between the groups by training set",
        f"Mean of {joined([group.name for group in others], 'or')} minus mean of {reference.name} images, over "
        f"{errors['n_runs'].max()} runs of {errors['n_test'].max():,.0f} test images per group. Above 0 "
        f"{compared_images(groups)} have the larger value.\n\nCompared: {joined([group.title for group in groups])}. "
        "Coloured bars are confidence intervals over images and models (two-way clustered variance); grey bars take "
        f"runs for independent and are too short. {overlap if shares else ''}"
        "Where a grey area is drawn, a gap inside it was declared to be no difference. "
        f"{by_pair(found, 'Error gap')}.",
        f"Gap between {joined([group.name for group in [*others, reference]])} test images by training set. "
        f"{by_pair(found, 'Error gap')}.",
    )


def adjusted_data(table: pd.DataFrame) -> pd.DataFrame:
    """Adjustments per training set, in the order of the table, with `estimate` for the gap and position of the set."""
    rows = table.rename(columns={"gap": "estimate"})
    rows = rows.merge(ordered_sets(rows), on=["train_set", "compared_share"], validate="many_to_one")
    ranks = {name: rank for rank, name in enumerate(dict.fromkeys(rows["adjustment"]))}
    return rows.assign(rank=rows["adjustment"].map(ranks)).sort_values(["position", "rank"], ignore_index=True)


def draw_adjusted(data: pd.DataFrame, groups: Sequence[Group]) -> Figure:
    """For each pair a panel per training set, a row per adjustment; hollow markers: unadjusted, on the same images."""
    sets = ordered_sets(data)
    pairs = pairs_of(groups)
    adjustments = list(dict.fromkeys(data["adjustment"]))
    height, columns = 0.35 * len(adjustments) + 0.7, 3 if len(sets) <= 6 else 4
    figure, panels, legend = panel_grid(len(sets), height, columns, blocks=len(pairs))
    of_panels = [
        (pair, name, share) for pair in pairs for name, share in sets[["train_set", "compared_share"]].to_numpy()
    ]
    for axes, (pair, name, share) in zip(panels, of_panels, strict=True):
        rows = data[(data["train_set"] == name) & (data["compared"] == pair.compared)]
        axes.axvline(0, color=MUTED, linewidth=0.8, linestyle="--")
        draw_intervals(axes, rows["rank"], rows, PURPLE, "o", "adjusted gap", horizontal=True)
        crude = "unadjusted, same images"
        axes.plot(
            rows["crude_gap"], rows["rank"] + 0.22, "o", color="none", markeredgecolor=INK, markersize=4, label=crude
        )
        for rank, coverage, estimate in zip(rows["rank"], rows["coverage"], rows["estimate"], strict=True):
            text = "too few images" if pd.isna(estimate) else f"{100 * coverage:.0f} %"
            axes.text(
                1, rank - 0.12, text, transform=axes.get_yaxis_transform(), ha="right", va="bottom", fontsize=SMALL
            )
        axes.set_yticks(range(len(adjustments)), adjustments)
        axes.set_ylim(len(adjustments) - 0.4, -0.6)
        axes.grid(axis="y", color=FAINT, linewidth=0.3)
        axes.set_title(f"{name}, {percent(share)} {groups[1].name}")
        axes.set_xlabel(f"error gap, {pair.compared} − {pair.reference}")  # noqa: RUF001 - a minus sign
        axes.locator_params(axis="x", nbins=4)
        axes.margins(x=0.12)
    label_edges(panels, len(pairs))
    legend.legend(*panels[0].get_legend_handles_labels(), loc="center", ncols=2)
    return figure


def adjusted_text(data: pd.DataFrame, groups: Sequence[Group]) -> FigureText:
    """Title, caption and alternative text; the caption says by how much holding conditions fixed changes the gap."""
    everything = data[data["adjustment"] == "none"]
    by_source = "source" in set(data["adjustment"])
    reference, *others = groups
    images = [f"{span(everything['n_reference'].tolist())} different {reference.name}"]
    found = {}
    for group in others:
        mine = data[data["compared"] == group.name]
        counts = everything.loc[everything["compared"] == group.name, "n_compared"]
        images.append(f"{span(counts.tolist())} different {group.name}")
        sets = ordered_sets(mine)
        sentences = []
        for label, name in zip(set_names(sets, groups[1].name), sets["train_set"], strict=True):
            rows = mine[mine["train_set"] == name].set_index("adjustment")
            gaps = "; ".join(
                f"{adjustment} {rows['estimate'][adjustment]:+.3g}"
                for adjustment in rows.index
                if rows["n_strata"][adjustment]
            )
            sentences.append(f"{label}: {gaps}")
        found[group.name] = ". ".join(sentences)
    return FigureText(
        "The gap with conditions or sources held fixed" if by_source else "The gap with conditions held fixed",
        f"Error gap when the groups have the same mix of conditions{', sources, or both' if by_source else ''}; "
        f"{data['n_runs'].max()} runs, {joined(images)} test images. A gap that came from the mix would bring the "
        "filled markers to the dashed line.\n\n"
        f"Mean squared error of {joined([group.title for group in others], 'or')} minus that of {reference.title}, "
        "with intervals over images and models. They are too short where much of the error depends on which "
        "images a model was trained on "
        "(docs/calibration.md). Percentages are the share of test images in the compared strata; the hollow marker is "
        "the unadjusted gap on those images. "
        f"{by_pair(found)}.",
        f"Adjusted and unadjusted error gaps by training set. {by_pair(found)}.",
    )
