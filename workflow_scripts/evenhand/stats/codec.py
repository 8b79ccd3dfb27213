"""Trained models beside codecs of equal error: how much more of the gap there is than the pictures bring (claim K1).

Of each model and group, the mean error over that of its codec. On the reference group it is 1, as the codec was chosen
so; on the compared one it is what the model's ratio is of the codec's. Images and models are the units
(`evenhand.stats.crossed`), the two errors of an image are paired: an image that is hard for both adds nothing.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from evenhand.splits.groups import Pair
from evenhand.stats.crossed import Cell, CrossedSums, CrossedTest, crossed
from evenhand.stats.rows import by_model, by_train_set, of_groups, set_and_share
from evenhand.stats.strata import COLUMNS, adjusted_gaps
from evenhand.stats.summary import IMAGE, Totals, run_means, sort_by_design

OF_IMAGE = ["codec_mse", "codec_bits", "codec_quality", "codec_side"]
TESTED = ["codec_mse", "excess"]


def with_excess(model: pd.DataFrame) -> pd.DataFrame:
    """The images of a model with `excess`, whose mean over a group is the mean error over that of the codec.

    Of an image it is what its two errors add to this ratio of means, to first order: r + (x - r y) / mean(y). NaN where
    no codec has the error of the model.
    """
    means = model.groupby("group")[["mse", "codec_mse"]].transform("mean")
    y = means["codec_mse"].where(means["codec_mse"] > 0)
    ratio = means["mse"] / y
    return model.assign(excess=ratio + (model["mse"] - ratio * model["codec_mse"]) / y)


def codec_tables(
    runs: Iterable[pd.DataFrame],
    groups: Sequence[str],
    pairs: Sequence[Pair],
    clusters: Mapping[str, str] | None,
    alpha: float,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Codecs of equal error by run, and what they say of the models.

    Args:
        runs: evaluation rows of all training sets, one table per run: mse and `OF_IMAGE`.
        groups: of the study.
        pairs: of groups to compare.
        clusters: of images that are in one with others.
        alpha: intervals have the level 1 - alpha.

    Returns:
        The columns of schemas/tables.yaml under `codec_runs` and `codec`.
    """
    sums, parts = CrossedSums(groups, TESTED, clusters), []
    for run in runs:
        models = [with_excess(model) for model in by_model(run)]
        sums.add(pd.concat(models, ignore_index=True))
        parts += [run_means(model, groups, ["mse", *OF_IMAGE, "excess"]) for model in models]
    of_runs = sort_by_design(pd.concat(parts, ignore_index=True), groups, ["run"])
    covariances = sums.table()
    rows = [row for pair in pairs for row in _rows(of_runs, covariances, pair, alpha)]
    return of_runs.drop(columns="excess"), pd.DataFrame(rows)


def codec_adjusted(
    models: Iterable[pd.DataFrame],
    runs: Iterable[pd.DataFrame],
    pair: Pair,
    clusters: Mapping[str, str] | None,
    n_runs: int,
    stats: Mapping[str, Any],
) -> pd.DataFrame:
    """What models of a pair have of a gap beyond codecs of equal error, with the mix of conditions, sources held fixed.

    On the reference group model and codec have the same mean error, so the gap of the difference of the two errors of
    an image, over that mean, is the model's ratio less the codec's.

    Args:
        models: evaluation rows of one model each: `IMAGE`, mse and codec_mse.
        runs: the same, of all training sets in one table per run.
        pair: the two groups.
        clusters: of images that are in one with others.
        n_runs: number of runs.
        stats: that block of the configuration.

    Returns:
        The columns of schemas/tables.yaml under `codec_adjusted`. A training set with a model that no codec equals
        has one row, which says so.
    """
    totals, lost = Totals(IMAGE), Counter[str]()
    for model in models:
        rows = _beyond(of_groups(model, pair))
        totals.add(rows[IMAGE].assign(n=1, total=rows["beyond"], mse=rows["mse"]))
        lost[set_and_share(model)[0]] += int(rows["beyond"].isna().any())
    without = [name for name, models_without in lost.items() if models_without]
    images = totals.table().reset_index()
    there = images[~images["train_set"].isin(without)]
    of_reference = there[there["group"] == pair.reference].groupby("train_set")[["mse", "n"]].sum()
    untested = [
        {"train_set": name, "compared_share": share, "compared": pair.compared, "adjustment": "none"}
        | {"n_runs": n_runs, "covers": "", "note": _no_codec(lost[name], n_runs, pair)}
        for name, share, _ in by_train_set(images[images["train_set"].isin(without)])
    ]
    found = [pd.DataFrame(untested).reindex(columns=COLUMNS)] if untested else []
    if len(there):
        found.append(
            adjusted_gaps(
                there,
                (_beyond(run[~run["train_set"].isin(without)]) for run in runs),
                *(pair, clusters, n_runs, stats["min_images"], stats["alpha"], stats["claims"]["vanishing"]),
                metric="beyond",
                references={str(name): float(mean) for name, mean in (of_reference["mse"] / of_reference["n"]).items()},
            )
        )
    return pd.concat(found).sort_values("compared_share", kind="stable", ignore_index=True)


def _beyond(rows: pd.DataFrame) -> pd.DataFrame:
    """Evaluation rows with `beyond`, the error of the model less that of its codec; NaN where there is none."""
    return rows.assign(beyond=rows["mse"] - rows["codec_mse"])


def _rows(of_runs: pd.DataFrame, covariances: pd.DataFrame, pair: Pair, alpha: float) -> list[dict[str, object]]:
    values: dict[str, dict[Cell, np.ndarray]] = {metric: {} for metric in ("mse", *TESTED)}
    for key, part in of_runs.groupby(["train_set", "group"]):
        name, group = map(str, key)
        for metric, cells in values.items():
            cells[name, group] = part[metric].to_numpy(dtype=float)
    sets = list(dict.fromkeys(of_runs["train_set"]))
    found = [name for name in sets if all(np.isfinite(values["excess"][name, group]).all() for group in pair)]
    of = {
        metric: crossed(
            {cell: values[metric][cell] for cell in values[metric] if cell[0] in found},
            *(covariances, metric, found, pair),
        )
        for metric in (TESTED if found else ())
    }
    rows = []
    for name, share, part in by_train_set(of_runs):
        reference, compared = (values["mse"][name, group] for group in pair)
        bits = part.groupby("group")["codec_bits"].mean()
        row: dict[str, Any] = {"train_set": name, "compared_share": share, "compared": pair.compared}
        row |= {"n_runs": len(reference), "n_test": int(part["n_images"].max())}
        row |= {"quality": part["codec_quality"].mean(), "side": part["codec_side"].mean()}
        row |= {"bits_reference": bits[pair.reference], "bits_compared": bits[pair.compared]}
        ratio = compared.mean() / reference.mean() if reference.mean() else math.nan
        row |= {"mean_reference": reference.mean(), "ratio": ratio}
        tests = dict.fromkeys(TESTED, _untested(part, pair))
        if name in found:
            contrast = {(name, pair.compared): 1.0, (name, pair.reference): -1.0}
            tests = {metric: of[metric].test(contrast, log=True) for metric in TESTED}
        for column, test in zip(("codec_ratio", "excess"), tests.values(), strict=True):
            low, high = test.factor(1 - alpha)
            row |= {column: math.exp(test.mean), f"{column}_low": low, f"{column}_high": high}
        excess = tests["excess"]
        row |= {"log_excess": excess.mean, "df": excess.df, "p": excess.p(), "covers": excess.covers}
        row |= {f"se_{source}": math.sqrt(getattr(excess, source)) for source in ("images", "models", "within")}
        row |= {"df_images": excess.df_images, "df_pooled": excess.df_pooled}
        rows.append(row | {"note": excess.note})
    return rows


def _untested(part: pd.DataFrame, pair: Pair) -> CrossedTest:
    runs, lost = (int(rows["run"].nunique()) for rows in (part, part[part["codec_mse"].isna()]))
    return CrossedTest(runs, math.nan, math.nan, math.nan, reason=_no_codec(lost, runs, pair))


def _no_codec(lost: int, runs: int, pair: Pair) -> str:
    """Why a training set is not tested, `lost` of whose models have no codec."""
    return (
        f"on {pair.reference} images {lost} of {runs} models have a mean error that JPEG has nowhere between quality "
        "100 and one colour a picture"
    )
