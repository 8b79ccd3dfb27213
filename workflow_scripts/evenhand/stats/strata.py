"""The gap with the mix of a stratum (condition, atlas) held fixed: direct standardisation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from evenhand.data.metadata import several_sources
from evenhand.stats.bootstrap import MAX_EMPTY, Draws, combined_interval, combined_p, jackknife_se, no_spread
from evenhand.stats.paired import joined
from evenhand.stats.rows import GROUPS, by_train_set

STRATA = {
    "condition": ["label"],
    "atlas": ["atlas"],
    "condition and atlas": ["label", "atlas"],
}


def standard_weights(images: pd.DataFrame, strata: pd.Series, min_images: int) -> pd.DataFrame:
    """Which strata count, and how much.

    Args:
        images: totals of one training set, one row per image: group, n (rows).
        strata: stratum of each image.
        min_images: fewest different images that each group must have in a stratum.

    Returns:
        Indexed by stratum: images_light, images_dark (different images), rows_light, rows_dark, eligible, share
        (of the stratum in the pooled rows; light and dark test sets are of one size, so both groups count
        alike) and weight (share within the eligible strata; 0 for the others).
    """
    by = images.assign(stratum=strata).groupby(["stratum", "group"])["n"]
    counts = by.size().unstack("group").reindex(columns=GROUPS).fillna(0).astype(int)
    rows = by.sum().unstack("group").reindex(columns=GROUPS).fillna(0).astype(int)
    table = counts.add_prefix("images_").join(rows.add_prefix("rows_")).sort_index()
    table["eligible"] = (counts.min(axis=1) >= min_images).reindex(table.index)
    table["share"] = (table["rows_light"] + table["rows_dark"]) / images["n"].sum()
    eligible = table["share"].where(table["eligible"], 0.0)
    table["weight"] = eligible / eligible.sum() if eligible.sum() > 0 else 0.0
    return table


@dataclass(frozen=True)
class StratumSums:
    """Sums and counts of the rows per run and stratum: `[group]` of shape (runs, strata)."""

    total: dict[str, np.ndarray]
    count: dict[str, np.ndarray]

    def gap(self, weights: np.ndarray) -> float:
        """sum over strata of weight times (mean dark - mean light), means over all rows of a stratum."""
        means = [self.total[group].sum(axis=0) / self.count[group].sum(axis=0) for group in ("dark", "light")]
        return float(weights @ (means[0] - means[1]))

    def left_out_gaps(self, weights: np.ndarray) -> np.ndarray:
        """`gap` with one run left out each; a stratum that is then empty takes no part."""
        means = []
        for group in ("dark", "light"):
            count = self.count[group].sum(axis=0) - self.count[group]
            means.append(_ratio(self.total[group].sum(axis=0) - self.total[group], count))
        return _weighted(means[0] - means[1], weights)


def stratum_sums(cells: pd.DataFrame, strata: pd.Series, names: Sequence[str]) -> StratumSums:
    """Sums by run, stratum (those in `names`) and group.

    Args:
        cells: totals of one training set: run, group, n, total.
        strata: stratum of each cell.
        names: strata to keep, in this order.
    """
    runs = sorted(cells["run"].unique())
    by = cells.assign(stratum=strata).groupby(["group", "run", "stratum"])[["total", "n"]].sum()
    index = pd.MultiIndex.from_product([GROUPS, runs, list(names)])
    shape = (len(GROUPS), len(runs), len(names))
    total = by["total"].reindex(index, fill_value=0.0).to_numpy().reshape(shape)
    count = by["n"].reindex(index, fill_value=0).to_numpy().reshape(shape)
    return StratumSums(dict(zip(GROUPS, total, strict=True)), dict(zip(GROUPS, count, strict=True)))


def resampled_gaps(
    images: pd.DataFrame, strata: pd.Series, names: Sequence[str], weights: np.ndarray, draws: Draws
) -> np.ndarray:
    """The standardised gap in each bootstrap sample of images; a stratum of which none is drawn takes no part."""
    codes = pd.Index(names).get_indexer(pd.Index(strata))
    means = {}
    for group in GROUPS:
        chosen = (images["group"] == group).to_numpy() & (codes >= 0)
        inside = images.loc[chosen, ["md5hash", "n", "total"]].assign(code=codes[chosen])
        inside = inside.sort_values(["code", "md5hash"])
        starts = np.unique(inside["code"], return_index=True)[1]
        # Every evaluation of an image is drawn with it, so its rows can be added up first. In blocks of resamples:
        # all of them times all images would be hundreds of megabytes.
        blocks = []
        for drawn in draws.blocks(group, inside["md5hash"]):
            total = np.add.reduceat(drawn * inside["total"].to_numpy(), starts, axis=1)
            count = np.add.reduceat(drawn * inside["n"].to_numpy(), starts, axis=1)
            blocks.append(_ratio(total, count))
        means[group] = np.concatenate(blocks)
    return _weighted(means["dark"] - means["light"], weights)


def adjusted_gaps(
    images: pd.DataFrame, cells: pd.DataFrame, draws: Draws, min_images: int, level: float, vanishing: float
) -> pd.DataFrame:
    """Gap per training set: as it is, and with the mix of conditions, of atlases and of both held fixed.

    Strata that one group (nearly) lacks cannot be compared; `coverage` says how much is left, and the crude gap
    on the images that are left separates the effect of leaving out from that of adjusting.

    Args:
        images: errors added up per training set and image (`error_totals`).
        cells: the same per run, training set and stratum.
        draws: images drawn (`draw_images`).
        min_images: fewest different images of each group in a stratum.
        level: of the intervals.
        vanishing: largest gap that counts as none, as a fraction of the light mean.

    Returns:
        train_set, dark_share, adjustment (`none`, or a key of `STRATA`), n_strata (compared), n_strata_all,
        n_light, n_dark (different images compared), coverage (fraction of the evaluation rows in compared strata),
        coverage_dark, gap, ci_low, ci_high, p (inverts the interval), p_vanish (two one-sided tests: small when the gap
        lies within the vanishing margin), relative (gap over the light mean), crude_gap (unadjusted, same images),
        n_runs, covers (what the interval accounts for), note (why a number is missing). Weights and the choice of
        strata are held fixed when resampling.
    """
    table = []
    for name, share, of_images in by_train_set(images):
        of_cells = cells[cells["train_set"] == name]
        for adjustment, columns in {"none": [], **STRATA}.items():
            if "atlas" in columns and not several_sources(images["atlas"]):
                continue  # one source: its mix is the same for the groups
            strata = _stratum(of_images, columns), _stratum(of_cells, columns)
            row = _adjusted_row(of_images, of_cells, strata, draws, min_images, level, vanishing)
            table.append({"train_set": name, "dark_share": share, "adjustment": adjustment} | row)
    return pd.DataFrame(table)


def _stratum(table: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """The values of the columns as one text per row."""
    strata = pd.Series("", index=table.index)
    for column in columns:
        strata = strata + table[column] + " / "
    return strata


def _adjusted_row(
    images: pd.DataFrame,
    cells: pd.DataFrame,
    strata: tuple[pd.Series, pd.Series],
    draws: Draws,
    min_images: int,
    level: float,
    vanishing: float,
) -> dict[str, object]:
    standard = standard_weights(images, strata[0], min_images)
    used = standard[standard["weight"] > 0]
    n_runs = cells["run"].nunique()
    row: dict[str, object] = {
        "n_strata": len(used),
        "n_strata_all": len(standard),
        "n_light": int(used["images_light"].sum()),
        "n_dark": int(used["images_dark"].sum()),
        "coverage": float(used["share"].sum()),
        "coverage_dark": float(used["rows_dark"].sum() / standard["rows_dark"].sum()),
        **dict.fromkeys(["gap", "ci_low", "ci_high", "p", "p_vanish", "relative", "crude_gap"], np.nan),
        "n_runs": n_runs,
        "covers": "",
        "note": "",
    }
    if used.empty:
        return row | {"note": f"no stratum has {min_images} different images of each group"}
    names, weights = list(used.index), used["weight"].to_numpy()
    sums = stratum_sums(cells, strata[1], names)
    gap = sums.gap(weights)
    se_runs = jackknife_se(sums.left_out_gaps(weights)) if n_runs > 1 else 0.0
    light = float(_group_means(cells)["light"])
    crude = _group_means(cells[strata[1].isin(names)])
    row |= {
        "gap": gap,
        "relative": gap / light if light else np.nan,
        "crude_gap": float(crude["dark"] - crude["light"]),
    }
    notes = [] if light else ["no relative gap: the light mean is 0"]
    resampled = resampled_gaps(images, strata[0], names, weights, draws)
    empty = np.isnan(resampled)
    reason = draws.no_choice()
    if empty.mean() > MAX_EMPTY:
        reason = (
            reason or f"no bootstrap interval: {empty.mean():.0%} of the resamples hold no stratum with both groups"
        )
    if np.isnan(se_runs):
        reason = reason or "no bootstrap interval: without one of the runs no stratum has both groups"
    resampled = resampled[~empty]
    reason = reason or no_spread(resampled, max(_group_means(cells)), se_runs)
    if reason:
        return row | {"note": joined(*notes, reason)}
    low, high = combined_interval(gap, resampled, se_runs, n_runs - 1, level)
    margin = vanishing * abs(light)
    one_sided = [
        _p_below(gap - margin, resampled - margin, se_runs, n_runs - 1),
        _p_below(-gap - margin, -resampled - margin, se_runs, n_runs - 1),
    ]
    return row | {
        "covers": "images and runs" if n_runs > 1 else "images",
        "note": joined(*notes),
        "ci_low": low,
        "ci_high": high,
        "p": combined_p(gap, resampled, se_runs, n_runs - 1),
        "p_vanish": max(one_sided),
    }


def _group_means(cells: pd.DataFrame) -> pd.Series:
    """Mean over the rows of each group."""
    sums = cells.groupby("group")[["total", "n"]].sum()
    return sums["total"] / sums["n"]


def _p_below(estimate: float, resampled: np.ndarray, se_runs: float, df: int) -> float:
    """One-sided p: small when the estimate lies below 0."""
    half = combined_p(estimate, resampled, se_runs, df) / 2
    return half if estimate < 0 else 1 - half


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """total / count, NaN where count is 0."""
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def _weighted(differences: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean over the last axis, of the strata that are not NaN; NaN where all are."""
    present = np.where(np.isnan(differences), 0.0, weights)
    return _ratio((np.nan_to_num(differences) * present).sum(axis=-1), present.sum(axis=-1))
