"""Estimates with their intervals, and the training sets on an axis."""

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from evenhand.figures.style import INK, percent

MARKERS = "osD^vP*XdhH"


def ordered_sets(table: pd.DataFrame) -> pd.DataFrame:
    """The training sets of a table by dark share, then name.

    Returns:
        train_set, dark_share, position (0, 1, ...).
    """
    sets = table[["train_set", "dark_share"]].drop_duplicates()
    sets = sets.sort_values(["dark_share", "train_set"], ignore_index=True)
    return sets.assign(position=range(len(sets)))


def set_colours(count: int) -> list[str]:
    """One colour per training set, from dark violet to yellow-green: ordered and told apart by everyone."""
    return [to_hex(colour) for colour in mpl.colormaps["viridis"](np.linspace(0, 0.85, count))]


def set_axis(axes: Axes, sets: pd.DataFrame) -> None:
    """Name the training sets on the x axis: name and share, or the share alone where there are many."""
    many = len(sets) > 6
    # At most six names, so that they stay apart in a narrow panel.
    named = sets.iloc[:: math.ceil(len(sets) / 6)]
    pairs = zip(named["train_set"], named["dark_share"], strict=True)
    axes.set_xticks(named["position"], [f"{100 * s:.3g}" if many else f"{n}\n{percent(s)}" for n, s in pairs])
    axes.set_xticks(sets["position"], minor=True)
    axes.set_xlim(-0.6, len(sets) - 0.4)
    axes.set_xlabel("dark share of the training set, %" if many else "training set (% dark)")


def set_names(sets: pd.DataFrame) -> list[str]:
    """Training sets in running text, such as "A (0 % dark)"."""
    return [f"{n} ({percent(s)} dark)" for n, s in zip(sets["train_set"], sets["dark_share"], strict=True)]


def draw_intervals(
    axes: Axes,
    places: Sequence[float] | pd.Series,
    rows: pd.DataFrame,
    colour: str,
    marker: str,
    label: str = "",
    horizontal: bool = False,
) -> None:
    """Estimates as markers with their intervals as bars; an empty interval is not drawn.

    Args:
        axes: to draw on.
        places: of the rows, on x (or on y where `horizontal`).
        rows: columns estimate, ci_low, ci_high.
        colour: of marker and bar.
        marker: of the estimates.
        label: for the legend.
        horizontal: estimates on x.
    """
    at = np.asarray(places, dtype=float)
    estimate, low, high = (rows[name].to_numpy(float) for name in ("estimate", "ci_low", "ci_high"))
    bars = axes.hlines if horizontal else axes.vlines
    bars(at, low, high, color=colour, linewidth=2, zorder=2)
    x, y = (estimate, at) if horizontal else (at, estimate)
    axes.plot(x, y, marker, color=colour, markersize=6, markeredgecolor=INK, markeredgewidth=0.6, label=label, zorder=3)
