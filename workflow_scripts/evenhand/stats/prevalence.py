"""What the metadata alone says: counts by skin type, and how the condition mix differs between groups."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from evenhand.data.metadata import given_levels
from evenhand.splits.groups import Pair
from evenhand.workflow.errors import UserError
from evenhand.workflow.seeds import generator

LEVELS = {"three": "condition_3", "nine": "condition_2", "fine": "condition"}


def fst_counts(metadata: pd.DataFrame, group: pd.Series) -> pd.DataFrame:
    """Images per Fitzpatrick skin type (the paper's Figure 2).

    Args:
        metadata: data/metadata.csv.
        group: name of the group of each row, "" for none (`assign_group`).

    Returns:
        skin_type, group (that of the rows of the type, if those in a group are all in the same one), n; one row
        for each of -1 (missing) and 1 to 6, also where n is 0.
    """
    types = metadata["skin_type"]
    rows = []
    for kind in [-1, 1, 2, 3, 4, 5, 6]:
        names = set(group[types == kind]) - {""}
        rows.append(
            {
                "skin_type": kind,
                "group": names.pop() if len(names) == 1 else "",
                "n": int((types == kind).sum()),
            }
        )
    return pd.DataFrame(rows)


def prevalence_table(metadata: pd.DataFrame, group: pd.Series, pairs: Sequence[Pair]) -> pd.DataFrame:
    """How common each condition is in each group, at the levels of the label hierarchy that the data have (Figure 7).

    All rows of the two groups count, with or without an image. Conditions of the metadata that neither group
    has are listed with 0.

    Args:
        metadata: data/metadata.csv.
        group: name of the group of each row, "" for none (`assign_group`).
        pairs: which groups to compare.

    Returns:
        compared (group of a pair), level (`three`, `nine`, `fine`), condition, n_reference, n_compared,
        share_reference, share_compared (fractions of the group), sorted by pair and level as above and condition.
    """
    empty = [name for name in dict.fromkeys(name for pair in pairs for name in pair) if not (group == name).any()]
    if empty:
        raise UserError(f"metadata: expected rows of every group, found none of {' and '.join(empty)}.")
    parts = []
    given = given_levels(metadata)
    levels = {level: column for level, column in LEVELS.items() if column in given}
    for pair in pairs:
        for level, column in levels.items():
            conditions = sorted(set(metadata[column]))
            part = pd.DataFrame({"compared": pair.compared, "level": level, "condition": conditions})
            counts = [
                metadata.loc[group == name, column].value_counts().reindex(conditions, fill_value=0).to_numpy()
                for name in pair
            ]
            part["n_reference"], part["n_compared"] = counts
            part["share_reference"], part["share_compared"] = (count / count.sum() for count in counts)
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def condition_mix(prevalence: pd.DataFrame, seed: int, resamples: int, level: float) -> pd.DataFrame:
    """How far the condition mixes of two groups are apart, per pair and level (paper v2, section 5.2; claim C8).

    Args:
        prevalence: `prevalence_table`.
        seed: study seed of the resampling.
        resamples: number of bootstrap samples and of relabellings.
        level: of the intervals.

    Returns:
        compared (group of the pair), level, n_conditions (in the metadata), n_reference, n_compared, total_variation
        (half the sum of the absolute differences of the shares: the fraction of one group that would need another
        condition), tv_low, tv_high (bootstrap interval over images, shifted by the bootstrap's own bias), tv_chance
        (mean when group labels are permuted: two samples of these sizes from one mix), p_permutation (for a total
        variation at least as large by chance), pearson_r, spearman_r (correlation of the shares over conditions; empty
        when either is constant), absent_reference, absent_compared (conditions that a group lacks).
    """
    rows = []
    first = prevalence["compared"].iloc[0]
    for key, part in prevalence.groupby(["compared", "level"], sort=False):
        compared, level_of_labels = map(str, key)
        counts = part[["n_reference", "n_compared"]].to_numpy()
        shares = [part[column].to_numpy() for column in ("share_reference", "share_compared")]
        observed = total_variation(counts)
        # The numbers of a pair do not depend on which other pairs there are.
        rng = generator(seed, "condition_mix", level_of_labels, *([] if compared == first else [compared]))
        sizes = counts.sum(axis=0)
        boot = total_variation(
            np.stack([rng.multinomial(n, share, resamples) for n, share in zip(sizes, shares, strict=True)], axis=-1)
        )
        low, high = np.quantile(boot - boot.mean() + observed, [(1 - level) / 2, (1 + level) / 2])
        # Permuting the group labels draws the counts of the reference from the pooled ones without replacement.
        permuted = rng.multivariate_hypergeometric(counts.sum(axis=1), sizes[0], resamples)
        chance = total_variation(np.stack([permuted, counts.sum(axis=1) - permuted], axis=-1))
        varies = all(len(set(share)) > 1 for share in shares)
        rows.append(
            {
                "compared": compared,
                "level": level_of_labels,
                "n_conditions": len(part),
                "n_reference": int(sizes[0]),
                "n_compared": int(sizes[1]),
                "total_variation": float(observed),
                "tv_low": max(0.0, float(low)),
                "tv_high": min(1.0, float(high)),
                "tv_chance": float(chance.mean()),
                "p_permutation": float((1 + np.sum(chance >= observed - 1e-12)) / (1 + resamples)),
                "pearson_r": float(stats.pearsonr(shares[0], shares[1]).statistic) if varies else np.nan,
                "spearman_r": float(stats.spearmanr(shares[0], shares[1]).statistic) if varies else np.nan,
                "absent_reference": int((counts[:, 0] == 0).sum()),
                "absent_compared": int((counts[:, 1] == 0).sum()),
            }
        )
    return pd.DataFrame(rows)


def total_variation(counts: np.ndarray) -> np.ndarray:
    """Total variation distance between the two columns of counts, shape (..., conditions, 2), in [0, 1]."""
    shares = counts / counts.sum(axis=-2, keepdims=True)
    return np.asarray(0.5 * np.abs(shares[..., 0] - shares[..., 1]).sum(axis=-1))


def mix_claim(mix: pd.DataFrame, pair: Pair, alpha: float, little: float, much: float) -> dict[str, object]:
    """C8 as a row of claims.csv: the mixes differ little at the two coarse levels and much at the fine one.

    Args:
        mix: `condition_mix` of the pair.
        pair: the two groups.
        alpha: level of the permutation test of the fine level; the intervals of `mix` have the level 1 - alpha.
        little: largest total variation that is "little".
        much: smallest total variation that is "much".
    """
    rows = mix.set_index("level")
    lacking = [level for level in LEVELS if level not in rows.index]
    if lacking:
        return {
            **dict.fromkeys(("estimate", "ci_low", "ci_high", "p", "p_holm"), np.nan),
            **_mix_case(alpha, little, much),
            "verdict": "not testable",
            "survives": False,
            "n": 0,
            "sentence": (
                f"Not tested: the claim is about three levels of conditions; the data have {len(rows)} (no level "
                f"{' and '.join(lacking)})."
            ),
        }
    coarse, fine = rows.loc[["three", "nine"]], rows.loc["fine"]
    chance = bool(fine["p_permutation"] > alpha)
    if (coarse["tv_high"] <= little).all() and fine["tv_low"] >= much and not chance:
        verdict = "supported"
    elif (coarse["tv_low"] > little).any() or fine["tv_high"] < much:
        verdict = "contradicted"
    else:
        verdict = "inconclusive"
    parts = ", ".join(
        f"{row['total_variation']:.3f} at {row['n_conditions']} classes ({100 * (1 - alpha):g} % interval "
        f"{row['tv_low']:.3f} to {row['tv_high']:.3f}; {row['tv_chance']:.3f} expected by chance)"
        for row in mix.to_dict("records")
    )
    n_reference, n_compared = (int(mix[column].iloc[0]) for column in ("n_reference", "n_compared"))
    return {
        **_mix_case(alpha, little, much),
        "verdict": verdict,
        "estimate": fine["total_variation"],
        "ci_low": fine["tv_low"],
        "ci_high": fine["tv_high"],
        "null_value": much,
        "p": fine["p_permutation"],
        "p_holm": np.nan,
        "survives": False,
        "n": n_reference + n_compared,
        "sentence": (
            f"The fraction of one group's images that would need another condition to give the other group's mix is "
            f"{parts}; {n_reference} {pair.reference} and {n_compared} {pair.compared} rows of the metadata."
        ),
    }


def _mix_case(alpha: float, little: float, much: float) -> dict[str, object]:
    """What a row of claims.csv says of C8 whatever was found."""
    return {
        "claim": "C8",
        "test": "bootstrap over images against the bounds; permutation of the group labels",
        "rule": (
            f"supported: the interval of the total variation stays below {little:g} at both coarse levels and above "
            f"{much:g} at the fine level, where chance is excluded (p at most {alpha:g}); contradicted: an interval "
            "lies on the other side of its bound; else inconclusive. Not in a Holm family. Unlike all other rules, "
            "these two bounds were set after the table of Fitzpatrick17k had been seen: on that table the verdict "
            "describes and tests nothing"
        ),
        "table": "condition_mix",
        "figure": "prevalence",
        "statement": "The condition mix differs little between the groups at both coarse levels, much at the fine one",
        "source": "v2 5.2",
        "level": 1 - alpha,
    }
