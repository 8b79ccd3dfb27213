"""The gap with the mix of a stratum (condition, source) held fixed: direct standardisation."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from evenhand.data.metadata import several_sources
from evenhand.splits.groups import Pair
from evenhand.stats.crossed import Cell, Crossed, CrossedSums, contrast_row, crossed
from evenhand.stats.paired import joined, tost_p
from evenhand.stats.rows import by_model, by_train_set, of_groups, set_and_share

STRATA = {
    "condition": ["condition"],
    "source": ["source"],
    "condition and source": ["condition", "source"],
}

# Of the table of `adjusted_gaps`.
COLUMNS = [
    *("train_set", "compared_share", "compared", "adjustment"),
    *("n_strata", "n_strata_all", "n_reference", "n_compared", "coverage", "coverage_compared"),
    *("gap", "ci_low", "ci_high", "se_images", "se_models", "se_within", "df", "df_images", "df_pooled"),
    *("p", "p_vanish", "relative", "crude_gap", "n_runs", "covers", "note"),
]


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
class Standard:
    """The standardised mean of each group of one training set, and what an error in a stratum adds to it.

    strata: `standard_weights`; means: by group, the weighted mean over strata; of_stratum: by group and stratum, the
    mean of its rows and the weight of one row.
    """

    strata: pd.DataFrame
    means: dict[str, float]
    of_stratum: dict[str, pd.DataFrame]


def standard_means(images: pd.DataFrame, strata: pd.Series, pair: Pair, min_images: int) -> Standard:
    """The means of one training set; arguments as for `standard_weights`, `images` with total (of errors) besides."""
    weights = standard_weights(images, strata, pair, min_images)
    used = weights[weights["weight"] > 0]
    sums = images.assign(stratum=strata).groupby(["group", "stratum"])[["total", "n"]].sum()
    means, of_stratum = {}, {}
    for group in pair:
        mine = sums.loc[group].reindex(used.index)
        mean = mine["total"] / mine["n"]
        means[group] = float((used["weight"] * mean).sum()) if len(used) else np.nan
        of_stratum[group] = pd.DataFrame({"mean": mean, "weight": used["weight"] / mine["n"]})
    return Standard(weights, means, of_stratum)


def adjusted_gaps(
    images: pd.DataFrame,
    runs: Iterable[pd.DataFrame],
    pair: Pair,
    clusters: Mapping[str, str] | None,
    n_runs: int,
    min_images: int,
    alpha: float,
    vanishing: float,
    metric: str = "mse",
    references: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Gap per training set: as it is, and with the mix of conditions, of sources and of both held fixed.

    Strata that one group (nearly) lacks cannot be compared; `coverage` says how much is left, and the crude gap
    on the images that are left separates the effect of leaving out from that of adjusting. Weights and the choice of
    strata are held fixed. The gap is a sum over evaluations, whose deviations from the mean of their stratum are
    clustered by image and run (`CrossedSums`), to first order.

    Args:
        images: errors added up per training set and image (`error_totals` of the pair).
        runs: evaluation rows of all training sets, one table per run: train_set, group, id, condition, source and
            `metric`.
        pair: the two groups.
        clusters: of images that are in one with others.
        n_runs: number of runs.
        min_images: fewest different images of each group in a stratum.
        alpha: level.
        vanishing: largest gap that counts as none, as a fraction of the reference mean.
        metric: column of the errors.
        references: the reference means by training set; None: those of the errors on the reference group.

    Returns:
        train_set, compared_share, compared, adjustment (`none`, or a key of `STRATA`), n_strata (eligible),
        n_strata_all, n_reference, n_compared (different images in eligible strata), coverage (fraction of the
        evaluation rows in these), coverage_compared, gap, ci_low, ci_high, se_images, se_models, se_within, df,
        df_images, df_pooled, p, p_vanish (two one-sided tests: small when the gap lies within the vanishing margin),
        relative (gap over the reference mean), crude_gap (unadjusted, same images), n_runs, covers (what the interval
        accounts for), note (why a number is missing).
    """
    adjustments = {"none": list[str]()} | STRATA
    if not several_sources(images["source"]):  # its mix is the same for the groups
        adjustments = {name: columns for name, columns in adjustments.items() if "source" not in columns}
    standards = {
        (name, adjustment): standard_means(of_set, _stratum(of_set, columns), pair, min_images)
        for name, _, of_set in by_train_set(images)
        for adjustment, columns in adjustments.items()
    }
    sums = CrossedSums(pair, list(adjustments), clusters)
    means: dict[str, dict[Cell, list[float]]] = {name: {} for name in adjustments}
    for run in runs:
        parts = []
        for model in by_model(of_groups(run, pair)):
            name = set_and_share(model)[0]
            for group in pair:
                part = model[model["group"] == group]
                values = {
                    adjustment: n_runs
                    * _influence(part[metric], _stratum(part, columns), standards[name, adjustment].of_stratum[group])
                    for adjustment, columns in adjustments.items()
                }
                parts.append(part[["train_set", "group", "run", "id"]].assign(**values))
                for adjustment, of_images in values.items():
                    whole = standards[name, adjustment].means[group] + float(of_images.mean())
                    means[adjustment].setdefault((name, group), []).append(whole)
        sums.add(pd.concat(parts, ignore_index=True))
    covariances = sums.table()
    sets = list(by_train_set(images))
    of = {
        adjustment: crossed(
            {cell: np.array(of_runs) for cell, of_runs in cells.items()},
            *(covariances, adjustment, [name for name, _, _ in sets], pair),
        )
        for adjustment, cells in means.items()
        if np.isfinite(list(cells.values())).all()
    }
    table = []
    for name, share, of_set in sets:
        reference = references[name] if references else float(standards[name, "none"].means[pair.reference])
        for adjustment, columns in adjustments.items():
            row: dict[str, object] = {"train_set": name, "compared_share": share, "compared": pair.compared}
            row |= {"adjustment": adjustment, "n_runs": n_runs}
            row |= _described(of_set, _stratum(of_set, columns), standards[name, adjustment], pair)
            if adjustment in of:
                row |= _tested(of[adjustment], name, pair, reference, alpha, vanishing)
            else:
                row["note"] = f"no stratum has {min_images} different images of each group"
            table.append(row)
    return pd.DataFrame(table).reindex(columns=COLUMNS)


def _stratum(table: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """The values of the columns as one text per row."""
    strata = pd.Series("", index=table.index)
    for column in columns:
        strata = strata + table[column] + " / "
    return strata


def _influence(errors: pd.Series, strata: pd.Series, of_stratum: pd.DataFrame) -> np.ndarray:
    """What each error of a model on a group adds to the standardised mean, times their number; 0 in other strata."""
    of_rows = of_stratum.reindex(strata.to_numpy())
    adds = of_rows["weight"].to_numpy() * (errors.to_numpy() - of_rows["mean"].to_numpy())
    return np.asarray(len(errors) * np.nan_to_num(adds))


def _described(images: pd.DataFrame, strata: pd.Series, standard: Standard, pair: Pair) -> dict[str, object]:
    """How much of the data the comparable strata hold, and the unadjusted gap there."""
    used = standard.strata[standard.strata["weight"] > 0]
    inside = images[strata.isin(used.index)].groupby("group")[["total", "n"]].sum()
    crude = inside["total"] / inside["n"]
    return {
        "n_strata": len(used),
        "n_strata_all": len(standard.strata),
        "n_reference": int(used["images_reference"].sum()),
        "n_compared": int(used["images_compared"].sum()),
        "coverage": float(used["share"].sum()),
        "coverage_compared": float(used["rows_compared"].sum() / standard.strata["rows_compared"].sum()),
        "crude_gap": float(crude[pair.compared] - crude[pair.reference]) if len(used) else np.nan,
    }


def _tested(of: Crossed, name: str, pair: Pair, reference: float, alpha: float, vanishing: float) -> dict[str, object]:
    """The gap with its interval and tests."""
    test = of.test({(name, pair.compared): 1.0, (name, pair.reference): -1.0})
    row = contrast_row(test, alpha)
    notes = [str(row["note"])] + ([] if reference else [f"no relative gap: the {pair.reference} mean is 0"])
    return {
        "gap": test.mean,
        **{key: row[key] for key in ("ci_low", "ci_high", "p", "covers")},
        "se_images": math.sqrt(test.images),
        "se_models": math.sqrt(test.models),
        "se_within": math.sqrt(test.within),
        "df": test.df,
        "df_images": test.df_images,
        "df_pooled": test.df_pooled,
        "p_vanish": tost_p(test, vanishing * abs(reference)),
        "relative": test.mean / reference if reference else np.nan,
        "note": joined(*notes),
    }
