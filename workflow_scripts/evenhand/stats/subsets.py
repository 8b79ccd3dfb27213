"""The gap on part of the test images: where both annotators agree on the group, or from one source."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from evenhand.data.metadata import SKIN_TYPE_COLUMNS
from evenhand.splits.groups import Group, Pair, columns_of
from evenhand.stats.crossed import contrast_row, crossed
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


def parts_of(run: pd.DataFrame, groups: Sequence[Group]) -> dict[str, pd.DataFrame]:
    """All images of a run, those on which the annotators agree, and those of each source.

    Args:
        run: evaluation rows with `columns_for_subsets`.
        groups: those of the study.
    """
    parts = {"all": run}
    if second_columns(groups):
        parts[AGREE] = run[agreement(run, groups)]
    return parts | {f"source {name}": run[run["source"] == name] for name in sorted(run["source"].unique())}


def subset_means(parts_of_run: Mapping[str, pd.DataFrame], metrics: Collection[str]) -> pd.DataFrame:
    """Means of the models of a run on each part of its images.

    Args:
        parts_of_run: `parts_of` a run: train_set, compared_share, run, group and the metrics.
        metrics: columns.

    Returns:
        subset, train_set, compared_share, run, group, n (images) and the metrics; no row where there is no image.
    """
    parts = []
    for subset, rows in parts_of_run.items():
        by = rows.groupby(["train_set", "compared_share", "run", "group"])
        means = by[list(metrics)].mean().assign(n=by.size()).reset_index()
        parts.append(means.assign(subset=subset))
    return pd.concat(parts, ignore_index=True)


def subset_table(
    means: pd.DataFrame,
    covariances: Mapping[str, pd.DataFrame],
    pair: Pair,
    metrics: Collection[str],
    alpha: float,
) -> pd.DataFrame:
    """Means, gap and ratio per subset and training set, tested as in the gap table.

    Args:
        means: `subset_means` of all runs.
        covariances: of these means by subset (`CrossedSums.table`).
        pair: the two groups.
        metrics: columns.
        alpha: level.

    Returns:
        subset, train_set, compared_share, compared, metric, n_reference, n_compared (images per run, mean),
        mean_reference, mean_compared, ratio, ratio_low, ratio_high, gap, ci_low, ci_high, p, n_runs, covers,
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
        inside = means[means["subset"] == subset].sort_values("run")
        runs = sorted(means["run"].unique())
        cells = {(str(key[0]), str(key[1])): rows for key, rows in inside.groupby(["train_set", "group"])}
        sets = list(dict.fromkeys(name for name, _, _ in by_train_set(means)))
        for metric in metrics:
            whole = all(len(cells.get((name, group), [])) == len(runs) for name in sets for group in pair)
            values = {cell: rows[metric].to_numpy() for cell, rows in cells.items()}
            of = crossed(values, covariances[subset], metric, sets, pair) if whole else None
            for name, share, _ in by_train_set(means):
                row: dict[str, object] = {"subset": subset, "train_set": name, "compared_share": share}
                row |= {"compared": pair.compared, "metric": metric, "n_runs": len(runs), "note": ""}
                counts = [
                    float(cells[name, group]["n"].sum() / len(runs)) if (name, group) in cells else 0.0
                    for group in pair
                ]
                row |= dict(zip(("n_reference", "n_compared"), counts, strict=True))
                if of is None:
                    lack = f"a run has no {pair.reference} or no {pair.compared} image in this subset"
                    table.append(row | {"note": lack})
                    continue
                reference, compared = (values[name, group].mean() for group in pair)
                contrast = {(name, pair.compared): 1.0, (name, pair.reference): -1.0}
                ratio = of.test(contrast, log=True)
                row |= {"mean_reference": reference, "mean_compared": compared}
                row |= {"ratio": compared / reference if reference else np.nan}
                row |= dict(zip(("ratio_low", "ratio_high"), ratio.factor(1 - alpha), strict=True))
                row |= contrast_row(of.test(contrast), alpha)
                row["note"] = str(row["note"]) or ratio.note
                table.append(row)
    columns = ["subset", "train_set", "compared_share", "compared", "metric", "n_reference", "n_compared"]
    columns += ["mean_reference", "mean_compared", "ratio", "ratio_low", "ratio_high", "estimate", "ci_low", "ci_high"]
    columns += ["p", "n_runs", "covers", "note"]
    return pd.DataFrame(table, columns=columns).rename(columns={"estimate": "gap"})
