"""What the metadata alone says: counts by skin type, and how the condition mix differs between the groups."""

import numpy as np
import pandas as pd
from scipy import stats

from evenhand.data.metadata import given_levels
from evenhand.stats.rows import GROUPS
from evenhand.workflow.errors import UserError
from evenhand.workflow.seeds import generator

LEVELS = {"three": "three_partition_label", "nine": "nine_partition_label", "fine": "label"}


def fst_counts(metadata: pd.DataFrame, label: str, group: pd.Series) -> pd.DataFrame:
    """Images per Fitzpatrick skin type (the paper's Figure 2).

    Args:
        metadata: data/metadata.csv.
        label: the column with the skin type, -1 for missing.
        group: `light`, `dark` or "" per row.

    Returns:
        fitzpatrick_scale, group, n; one row for each of -1 and 1 to 6, also where n is 0.
    """
    types = metadata[label]
    group_of = dict(zip(types, group, strict=True))
    rows = [
        {"fitzpatrick_scale": kind, "group": group_of.get(kind, ""), "n": int((types == kind).sum())}
        for kind in [-1, 1, 2, 3, 4, 5, 6]
    ]
    return pd.DataFrame(rows)


def prevalence_table(metadata: pd.DataFrame, group: pd.Series) -> pd.DataFrame:
    """How common each condition is in each group, at the levels of the label hierarchy that the data have (Figure 7).

    All rows of the two groups count, with or without an image. Conditions of the metadata that neither group
    has are listed with 0.

    Returns:
        level (`three`, `nine`, `fine`), condition, n_light, n_dark, share_light, share_dark (fractions of the
        group), sorted by level as above and condition.
    """
    empty = [name for name in GROUPS if not (group == name).any()]
    if empty:
        raise UserError(f"metadata: expected rows of both groups, found none of {' and '.join(empty)}.")
    parts = []
    given = given_levels(metadata)
    for level, column in ((level, column) for level, column in LEVELS.items() if column in given):
        conditions = sorted(set(metadata[column]))
        part = pd.DataFrame({"level": level, "condition": conditions})
        for name in GROUPS:
            part[f"n_{name}"] = (
                metadata.loc[group == name, column].value_counts().reindex(conditions, fill_value=0).to_numpy()
            )
        for name in GROUPS:
            part[f"share_{name}"] = part[f"n_{name}"] / part[f"n_{name}"].sum()
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def condition_mix(prevalence: pd.DataFrame, seed: int, resamples: int, level: float) -> pd.DataFrame:
    """How far the condition mixes of the two groups are apart, per level (paper v2, section 5.2; claim C8).

    Args:
        prevalence: `prevalence_table`.
        seed: study seed of the resampling.
        resamples: number of bootstrap samples and of relabellings.
        level: of the intervals.

    Returns:
        level, n_conditions (in the metadata), n_light, n_dark, total_variation (half the sum of the absolute
        differences of the shares: the fraction of one group that would need another condition), tv_low, tv_high
        (bootstrap interval over images, shifted by the bootstrap's own bias), tv_chance (mean when group
        labels are permuted: two samples of these sizes from one mix), p_permutation (for a total variation at
        least as large by chance), pearson_r, spearman_r (correlation of the shares over conditions; empty when
        either is constant), absent_light, absent_dark (conditions that a group lacks).
    """
    rows = []
    for labels, part in prevalence.groupby("level", sort=False):
        counts = part[["n_light", "n_dark"]].to_numpy()
        light, dark = part["share_light"].to_numpy(), part["share_dark"].to_numpy()
        observed = total_variation(counts)
        rng = generator(seed, "condition_mix", str(labels))
        sizes = counts.sum(axis=0)
        boot = total_variation(
            np.stack([rng.multinomial(sizes[0], light, resamples), rng.multinomial(sizes[1], dark, resamples)], axis=-1)
        )
        low, high = np.quantile(boot - boot.mean() + observed, [(1 - level) / 2, (1 + level) / 2])
        # Permuting the group labels draws the light counts from the pooled ones without replacement.
        permuted = rng.multivariate_hypergeometric(counts.sum(axis=1), sizes[0], resamples)
        chance = total_variation(np.stack([permuted, counts.sum(axis=1) - permuted], axis=-1))
        varies = len(set(light)) > 1 and len(set(dark)) > 1
        rows.append(
            {
                "level": labels,
                "n_conditions": len(part),
                "n_light": int(sizes[0]),
                "n_dark": int(sizes[1]),
                "total_variation": float(observed),
                "tv_low": max(0.0, float(low)),
                "tv_high": min(1.0, float(high)),
                "tv_chance": float(chance.mean()),
                "p_permutation": float((1 + np.sum(chance >= observed - 1e-12)) / (1 + resamples)),
                "pearson_r": float(stats.pearsonr(light, dark).statistic) if varies else np.nan,
                "spearman_r": float(stats.spearmanr(light, dark).statistic) if varies else np.nan,
                "absent_light": int((counts[:, 0] == 0).sum()),
                "absent_dark": int((counts[:, 1] == 0).sum()),
            }
        )
    return pd.DataFrame(rows)


def total_variation(counts: np.ndarray) -> np.ndarray:
    """Total variation distance between the two columns of counts, shape (..., conditions, 2), in [0, 1]."""
    shares = counts / counts.sum(axis=-2, keepdims=True)
    return np.asarray(0.5 * np.abs(shares[..., 0] - shares[..., 1]).sum(axis=-1))


def mix_claim(mix: pd.DataFrame, alpha: float, little: float, much: float) -> dict[str, object]:
    """C8 as a row of claims.csv: the mixes differ little at the two coarse levels and much at the fine one.

    Args:
        mix: `condition_mix`.
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
    n_light, n_dark = (int(mix[column].iloc[0]) for column in ("n_light", "n_dark"))
    return {
        **_mix_case(alpha, little, much),
        "verdict": verdict,
        "estimate": fine["total_variation"],
        "ci_low": fine["tv_low"],
        "ci_high": fine["tv_high"],
        "p": fine["p_permutation"],
        "p_holm": np.nan,
        "n": n_light + n_dark,
        "sentence": (
            f"The fraction of one group's images that would need another condition to give the other group's mix is "
            f"{parts}; {n_light} light and {n_dark} dark rows of the metadata."
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
        "statement": "The condition mix differs little between the groups at 3 and 9 classes, much at 114",
        "source": "v2 5.2",
        "level": 1 - alpha,
    }
