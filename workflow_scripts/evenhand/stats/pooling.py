"""Partially pooled means per condition: rare conditions are drawn towards the mean of all."""

import numpy as np
import pandas as pd
from scipy import stats

from evenhand.stats.mixed import NoFitError, random_intercept
from evenhand.stats.rows import GROUPS, by_train_set
from evenhand.stats.summary import sort_by_design


def pooled_conditions(images: pd.DataFrame, runs: pd.DataFrame, level: float) -> pd.DataFrame:
    """Partially pooled mean MSE per condition, one random-intercept model per training set and group.

    The mean of an image over its runs is y = mu + u_condition + e, fitted by REML; the estimate is the best linear
    unbiased prediction mu + u (Robinson 1991), its variance tau^2 (1 - l) + (1 - l)^2 Var(mu) with the weight
    l = tau^2 / (tau^2 + s^2 / n). Figure 8 of the paper with what two images per condition can tell. That variance is
    over images, given the models; the relative variance of the mean of the R runs is added, as models differ by factors
    (without it, intervals of 95 % were seen to cover 91 to 93 %).

    Args:
        images: per-image sums (`summary.summarise`): n and total.
        runs: train_set, group, run and mse, the mean of a run.
        level: of the intervals.

    Returns:
        train_set, dark_share, label, group, n_images, raw (mean over images), estimate, ci_low, ci_high, weight (l:
        1 is no pooling), n_conditions, note. With fewer than three conditions, or none with two images, estimate
        and interval are empty and the note says why; with one run it says that the interval is one over images alone.
    """
    parts = []
    frame = images.reset_index()
    frame["y"] = frame["total"] / frame["n"]
    for name, share, part in by_train_set(frame):
        for group in GROUPS:
            means = runs.loc[(runs["train_set"] == name) & (runs["group"] == group), "mse"]
            table = _pooled(part[part["group"] == group], means.to_numpy(), level)
            parts.append(table.assign(train_set=name, dark_share=share, group=group))
    columns = ["train_set", "dark_share", "label", "group", "n_images", "raw", "estimate", "ci_low", "ci_high"]
    table = pd.concat(parts, ignore_index=True)[[*columns, "weight", "n_conditions", "note"]]
    return sort_by_design(table, ["label"])


def _pooled(part: pd.DataFrame, means: np.ndarray, level: float) -> pd.DataFrame:
    table = part.groupby("label", sort=True)["y"].agg(n_images="size", raw="mean").reset_index()
    table["n_conditions"] = len(table)
    empty = {"estimate": np.nan, "ci_low": np.nan, "ci_high": np.nan, "weight": np.nan}
    if len(table) < 3 or table["n_images"].max() < 2:
        return table.assign(**empty, note="no pooling: it needs three conditions and one of two images")
    try:
        fit = random_intercept(part["y"].to_numpy(), np.ones((len(part), 1)), part["label"].to_numpy())
    except NoFitError:
        return table.assign(**empty, note="no pooling: images of a condition do not differ")
    mu, tau2 = float(fit.beta[0]), fit.between
    weight = tau2 / (tau2 + fit.within / table["n_images"])
    variance = tau2 * (1 - weight) + (1 - weight) ** 2 * fit.covariance[0, 0]
    estimate = mu + weight * (table["raw"] - mu)
    several = len(means) > 1
    if several:
        variance += (estimate / means.mean()) ** 2 * means.var(ddof=1) / len(means)
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt(variance)
    notes = ["the variance between conditions is estimated as 0: all are pooled into one mean"] if tau2 == 0 else []
    notes += [] if several else ["one run: the interval is over images alone and does not know how models differ"]
    note = "; ".join(notes)
    return table.assign(estimate=estimate, ci_low=estimate - half, ci_high=estimate + half, weight=weight, note=note)
