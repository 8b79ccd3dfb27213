"""Would a model's own uncertainty have raised the flag? Scores against error and against group."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
from scipy.special import ndtri
from scipy.stats import rankdata

from evenhand.evaluation.measures import MEASURES, SCORES_OF
from evenhand.splits.groups import Pair, TrainSet
from evenhand.stats.crossed import CrossedSums, contrast_row, crossed
from evenhand.stats.paired import ROUNDING, joined
from evenhand.stats.rows import by_model, of_groups, set_and_share

FALSE_ALARMS = 0.05  # of an alarm, on pictures like those of the training set
CHANCE = {"spearman": 0.0, "auroc": 0.5, "auroc_adjusted": 0.5, "alarm": FALSE_ALARMS}  # of all others 0
UNDEFINED = {"spearman": "score or error is constant"}  # of all others:
ONE_CLASS = "all images or none belong to the target"
LACKED = "group not in the training set"
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


def held_fixed(score: np.ndarray, controls: Sequence[np.ndarray]) -> np.ndarray:
    """What is left of a score when controls are held fixed, (n,): residuals of a regression of normal scores.

    Score and controls are ranked and given normal quantiles (van der Waerden), so that the scale of none matters; the
    regression is a polynomial of the third degree. All 0 where nothing but rounding is left.
    """
    if not len(score):
        return score
    y, *x = (ndtri((rankdata(values) - 0.5) / len(values)) for values in (score, *controls))
    degrees = [powers for powers in product(range(4), repeat=len(x)) if sum(powers) <= 3]
    design = np.stack([np.prod([of**power for of, power in zip(x, powers, strict=True)], axis=0) for powers in degrees])
    residual = y - design.T @ np.linalg.lstsq(design.T, y, rcond=None)[0]
    # Ranks of rounding would be noise.
    return np.asarray(residual if np.sum(residual**2) > ROUNDING * max(np.sum(y**2), ROUNDING) else np.zeros(len(y)))


def alarm(score: np.ndarray, positive: np.ndarray) -> tuple[float, np.ndarray]:
    """Share of the positives that an alarm catches, and the images' influence; NaN without both classes.

    The threshold is the quantile of the negatives that at most `FALSE_ALARMS` of them exceed. It is an estimate, too:
    a negative more above it costs as many positives as the ROC curve rises there.
    """
    above, below = score[positive], score[~positive]
    if not (len(above) and len(below)):
        return float("nan"), np.full(len(score), np.nan)

    def caught(rate: float) -> tuple[float, float]:
        threshold = float(np.quantile(below, 1 - rate, method="higher"))
        return threshold, float(np.mean(above > threshold))

    threshold, share = caught(FALSE_ALARMS)
    rise = (caught(1.5 * FALSE_ALARMS)[1] - caught(0.5 * FALSE_ALARMS)[1]) / FALSE_ALARMS
    alarmed = score > threshold
    influence = np.where(positive, alarmed - share, -rise * (alarmed - np.mean(below > threshold)))
    return share, influence / np.where(positive, positive.mean(), 1 - positive.mean())


def score_run(
    score: np.ndarray,
    error: np.ndarray,
    compared: np.ndarray,
    pair: Pair,
    train_set: TrainSet,
    controls: Mapping[str, np.ndarray] | None = None,
    of_error: bool = False,
) -> dict[tuple[str, str], tuple[float, np.ndarray]]:
    """How one score of one model relates to error and group.

    Args:
        score: one number per test image of the two groups, higher meaning less certain; NaN where it has none: such
            images are left out.
        error: MSE of each.
        compared: whether each is of the compared group, the others are of the reference.
        pair: the two groups.
        train_set: of the model.
        controls: what the score has to beat, by name; none: it is a control itself.
        of_error: the error is in the score; it is not held against the error.

    Returns:
        By (statistic, target) the number and the influence of each image on it (NaN where it has no part). Spearman
        correlation with MSE in each group. Of each target AUROC (`auroc`), the same of what `held_fixed` leaves
        (`auroc_adjusted`) and how much higher it is than that of each control, in whichever direction it is the better
        (`over` the control). Targets are the worst decile of MSE of both groups together and of each; the one group
        that the training set lacks, or, with both in it, the compared group; neither where it lacks both. For a group
        that it lacks, `alarm`, too. NaN where a score or error is constant.
    """
    known = np.isfinite(score)
    score, error, compared = score[known], error[known], compared[known]
    fixed = {name: values[known] for name, values in (controls or {}).items()}
    everyone = np.ones(len(score), dtype=bool)

    def of(which: np.ndarray, found: tuple[float, np.ndarray]) -> tuple[float, np.ndarray]:
        influence = np.full(len(known), np.nan)
        influence[np.flatnonzero(known)[which]] = found[1]
        return found[0], influence

    found, targets = {}, []
    if not of_error:
        targets.append(("worst decile", everyone, worst_decile(error)))
        for name, member in zip(pair, (~compared, compared), strict=True):
            found["spearman", f"MSE of {name} images"] = of(member, spearman(score[member], error[member]))
            targets.append((f"worst decile of {name} images", member, worst_decile(error[member])))
    has_reference, has_compared = (train_set.share(name) > 0 for name in pair)
    if has_reference and has_compared:
        targets.append((f"{pair.compared} group", everyone, compared))
    elif has_reference or has_compared:
        targets.append((LACKED, everyone, compared if has_reference else ~compared))
        found["alarm", LACKED] = of(everyone, alarm(score, targets[-1][2]))
    for target, member, positive in targets:
        area = auroc(score[member], positive)
        found["auroc", target] = of(member, area)
        if fixed:
            left = held_fixed(score[member], [values[member] for values in fixed.values()])
            found["auroc_adjusted", target] = of(member, auroc(left, positive))
        for name, values in fixed.items():
            bar = auroc(values[member], positive)
            bar = bar if bar[0] >= 0.5 else (1 - bar[0], -bar[1])
            found[f"over {name}", target] = of(member, (area[0] - bar[0], area[1] - bar[1]))
    return found


def with_other_sets(run: pd.DataFrame) -> pd.DataFrame:
    """`run` with the scores that need the models of the other training sets of the run; NaN where there is none.

    Args:
        run: rows of all training sets, of the same test images: train_set, id and bound.
    """
    of_image = run.groupby("id")["bound"]
    others = (of_image.transform("sum") - run["bound"]) / (of_image.transform("size") - 1).replace(0, np.nan)
    return run.assign(**{name: MEASURES[name].of(run["bound"], others) for name in SCORES_OF["sets"]})


def uncertainty_table(
    runs: Iterable[pd.DataFrame],
    pair: Pair,
    train_sets: Sequence[TrainSet],
    scores: Sequence[str],
    controls: Sequence[str],
    clusters: Mapping[str, str] | None,
    alpha: float,
) -> pd.DataFrame:
    """Every score against every target, computed per model and averaged over runs.

    Args:
        runs: evaluation rows of all training sets, one table per run: train_set, compared_share, run, group, id, mse
            the scores and the controls.
        pair: the two groups; images of others are left out.
        train_sets: those of the design.
        scores: columns that measure uncertainty, higher meaning less certain, or controls; all NaN in the same rows.
        controls: columns that the other scores have to beat.
        clusters: of images that are in one with others.
        alpha: level.

    Returns:
        Columns `COLUMNS`: statistic as in `score_run`, chance its value without any relation, p against chance (over
        images and runs, to first order in the influence of an image; a set of worst images and the regression on the
        controls are taken as given), n_runs those in which the number is defined, n_images different ones, covers
        what the interval accounts for, note why a number is missing.
    """
    found: dict[tuple[str, float], dict[str, list[float]]] = {}
    keys: dict[str, tuple[str, str, str]] = {}
    images: dict[str, set[str]] = {}
    lost: dict[str, int] = defaultdict(int)
    set_of = {train_set.name: train_set for train_set in train_sets}
    sums: CrossedSums | None = None
    for every in runs:
        parts = []
        for model in by_model(of_groups(every, pair)):
            name, share = set_and_share(model)
            error, compared = model["mse"].to_numpy(), (model["group"] == pair.compared).to_numpy()
            of_set = found.setdefault((name, share), {})
            columns = {}
            fixed = {control: model[control].to_numpy(dtype=float) for control in controls}
            for score in scores:
                held = {} if score in fixed else fixed
                values = model[score].to_numpy(dtype=float)
                of_error = MEASURES[score].of_error
                for key, (value, influence) in score_run(
                    values, error, compared, pair, set_of[name], held, of_error
                ).items():
                    column = " ".join((score, *key))
                    keys[column] = (score, *key)
                    of_set.setdefault(column, []).append(value)
                    columns[column] = influence
            of_images = model[["train_set", "run", "id"]].assign(group="both")
            parts.append(pd.concat([of_images, pd.DataFrame(columns, index=model.index)], axis=1))
            known = model.dropna(subset=list(scores))["id"]
            images.setdefault(name, set()).update(known)
            lost[name] += len(model) - len(known)
        run = pd.concat(parts, ignore_index=True)
        sums = sums or CrossedSums(["both"], [column for column in run if column in keys], clusters)
        sums.add(run)
    covariances = sums.table() if sums else pd.DataFrame()
    table = []
    for name, share in sorted(found, key=lambda key: (key[1], key[0])):
        for column in found[name, share]:
            score, statistic, target = keys[column]
            row = _over_images_and_runs(name, column, found, covariances, alpha, CHANCE.get(statistic, 0.0), statistic)
            row |= {"compared": pair.compared, "train_set": name, "compared_share": share, "score": score}
            row |= {"statistic": statistic, "target": target, "chance": CHANCE.get(statistic, 0.0)}
            without = f"{lost[name]} test images left out: they have no such score" if lost[name] else ""
            table.append(row | {"n_images": len(images[name]), "note": joined(without, str(row["note"]))})
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
    left_out = f"{lost} of {len(of_sets[name])} runs left out: {UNDEFINED.get(statistic, ONE_CLASS)}" if lost else ""
    if not len(known[name]):
        return {"n_runs": 0, "covers": "", "note": left_out}
    sets = [name] if lost else [of for of in known if len(known[of]) == len(of_sets[of])]
    of = crossed({(one, "both"): known[one] for one in sets}, covariances, column, sets, ["both"])
    row = contrast_row(of.test({(name, "both"): 1.0}), alpha, chance)
    return row | {"note": joined(left_out, str(row["note"]))}
