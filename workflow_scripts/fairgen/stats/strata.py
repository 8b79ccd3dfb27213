"""The gap with the mix of a stratum (condition, atlas) held fixed: direct standardisation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fairgen.stats.bootstrap import Draws, combined_interval, combined_p, jackknife_se
from fairgen.stats.rows import GROUPS, by_train_set

MAX_EMPTY = 0.01  # largest fraction of resamples without any stratum that may be left out
STRATA = {
    "condition": ["label"],
    "atlas": ["atlas"],
    "condition and atlas": ["label", "atlas"],
}


def standard_weights(rows: pd.DataFrame, strata: pd.Series, min_images: int) -> pd.DataFrame:
    """Which strata count, and how much.

    Args:
        rows: evaluation rows of one training set: group, md5hash.
        strata: stratum of each row.
        min_images: fewest different images that each group must have in a stratum.

    Returns:
        Indexed by stratum: images_light, images_dark (different images), rows_light, rows_dark, eligible, share
        (of the stratum in the pooled rows; light and dark test sets are of one size, so both groups count
        alike) and weight (share within the eligible strata; 0 for the others).
    """
    frame = pd.DataFrame({"stratum": strata.to_numpy(), "group": rows["group"].to_numpy(), "md5hash": rows["md5hash"]})
    by = frame.groupby(["stratum", "group"])["md5hash"]
    images = by.nunique().unstack("group").reindex(columns=GROUPS).fillna(0).astype(int)
    counts = by.size().unstack("group").reindex(columns=GROUPS).fillna(0).astype(int)
    table = images.add_prefix("images_").join(counts.add_prefix("rows_")).sort_index()
    table["eligible"] = (images.min(axis=1) >= min_images).reindex(table.index)
    table["share"] = (table["rows_light"] + table["rows_dark"]) / len(rows)
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


def stratum_sums(rows: pd.DataFrame, strata: pd.Series, names: Sequence[str], metric: str) -> StratumSums:
    """Add up the rows of one training set by run, stratum (those in `names`) and group."""
    runs = sorted(rows["run"].unique())
    frame = pd.DataFrame({"run": rows["run"], "stratum": strata, "group": rows["group"], "y": rows[metric]})
    by = frame.groupby(["group", "run", "stratum"])["y"]
    index = pd.MultiIndex.from_product([GROUPS, runs, list(names)])
    shape = (len(GROUPS), len(runs), len(names))
    total = by.sum().reindex(index, fill_value=0.0).to_numpy().reshape(shape)
    count = by.size().reindex(index, fill_value=0).to_numpy().reshape(shape)
    return StratumSums(dict(zip(GROUPS, total, strict=True)), dict(zip(GROUPS, count, strict=True)))


def resampled_gaps(
    rows: pd.DataFrame, strata: pd.Series, names: Sequence[str], weights: np.ndarray, draws: Draws, metric: str
) -> np.ndarray:
    """The standardised gap in each bootstrap sample of images; a stratum of which none is drawn takes no part."""
    codes = pd.Index(names).get_indexer(pd.Index(strata))
    means = {}
    for group in GROUPS:
        chosen = (rows["group"] == group).to_numpy() & (codes >= 0)
        inside = rows.loc[chosen, ["md5hash", metric]].assign(code=codes[chosen])
        # Every evaluation of an image is drawn with it, so its rows can be added up first.
        images = inside.groupby(["code", "md5hash"], as_index=False)[metric].agg(["sum", "size"])
        starts = np.unique(images["code"], return_index=True)[1]
        drawn = draws.weights(group, images["md5hash"])
        total = np.add.reduceat(drawn * images["sum"].to_numpy(), starts, axis=1)
        count = np.add.reduceat(drawn * images["size"].to_numpy(), starts, axis=1)
        means[group] = _ratio(total, count)
    return _weighted(means["dark"] - means["light"], weights)


def adjusted_gaps(
    rows: pd.DataFrame, draws: Draws, min_images: int, level: float, vanishing: float, metric: str = "mse"
) -> pd.DataFrame:
    """Gap per training set: as it is, and with the mix of conditions, of atlases and of both held fixed.

    Strata that one group (nearly) lacks cannot be compared; `coverage` says how much is left, and the crude gap
    on the images that are left separates the effect of leaving out from that of adjusting.

    Args:
        rows: evaluation rows of all training sets: train_set, dark_share, run, group, md5hash, label, atlas, metric.
        draws: images drawn (`draw_images`).
        min_images: fewest different images of each group in a stratum.
        level: of the intervals.
        vanishing: largest gap that counts as none, as a fraction of the light mean.
        metric: column.

    Returns:
        train_set, dark_share, adjustment (`none`, or a key of `STRATA`), n_strata (compared), n_strata_all,
        coverage (fraction of the evaluation rows in compared strata), coverage_dark, gap, ci_low, ci_high, p (inverts
        the interval), p_vanish (two one-sided tests: small when the gap lies within the vanishing margin), relative
        (gap over the light mean), crude_gap (unadjusted, same images), n_runs, covers (what the interval accounts
        for, or why there is none). Weights and the choice of strata are held fixed when resampling.
    """
    table = []
    for name, share, part in by_train_set(rows):
        for adjustment, columns in {"none": [], **STRATA}.items():
            strata = pd.Series("", index=part.index)
            for column in columns:
                strata = strata + part[column] + " / "
            row = _adjusted_row(part, strata, draws, min_images, level, vanishing, metric)
            table.append({"train_set": name, "dark_share": share, "adjustment": adjustment} | row)
    return pd.DataFrame(table)


def _adjusted_row(
    part: pd.DataFrame,
    strata: pd.Series,
    draws: Draws,
    min_images: int,
    level: float,
    vanishing: float,
    metric: str,
) -> dict[str, object]:
    standard = standard_weights(part, strata, min_images)
    used = standard[standard["weight"] > 0]
    n_runs = part["run"].nunique()
    row: dict[str, object] = {
        "n_strata": len(used),
        "n_strata_all": len(standard),
        "coverage": float(used["share"].sum()),
        "coverage_dark": float(used["rows_dark"].sum() / standard["rows_dark"].sum()),
        **dict.fromkeys(["gap", "ci_low", "ci_high", "p", "p_vanish", "relative", "crude_gap"], np.nan),
        "n_runs": n_runs,
        "covers": "images and runs" if n_runs > 1 else "images",
    }
    if used.empty:
        return row
    names, weights = list(used.index), used["weight"].to_numpy()
    sums = stratum_sums(part, strata, names, metric)
    gap = sums.gap(weights)
    se_runs = jackknife_se(sums.left_out_gaps(weights)) if n_runs > 1 else 0.0
    light = float(part.loc[part["group"] == "light", metric].mean())
    crude = part[strata.isin(names)].groupby("group")[metric].mean()
    row |= {
        "gap": gap,
        "relative": gap / light if light else np.nan,
        "crude_gap": float(crude["dark"] - crude["light"]),
    }
    resampled = resampled_gaps(part, strata, names, weights, draws, metric)
    empty = np.isnan(resampled)
    if empty.mean() > MAX_EMPTY or np.isnan(se_runs):
        return row | {"covers": "no interval: too few images to resample"}
    resampled = resampled[~empty]
    low, high = combined_interval(gap, resampled, se_runs, n_runs - 1, level)
    margin = vanishing * abs(light)
    one_sided = [
        _p_below(gap - margin, resampled - margin, se_runs, n_runs - 1),
        _p_below(-gap - margin, -resampled - margin, se_runs, n_runs - 1),
    ]
    return row | {
        "ci_low": low,
        "ci_high": high,
        "p": combined_p(gap, resampled, se_runs, n_runs - 1),
        "p_vanish": max(one_sided),
    }


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
