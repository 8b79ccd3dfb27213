"""Would a model's own uncertainty have raised the flag? Scores against error and against group."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from evenhand.evaluation.measures import MEASURES
from evenhand.splits.groups import Pair, TrainSet
from evenhand.stats.bootstrap import MAX_EMPTY
from evenhand.stats.paired import joined, over_runs_row
from evenhand.stats.rows import of_groups, set_and_share

SCORES = tuple(name for name, measure in MEASURES.items() if measure.uncertainty)
CHANCE = {"spearman": 0.0, "auroc": 0.5}
UNDEFINED = {"spearman": "score or error is constant", "auroc": "all images or none belong to the target"}
COLUMNS = [
    *("compared", "train_set", "compared_share", "score", "statistic", "target", "estimate", "ci_low", "ci_high"),
    *("chance", "p", "n_runs", "n_images", "covers", "note"),
]


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve: P(score of a positive > score of a negative) + P(tie) / 2; NaN without both."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def worst_decile(error: np.ndarray) -> np.ndarray:
    """The tenth of the images with the highest error: at least one where there is one, ties at the bound all in."""
    if not len(error):
        return np.zeros(0, dtype=bool)
    k = max(1, round(len(error) / 10))
    return np.asarray(error >= np.sort(error)[-k])


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Rank correlation, ties at their mean rank; NaN where either is constant, or there is none."""
    if not len(x) or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def score_run(
    score: np.ndarray, error: np.ndarray, compared: np.ndarray, pair: Pair, train_set: TrainSet
) -> dict[tuple[str, str], float]:
    """How one score of one model relates to error and group.

    Args:
        score: one number per test image of the two groups, higher meaning less certain.
        error: MSE of each.
        compared: whether each is of the compared group, the others are of the reference.
        pair: the two groups.
        train_set: of the model.

    Returns:
        By (statistic, target): Spearman correlation with MSE in each group; AUROC for the worst decile of MSE of
        both groups together and of each; AUROC for the one group that the training set lacks, or, with both in it, for
        the compared group; neither where it lacks both. NaN where a score or error is constant.
    """
    found = {("auroc", "worst decile"): auroc(score, worst_decile(error))}
    for name, member in zip(pair, (~compared, compared), strict=True):
        found["spearman", f"MSE of {name} images"] = spearman(score[member], error[member])
        found["auroc", f"worst decile of {name} images"] = auroc(score[member], worst_decile(error[member]))
    has_reference, has_compared = (train_set.share(name) > 0 for name in pair)
    if has_reference and has_compared:
        found["auroc", f"{pair.compared} group"] = auroc(score, compared)
    elif has_reference or has_compared:
        found["auroc", "group not in the training set"] = auroc(score, compared if has_reference else ~compared)
    return found


def uncertainty_table(
    models: Iterable[pd.DataFrame],
    pair: Pair,
    train_sets: Sequence[TrainSet],
    scores: Sequence[str],
    ratios: Mapping[str, float],
    alpha: float,
) -> pd.DataFrame:
    """Every score against every target, computed per model and averaged over runs.

    Args:
        models: evaluation rows of one model each: train_set, compared_share, run, group, id, mse and the scores.
        pair: the two groups; images of others are left out.
        train_sets: those of the design.
        scores: columns that measure uncertainty, higher meaning less certain.
        ratios: n_test / n_train per training set, for the corrected interval.
        alpha: level.

    Returns:
        Columns `COLUMNS`: statistic is `spearman` or `auroc`, chance 0 or 0.5, p against chance (corrected t over
        runs), n_runs those in which the number is defined, n_images different ones, covers what the interval
        accounts for, note why a number is missing.
    """
    found: dict[tuple[str, float], dict[str, list[dict[tuple[str, str], float]]]] = {}
    images: dict[str, set[str]] = {}
    set_of = {train_set.name: train_set for train_set in train_sets}
    for every in models:
        model = of_groups(every, pair)
        name, share = set_and_share(model)
        error, compared = model["mse"].to_numpy(), (model["group"] == pair.compared).to_numpy()
        of_set = found.setdefault((name, share), {score: [] for score in scores})
        for score in scores:
            of_set[score].append(score_run(model[score].to_numpy(), error, compared, pair, set_of[name]))
        images.setdefault(name, set()).update(model["id"])
    table = []
    for name, share in sorted(found, key=lambda key: (key[1], key[0])):
        for score, runs in found[name, share].items():
            for statistic, target in runs[0]:
                chance = CHANCE[statistic]
                values = np.array([one[statistic, target] for one in runs])
                row = over_runs_row(values, ratios[name], alpha, chance, UNDEFINED[statistic])
                covers = "runs" if np.isfinite(row["ci_low"]) else ""
                key = {"compared": pair.compared, "train_set": name, "compared_share": share, "score": score}
                key |= {"statistic": statistic, "target": target}
                table.append(key | row | {"chance": chance, "n_images": len(images[name]), "covers": covers})
    return pd.DataFrame(table, columns=COLUMNS)


def ensemble_table(
    models: Iterable[pd.DataFrame],
    ensembles: Mapping[str, pd.DataFrame],
    pair: Pair,
    train_sets: Sequence[TrainSet],
    n_runs: int,
    level: float,
    resamples: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """The variance across the models of different runs as a score, on the test images of one run.

    All models contribute to one score per image, so there is nothing to average over runs; the interval is a
    percentile bootstrap over images within group.

    Args:
        models: evaluation rows of one model of each training set, all of one run: train_set, compared_share,
            group, id, mse.
        ensembles: per training set id and ensemble_var (NaN for an image that fewer than two models were not
            trained on; those are left out and n_images counts the rest).
        pair: the two groups; images of others are left out.
        train_sets: those of the design.
        n_runs: number of models behind the score.
        level: of the intervals.
        resamples: bootstrap samples.
        rng: source of the draws.

    Returns:
        Columns `COLUMNS`, score `ensemble_var`; note says how many images have no such score, and why a number is
        missing. A training set without the score in both groups has one row, which says so.
    """
    table = []
    set_of = {train_set.name: train_set for train_set in train_sets}
    for model in sorted(models, key=lambda model: set_and_share(model)[::-1]):
        name, share = set_and_share(model)
        every = of_groups(model, pair).merge(ensembles[name][["id", "ensemble_var"]], on="id", how="left")
        images = every.dropna(subset="ensemble_var").sort_values(["group", "id"], ignore_index=True)
        key = {"compared": pair.compared, "train_set": name, "compared_share": share, "score": "ensemble_var"}
        counts = {"n_runs": n_runs, "n_images": len(images)}
        lost = len(every) - len(images)
        left_out = (
            f"{lost} of {len(every)} images left out: fewer than two models did not train on them" if lost else ""
        )
        if images["group"].nunique() < 2:
            table.append(key | counts | {"note": joined(left_out, "no such score for images of both groups")})
            continue
        score, error = images["ensemble_var"].to_numpy(), images["mse"].to_numpy()
        compared = (images["group"] == pair.compared).to_numpy()
        members = [np.flatnonzero(~compared), np.flatnonzero(compared)]
        drawn = []
        for _ in range(resamples):
            chosen = np.concatenate([rng.choice(member, len(member)) for member in members])
            drawn.append(score_run(score[chosen], error[chosen], compared[chosen], pair, set_of[name]))
        for (statistic, target), estimate in score_run(score, error, compared, pair, set_of[name]).items():
            values = np.array([one[statistic, target] for one in drawn])
            values = values[np.isfinite(values)]
            low, high, note = np.nan, np.nan, left_out
            if np.isnan(estimate):
                note = joined(note, UNDEFINED[statistic])
            elif len(values) < (1 - MAX_EMPTY) * resamples:
                note = joined(note, f"no interval: undefined in {resamples - len(values)} of {resamples} resamples")
            else:
                low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
                if low == high:
                    low, high, note = np.nan, np.nan, joined(note, "no interval: the resamples do not differ")
            numbers = {"estimate": estimate, "ci_low": low, "ci_high": high, "chance": CHANCE[statistic]}
            what = {"statistic": statistic, "target": target, "covers": "images" if np.isfinite(low) else ""}
            table.append(key | counts | what | numbers | {"note": note})
    return pd.DataFrame(table, columns=COLUMNS)
