"""The gap on part of the test images: where both annotators agree on the group, or from one source."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from evenhand.data.metadata import SKIN_TYPE_COLUMNS
from evenhand.splits.groups import Group, Pair, columns_of
from evenhand.stats.paired import joined, over_runs_row, ratio_interval, ratio_note
from evenhand.stats.rows import by_train_set, of_groups

AGREE = "annotators agree"


def second_columns(groups: Sequence[Group]) -> dict[str, str]:
    """The skin type that decides on the groups, and that of the other annotators, who may decide as well.

    Empty where none or both of the two columns decide: then there is no second opinion.
    """
    named = [column for column in SKIN_TYPE_COLUMNS if column in columns_of(groups)]
    other = [column for column in SKIN_TYPE_COLUMNS if column not in named]
    return dict(zip(named, other, strict=True)) if len(named) == 1 else {}


def columns_for_subsets(groups: Sequence[Group]) -> list[str]:
    """The columns that `subset_means` needs of an evaluation beside the group and the metrics."""
    return ["source", *second_columns(groups).values()]


def agreement(rows: pd.DataFrame, groups: Sequence[Group]) -> pd.Series:
    """Whether each image is in its group by the skin type of the other annotators, too; needs `second_columns`.

    What else decides on the groups, such as the sex, is the same for both.
    """
    ((own, other),) = second_columns(groups).items()
    cells = rows[other].astype(str)
    agree = pd.Series(False, index=rows.index)
    for group in groups:
        by_type = replace(group, where={own: group.where[own]} if own in group.where else {})
        fitting = [cell for cell in cells.unique() if by_type.has({own: cell})]
        agree |= (rows["group"] == group.name) & cells.isin(fitting)
    return agree


def subset_means(model: pd.DataFrame, groups: Sequence[Group], metrics: Collection[str]) -> pd.DataFrame:
    """Means of one model on all images, on those on which the annotators agree, and on those of each source.

    Args:
        model: evaluation rows of one model: train_set, compared_share, run, group, `columns_for_subsets` and the
            metrics.
        groups: those of the study.
        metrics: columns.

    Returns:
        subset, train_set, compared_share, run, group, n (images) and the metrics; no row where there is no image.
    """
    subsets = {"all": pd.Series(True, index=model.index)}
    if second_columns(groups):
        subsets[AGREE] = agreement(model, groups)
    subsets |= {f"source {name}": model["source"] == name for name in sorted(model["source"].unique())}
    parts = []
    for subset, chosen in subsets.items():
        by = model[chosen].groupby(["train_set", "compared_share", "run", "group"])
        means = by[list(metrics)].mean().assign(n=by.size()).reset_index()
        parts.append(means.assign(subset=subset))
    return pd.concat(parts, ignore_index=True)


def subset_table(
    means: pd.DataFrame, pair: Pair, metrics: Collection[str], ratios: Mapping[str, float], alpha: float
) -> pd.DataFrame:
    """Means, gap and ratio per subset and training set, tested over runs as in the gap table.

    Args:
        means: `subset_means` of all models.
        pair: the two groups.
        metrics: columns.
        ratios: n_test / n_train per training set. That of the whole test sets: two runs have the same part of a
            subset's images in common as of all images, however small the subset.
        alpha: level.

    Returns:
        subset, train_set, compared_share, compared, metric, n_reference, n_compared (images per run, mean),
        mean_reference, mean_compared, ratio, ratio_low, ratio_high, gap, ci_low, ci_high, p (Nadeau-Bengio), n_runs,
        note (why a number is missing). A training set in which some run has no image of a group in the subset has no
        estimate.
    """
    means = of_groups(means, pair)  # a source of images of other groups is none here
    found = set(means["subset"])
    agreed = [AGREE] if AGREE in found else []  # not where nobody else gave skin types
    sources = sorted(found - {"all", AGREE})
    sources = sources if len(sources) > 1 else []  # of one alone, the subset is all images
    table = []
    for subset in ("all", *agreed, *sources):
        for name, share, every in by_train_set(means):
            runs = sorted(every["run"].unique())
            inside = every[every["subset"] == subset].set_index(["group", "run"])
            counts = inside["n"].reindex(pd.MultiIndex.from_product([pair, runs]), fill_value=0)
            for metric in metrics:
                row: dict[str, object] = {"subset": subset, "train_set": name, "compared_share": share}
                row |= {"compared": pair.compared, "metric": metric, "n_runs": len(runs), "note": ""}
                row |= {"n_reference": counts[pair.reference].mean(), "n_compared": counts[pair.compared].mean()}
                if (counts == 0).any():
                    lack = f"a run has no {pair.reference} or no {pair.compared} image in this subset"
                    table.append(row | {"note": lack})
                    continue
                reference, compared = (inside.loc[group, metric].sort_index().to_numpy() for group in pair)
                low, high = ratio_interval(compared, reference, ratios[name], 1 - alpha)
                row |= {"mean_reference": reference.mean(), "mean_compared": compared.mean()}
                row |= {"ratio": compared.mean() / reference.mean() if reference.mean() else np.nan}
                row |= {"ratio_low": low, "ratio_high": high}
                row |= over_runs_row(compared - reference, ratios[name], alpha)
                row["note"] = joined(str(row["note"]), ratio_note(reference, pair.reference, low))
                table.append(row)
    columns = ["subset", "train_set", "compared_share", "compared", "metric", "n_reference", "n_compared"]
    columns += ["mean_reference", "mean_compared", "ratio", "ratio_low", "ratio_high", "estimate", "ci_low", "ci_high"]
    columns += ["p", "n_runs", "note"]
    return pd.DataFrame(table, columns=columns).rename(columns={"estimate": "gap"})
