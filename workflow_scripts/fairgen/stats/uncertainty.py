"""Would a model's own uncertainty have raised the flag? Scores against error and against group."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata, spearmanr

from fairgen.stats.paired import over_runs_row
from fairgen.stats.rows import by_train_set

SCORES = ("latent_std", "kl")


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve: P(score of a positive > score of a negative) + P(tie) / 2; NaN without both."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def worst_decile(error: np.ndarray) -> np.ndarray:
    """The tenth of the images with the highest error: at least one, ties at the bound all in."""
    k = max(1, round(len(error) / 10))
    return np.asarray(error >= np.sort(error)[-k])


def score_run(rows: pd.DataFrame, score: np.ndarray, dark_share: float) -> dict[tuple[str, str], float]:
    """How one score of one model relates to error and group.

    Args:
        rows: test images of one model: group, mse.
        score: one number per row, higher meaning less certain.
        dark_share: of the training set.

    Returns:
        By (statistic, target): Spearman correlation with MSE in each group; AUROC for the worst decile of MSE of
        both groups together and of each; AUROC for the group that the training set lacks (dark at share 0, light
        at share 1), or, with both in it, for the dark group. NaN where a score or error is constant.
    """
    error, dark = rows["mse"].to_numpy(), (rows["group"] == "dark").to_numpy()
    found = {("auroc", "worst decile"): auroc(score, worst_decile(error))}
    for name, member in (("light", ~dark), ("dark", dark)):
        varies = np.ptp(score[member]) > 0 and np.ptp(error[member]) > 0
        rank = float(spearmanr(score[member], error[member]).statistic) if varies else float("nan")
        found["spearman", f"MSE of {name} images"] = rank
        found["auroc", f"worst decile of {name} images"] = auroc(score[member], worst_decile(error[member]))
    if dark_share in (0.0, 1.0):
        found["auroc", "group not in the training set"] = auroc(score, dark if dark_share == 0 else ~dark)
    else:
        found["auroc", "dark group"] = auroc(score, dark)
    return found


def uncertainty_table(
    rows: pd.DataFrame, scores: Sequence[str], ratios: Mapping[str, float], alpha: float
) -> pd.DataFrame:
    """Every score against every target, computed per model and averaged over runs.

    Args:
        rows: evaluation rows: train_set, dark_share, run, group, md5hash, mse and the scores.
        scores: columns that measure uncertainty, higher meaning less certain.
        ratios: n_test / n_train per training set, for the corrected interval.
        alpha: level.

    Returns:
        train_set, dark_share, score, statistic (`spearman`, `auroc`), target, estimate, ci_low, ci_high, chance (0 or
        0.5), p (against chance, corrected t over runs), n_runs (those in which it is defined), n_images (different
        ones). The score
        `error variance across runs` is an image's variance of log MSE over the models of different runs that
        were not trained on it, scored once over all images that two runs tested; it has no interval.
    """
    table = []
    for name, share, part in by_train_set(rows):
        per_run = [model for _, model in part.groupby("run", sort=True)]
        for score in scores:
            found = [score_run(model, model[score].to_numpy(), share) for model in per_run]
            for statistic, target in found[0]:
                chance = 0.5 if statistic == "auroc" else 0.0
                values = np.array([one[statistic, target] for one in found])
                row = over_runs_row(values[np.isfinite(values)], ratios[name], alpha, chance)
                key = {"train_set": name, "dark_share": share, "score": score, "statistic": statistic, "target": target}
                table.append(key | row | {"chance": chance, "n_images": part["md5hash"].nunique()})
        table.extend(_across_runs(part, name, share))
    columns = [
        "train_set",
        "dark_share",
        "score",
        "statistic",
        "target",
        "estimate",
        "ci_low",
        "ci_high",
        "chance",
        "p",
    ]
    return pd.DataFrame(table, columns=[*columns, "n_runs", "n_images"])


def _across_runs(part: pd.DataFrame, name: str, share: float) -> list[dict[str, object]]:
    logs = part[["group", "md5hash", "run"]].assign(mse=part["mse"], log_mse=np.log(part["mse"]))
    images = logs.groupby(["group", "md5hash"]).agg(
        mse=("mse", "mean"), variance=("log_mse", "var"), times=("log_mse", "size")
    )
    images = images[images["times"] >= 2].reset_index()
    if images["group"].nunique() < 2:
        return []
    found = score_run(images, images["variance"].to_numpy(), share)
    return [
        {
            "train_set": name,
            "dark_share": share,
            "score": "error variance across runs",
            "statistic": statistic,
            "target": target,
            "estimate": estimate,
            "chance": 0.5 if statistic == "auroc" else 0.0,
            "n_runs": part["run"].nunique(),
            "n_images": len(images),
        }
        for (statistic, target), estimate in found.items()
    ]
