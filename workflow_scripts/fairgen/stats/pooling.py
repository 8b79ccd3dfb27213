"""Partially pooled means per condition: rare conditions are drawn towards the mean of all."""

import numpy as np
import pandas as pd
from scipy import optimize, stats

from fairgen.stats.rows import GROUPS, by_train_set
from fairgen.stats.summary import sort_by_design


def pooled_conditions(images: pd.DataFrame, level: float) -> pd.DataFrame:
    """Partially pooled mean MSE per condition, one random-intercept model per training set and group.

    The mean of an image over its runs is y = mu + u_condition + e, fitted by REML; the estimate is the best linear
    unbiased prediction mu + u (Robinson 1991), its variance tau^2 (1 - l) + (1 - l)^2 Var(mu) with the weight
    l = tau^2 / (tau^2 + s^2 / n). Figure 8 of the paper with what two images per condition can tell.

    Args:
        images: per-image sums (`summary.summarise`): n and total.
        level: of the intervals.

    Returns:
        train_set, dark_share, label, group, n_images, raw (mean over images), estimate, ci_low, ci_high, weight (l:
        1 is no pooling), n_conditions, note. With fewer than three conditions, or none with two images, estimate
        and interval are empty and the note says why.
    """
    parts = []
    frame = images.reset_index()
    frame["y"] = frame["total"] / frame["n"]
    for name, share, part in by_train_set(frame):
        for group in GROUPS:
            table = _pooled(part[part["group"] == group], level)
            parts.append(table.assign(train_set=name, dark_share=share, group=group))
    columns = ["train_set", "dark_share", "label", "group", "n_images", "raw", "estimate", "ci_low", "ci_high"]
    table = pd.concat(parts, ignore_index=True)[[*columns, "weight", "n_conditions", "note"]]
    return sort_by_design(table, ["label"])


def _pooled(part: pd.DataFrame, level: float) -> pd.DataFrame:
    table = part.groupby("label", sort=True)["y"].agg(n_images="size", raw="mean").reset_index()
    table["n_conditions"] = len(table)
    empty = {"estimate": np.nan, "ci_low": np.nan, "ci_high": np.nan, "weight": np.nan}
    if len(table) < 3 or table["n_images"].max() < 2:
        return table.assign(**empty, note="no pooling: it needs three conditions and one of two images")
    n = table["n_images"].to_numpy(dtype=float)
    within = float(((part["y"] - part["label"].map(table.set_index("label")["raw"])) ** 2).sum())
    if not within > 0:
        return table.assign(**empty, note="no pooling: images of a condition do not differ")
    mu, tau2, s2 = random_intercept(table["raw"].to_numpy(), n, within)
    weight = tau2 / (tau2 + s2 / n)
    var_mu = 1 / np.sum(1 / (tau2 + s2 / n))
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt(tau2 * (1 - weight) + (1 - weight) ** 2 * var_mu)
    estimate = mu + weight * (table["raw"] - mu)
    note = "" if tau2 > 0 else "the variance between conditions is estimated as 0: all are pooled into one mean"
    return table.assign(estimate=estimate, ci_low=estimate - half, ci_high=estimate + half, weight=weight, note=note)


def random_intercept(means: np.ndarray, n: np.ndarray, within: float) -> tuple[float, float, float]:
    """REML of the one-way random-effects model, by a search over the one free ratio tau^2 / s^2.

    General mixed-model fitters were seen to stop at tau^2 = 0 with strong differences between the conditions; with
    one random factor the profile likelihood has one dimension, which can be searched as a whole.

    Args:
        means: mean per condition, shape (C,).
        n: images per condition.
        within: sum of squared deviations of the images from their condition's mean; positive.

    Returns:
        mu, tau^2 (variance between conditions), s^2 (between images of a condition).
    """
    total = float(n.sum())

    def parts(ratio: float) -> tuple[float, float, np.ndarray]:
        precision = n / (1 + ratio * n)  # of a condition's mean, in units of 1 / s^2
        mu = float(np.sum(precision * means) / precision.sum())
        s2 = (within + float(np.sum(precision * (means - mu) ** 2))) / (total - 1)
        return mu, s2, precision

    def deviance(ratio: float) -> float:
        _, s2, precision = parts(ratio)
        return float((total - 1) * np.log(s2) + np.sum(np.log1p(ratio * n)) + np.log(precision.sum()))

    grid = np.concatenate([[0.0], np.geomspace(1e-6, 1e6, 121)])
    best = int(np.argmin([deviance(ratio) for ratio in grid]))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    ratio = float(optimize.minimize_scalar(deviance, bounds=bounds, method="bounded", options={"xatol": 1e-10}).x)
    if deviance(0.0) <= deviance(ratio):
        ratio = 0.0
    mu, s2, _ = parts(ratio)
    return mu, ratio * s2, s2
