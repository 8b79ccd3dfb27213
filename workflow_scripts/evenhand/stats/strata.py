"""The gap with the mix of a stratum (condition, source) held fixed: direct standardisation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from evenhand.data.metadata import several_sources
from evenhand.splits.groups import Pair
from evenhand.stats.bootstrap import MAX_EMPTY, Draws, combined_interval, combined_p, jackknife_se, no_spread
from evenhand.stats.paired import joined
from evenhand.stats.rows import by_train_set

STRATA = {
    "condition": ["condition"],
    "source": ["source"],
    "condition and source": ["condition", "source"],
}


def standard_weights(images: pd.DataFrame, strata: pd.Series, pair: Pair, min_images: int) -> pd.DataFrame:
    """Which strata count, and how much.

    Args:
        images: totals of one training set, one row per image: group, n (rows).
        strata: stratum of each image.
        pair: the two groups.
        min_images: fewest different images that each group must have in a stratum.

    Returns:
        Indexed by stratum: images_reference, images_compared (different images), rows_reference, rows_compared,
        eligible, share (of the stratum in the pooled rows; test sets are of one size, so both groups count alike) and
        weight (share within the eligible strata; 0 for the others).
    """
    by = images.assign(stratum=strata).groupby(["stratum", "group"])["n"]
    counts, rows = (
        numbers.unstack("group").reindex(columns=list(pair)).fillna(0).astype(int).set_axis(Pair._fields, axis=1)
        for numbers in (by.size(), by.sum())
    )
    table = counts.add_prefix("images_").join(rows.add_prefix("rows_")).sort_index()
    table["eligible"] = (counts.min(axis=1) >= min_images).reindex(table.index)
    table["share"] = (table["rows_reference"] + table["rows_compared"]) / images["n"].sum()
    eligible = table["share"].where(table["eligible"], 0.0)
    table["weight"] = eligible / eligible.sum() if eligible.sum() > 0 else 0.0
    return table


@dataclass(frozen=True)
class StratumSums:
    """Sums and counts of the rows of two groups per run and stratum: `[group]` of shape (runs, strata)."""

    pair: Pair
    total: dict[str, np.ndarray]
    count: dict[str, np.ndarray]

    def gap(self, weights: np.ndarray) -> float:
        """sum over strata of weight times (mean compared - mean reference), means over all rows of a stratum."""
        reference, compared = (self.total[group].sum(axis=0) / self.count[group].sum(axis=0) for group in self.pair)
        return float(weights @ (compared - reference))

    def left_out_gaps(self, weights: np.ndarray) -> np.ndarray:
        """`gap` with one run left out each; a stratum that is then empty takes no part."""
        means = []
        for group in self.pair:
            count = self.count[group].sum(axis=0) - self.count[group]
            means.append(_ratio(self.total[group].sum(axis=0) - self.total[group], count))
        reference, compared = means
        return _weighted(compared - reference, weights)


def stratum_sums(cells: pd.DataFrame, strata: pd.Series, pair: Pair, names: Sequence[str]) -> StratumSums:
    """Sums by run, stratum (those in `names`) and group.

    Args:
        cells: totals of one training set: run, group, n, total.
        strata: stratum of each cell.
        pair: the two groups.
        names: strata to keep, in this order.
    """
    runs = sorted(cells["run"].unique())
    by = cells.assign(stratum=strata).groupby(["group", "run", "stratum"])[["total", "n"]].sum()
    index = pd.MultiIndex.from_product([pair, runs, list(names)])
    shape = (len(pair), len(runs), len(names))
    total = by["total"].reindex(index, fill_value=0.0).to_numpy().reshape(shape)
    count = by["n"].reindex(index, fill_value=0).to_numpy().reshape(shape)
    return StratumSums(pair, dict(zip(pair, total, strict=True)), dict(zip(pair, count, strict=True)))


def resampled_gaps(
    images: pd.DataFrame, strata: pd.Series, pair: Pair, names: Sequence[str], weights: np.ndarray, draws: Draws
) -> np.ndarray:
    """The standardised gap in each bootstrap sample of images; a stratum of which none is drawn takes no part."""
    codes = pd.Index(names).get_indexer(pd.Index(strata))
    means = {}
    for group in pair:
        chosen = (images["group"] == group).to_numpy() & (codes >= 0)
        inside = images.loc[chosen, ["id", "n", "total"]].assign(code=codes[chosen])
        inside = inside.sort_values(["code", "id"])
        starts = np.unique(inside["code"], return_index=True)[1]
        # Every evaluation of an image is drawn with it, so its rows can be added up first. In blocks of resamples:
        # all of them times all images would be hundreds of megabytes.
        blocks = []
        for drawn in draws.blocks(group, inside["id"]):
            total = np.add.reduceat(drawn * inside["total"].to_numpy(), starts, axis=1)
            count = np.add.reduceat(drawn * inside["n"].to_numpy(), starts, axis=1)
            blocks.append(_ratio(total, count))
        means[group] = np.concatenate(blocks)
    return _weighted(means[pair.compared] - means[pair.reference], weights)


def adjusted_gaps(
    images: pd.DataFrame, cells: pd.DataFrame, pair: Pair, draws: Draws, min_images: int, level: float, vanishing: float
) -> pd.DataFrame:
    """Gap per training set: as it is, and with the mix of conditions, of sources and of both held fixed.

    Strata that one group (nearly) lacks cannot be compared; `coverage` says how much is left, and the crude gap
    on the images that are left separates the effect of leaving out from that of adjusting.

    Args:
        images: errors added up per training set and image (`error_totals` of the pair).
        cells: the same per run, training set and stratum.
        pair: the two groups.
        draws: images drawn (`draw_images` of both groups).
        min_images: fewest different images of each group in a stratum.
        level: of the intervals.
        vanishing: largest gap that counts as none, as a fraction of the reference mean.

    Returns:
        train_set, compared_share, compared, adjustment (`none`, or a key of `STRATA`), n_strata (eligible),
        n_strata_all, n_reference, n_compared (different images in eligible strata), coverage (fraction of the
        evaluation rows in these), coverage_compared, gap, ci_low, ci_high, p (inverts the interval), p_vanish (two
        one-sided tests: small when the gap lies within the vanishing margin), relative (gap over the reference mean),
        crude_gap (unadjusted, same images), n_runs, covers (what the interval accounts for), note (why a number is
        missing). Weights and the choice of strata are held fixed when resampling.
    """
    table = []
    for name, share, of_images in by_train_set(images):
        of_cells = cells[cells["train_set"] == name]
        for adjustment, columns in {"none": [], **STRATA}.items():
            if "source" in columns and not several_sources(images["source"]):
                continue  # one source: its mix is the same for the groups
            strata = _stratum(of_images, columns), _stratum(of_cells, columns)
            row = _adjusted_row(of_images, of_cells, strata, pair, draws, min_images, level, vanishing)
            key = {"train_set": name, "compared_share": share, "compared": pair.compared, "adjustment": adjustment}
            table.append(key | row)
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
    pair: Pair,
    draws: Draws,
    min_images: int,
    level: float,
    vanishing: float,
) -> dict[str, object]:
    standard = standard_weights(images, strata[0], pair, min_images)
    used = standard[standard["weight"] > 0]
    n_runs = cells["run"].nunique()
    row: dict[str, object] = {
        "n_strata": len(used),
        "n_strata_all": len(standard),
        "n_reference": int(used["images_reference"].sum()),
        "n_compared": int(used["images_compared"].sum()),
        "coverage": float(used["share"].sum()),
        "coverage_compared": float(used["rows_compared"].sum() / standard["rows_compared"].sum()),
        **dict.fromkeys(["gap", "ci_low", "ci_high", "p", "p_vanish", "relative", "crude_gap"], np.nan),
        "n_runs": n_runs,
        "covers": "",
        "note": "",
    }
    if used.empty:
        return row | {"note": f"no stratum has {min_images} different images of each group"}
    names, weights = list(used.index), used["weight"].to_numpy()
    sums = stratum_sums(cells, strata[1], pair, names)
    gap = sums.gap(weights)
    se_runs = jackknife_se(sums.left_out_gaps(weights)) if n_runs > 1 else 0.0
    reference = float(_group_means(cells)[pair.reference])
    crude = _group_means(cells[strata[1].isin(names)])
    row |= {
        "gap": gap,
        "relative": gap / reference if reference else np.nan,
        "crude_gap": float(crude[pair.compared] - crude[pair.reference]),
    }
    notes = [] if reference else [f"no relative gap: the {pair.reference} mean is 0"]
    resampled = resampled_gaps(images, strata[0], pair, names, weights, draws)
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
    margin = vanishing * abs(reference)
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
