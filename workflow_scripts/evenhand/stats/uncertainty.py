"""Would a model's own uncertainty have raised the flag? Scores against error and against group."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from evenhand.evaluation.measures import MEASURES
from evenhand.splits.groups import Pair, TrainSet
from evenhand.stats.crossed import CrossedSums, contrast_row, crossed
from evenhand.stats.paired import joined
from evenhand.stats.rows import by_model, of_groups, set_and_share

SCORES = tuple(name for name, measure in MEASURES.items() if measure.uncertainty)
CHANCE = {"spearman": 0.0, "auroc": 0.5}
MAX_EMPTY = 0.01  # largest fraction of resamples in which a number may be undefined; these are left out
UNDEFINED = {"spearman": "score or error is constant", "auroc": "all images or none belong to the target"}
COLUMNS = [
    *("compared", "train_set", "compared_share", "score", "statistic", "target", "estimate", "ci_low", "ci_high"),
    *("chance", "p", "n_runs", "n_images", "covers", "note"),
]


def auroc(score: np.ndarray, positive: np.ndarray) -> tuple[float, np.ndarray]:
    """Area under the ROC curve, P(score of a positive > score of a negative) + P(tie) / 2, and the images' influence.

    The influence is what an image adds: the area that it alone has against the images of the other class less the
    mean of those of its class, over the share of its class (DeLong et al. 1988, Biometrics 44:837-845). Both are NaN
    without both classes.
    """
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan"), np.full(len(score), np.nan)
    ranks = rankdata(score)
    influence = np.empty(len(score))
    # Rank among all less rank in the own class: the images of the other class below, ties by half.
    influence[positive] = (ranks[positive] - rankdata(score[positive])) / n_negative
    influence[~positive] = 1 - (ranks[~positive] - rankdata(score[~positive])) / n_positive
    area = float(influence[positive].mean())
    share = np.where(positive, n_positive, n_negative) / len(score)
    return area, (influence - area) / share


def worst_decile(error: np.ndarray) -> np.ndarray:
    """The tenth of the images with the highest error: at least one where there is one, ties at the bound all in."""
    if not len(error):
        return np.zeros(0, dtype=bool)
    k = max(1, round(len(error) / 10))
    return np.asarray(error >= np.sort(error)[-k])


def spearman(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Rank correlation, ties at their mean rank, and the images' influence on it; NaN where either is constant.

    The influence is that on the covariance of the ranks, by the image itself and through the ranks of the others
    (Croux and Dehon 2010, Stat. Methods Appl. 19:497-515).
    """
    if not len(x) or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan"), np.full(len(x), np.nan)
    n = len(x)
    of_x, of_y = ((rankdata(values) - (n + 1) / 2) / n for values in (x, y))
    covariance, spread = float(np.mean(of_x * of_y)), float(of_x.std() * of_y.std())
    moved = of_x * of_y + _raised(x, of_y) + _raised(y, of_x)
    return covariance / spread, (moved - moved.mean()) / spread


def _raised(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each image the mean of `others` over the images above it, ties by half."""
    unique, codes = np.unique(values, return_inverse=True)
    sums = np.bincount(codes, others, len(unique))
    above = sums.sum() - np.cumsum(sums)
    return np.asarray((above[codes] + sums[codes] / 2) / len(values))


def score_run(
    score: np.ndarray, error: np.ndarray, compared: np.ndarray, pair: Pair, train_set: TrainSet
) -> dict[tuple[str, str], tuple[float, np.ndarray]]:
    """How one score of one model relates to error and group.

    Args:
        score: one number per test image of the two groups, higher meaning less certain.
        error: MSE of each.
        compared: whether each is of the compared group, the others are of the reference.
        pair: the two groups.
        train_set: of the model.

    Returns:
        By (statistic, target) the number and the influence of each image on it (NaN where it has no part): Spearman
        correlation with MSE in each group; AUROC for the worst decile of MSE of both groups together and of each;
        AUROC for the one group that the training set lacks, or, with both in it, for the compared group; neither where
        it lacks both. NaN where a score or error is constant.
    """

    def of(which: np.ndarray, found: tuple[float, np.ndarray]) -> tuple[float, np.ndarray]:
        influence = np.full(len(score), np.nan)
        influence[which] = found[1]
        return found[0], influence

    found = {("auroc", "worst decile"): auroc(score, worst_decile(error))}
    for name, member in zip(pair, (~compared, compared), strict=True):
        found["spearman", f"MSE of {name} images"] = of(member, spearman(score[member], error[member]))
        worst = auroc(score[member], worst_decile(error[member]))
        found["auroc", f"worst decile of {name} images"] = of(member, worst)
    has_reference, has_compared = (train_set.share(name) > 0 for name in pair)
    if has_reference and has_compared:
        found["auroc", f"{pair.compared} group"] = auroc(score, compared)
    elif has_reference or has_compared:
        found["auroc", "group not in the training set"] = auroc(score, compared if has_reference else ~compared)
    return found


def uncertainty_table(
    runs: Iterable[pd.DataFrame],
    pair: Pair,
    train_sets: Sequence[TrainSet],
    scores: Sequence[str],
    clusters: Mapping[str, str] | None,
    alpha: float,
) -> pd.DataFrame:
    """Every score against every target, computed per model and averaged over runs.

    Args:
        runs: evaluation rows of all training sets, one table per run: train_set, compared_share, run, group, id, mse
            and the scores.
        pair: the two groups; images of others are left out.
        train_sets: those of the design.
        scores: columns that measure uncertainty, higher meaning less certain.
        clusters: of images that are in one with others.
        alpha: level.

    Returns:
        Columns `COLUMNS`: statistic is `spearman` or `auroc`, chance 0 or 0.5, p against chance (over images and
        runs, to first order in the influence of an image; a set of worst images is taken as given), n_runs those in
        which the number is defined, n_images different ones, covers what the interval accounts for, note why a number
        is missing.
    """
    found: dict[tuple[str, float], dict[str, list[float]]] = {}
    keys: dict[str, tuple[str, str, str]] = {}
    images: dict[str, set[str]] = {}
    set_of = {train_set.name: train_set for train_set in train_sets}
    sums: CrossedSums | None = None
    for every in runs:
        parts = []
        for model in by_model(of_groups(every, pair)):
            name, share = set_and_share(model)
            error, compared = model["mse"].to_numpy(), (model["group"] == pair.compared).to_numpy()
            of_set = found.setdefault((name, share), {})
            columns = {}
            for score in scores:
                for key, (value, influence) in score_run(
                    model[score].to_numpy(), error, compared, pair, set_of[name]
                ).items():
                    column = " ".join((score, *key))
                    keys[column] = (score, *key)
                    of_set.setdefault(column, []).append(value)
                    columns[column] = influence
            parts.append(model[["train_set", "run", "id"]].assign(group="both", **columns))
            images.setdefault(name, set()).update(model["id"])
        run = pd.concat(parts, ignore_index=True)
        sums = sums or CrossedSums(["both"], [column for column in run if column in keys], clusters)
        sums.add(run)
    covariances = sums.table() if sums else pd.DataFrame()
    table = []
    for name, share in sorted(found, key=lambda key: (key[1], key[0])):
        for column in found[name, share]:
            score, statistic, target = keys[column]
            row = _over_images_and_runs(name, column, found, covariances, alpha, CHANCE[statistic], statistic)
            row |= {"compared": pair.compared, "train_set": name, "compared_share": share, "score": score}
            row |= {"statistic": statistic, "target": target, "chance": CHANCE[statistic]}
            table.append(row | {"n_images": len(images[name])})
    return pd.DataFrame(table, columns=COLUMNS)


def _over_images_and_runs(
    name: str,
    column: str,
    found: Mapping[tuple[str, float], Mapping[str, Sequence[float]]],
    covariances: pd.DataFrame,
    alpha: float,
    chance: float,
    statistic: str,
) -> dict[str, object]:
    """One number of one training set; its models are pooled with those of the sets that have it in all runs, too."""
    of_sets = {of[0]: np.array(values[column]) for of, values in found.items() if column in values}
    known = {of: values[np.isfinite(values)] for of, values in of_sets.items()}
    lost = len(of_sets[name]) - len(known[name])
    left_out = f"{lost} of {len(of_sets[name])} runs left out: {UNDEFINED[statistic]}" if lost else ""
    if not len(known[name]):
        return {"n_runs": 0, "covers": "", "note": left_out}
    sets = [name] if lost else [of for of in known if len(known[of]) == len(of_sets[of])]
    of = crossed({(one, "both"): known[one] for one in sets}, covariances, column, sets, ["both"])
    row = contrast_row(of.test({(name, "both"): 1.0}), alpha, chance)
    return row | {"note": joined(left_out, str(row["note"]))}


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
        for (statistic, target), (estimate, _) in score_run(score, error, compared, pair, set_of[name]).items():
            values = np.array([one[statistic, target][0] for one in drawn])
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
