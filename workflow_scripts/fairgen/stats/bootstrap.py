"""Intervals for what is averaged over test images and over runs: bootstrap over images, jackknife over runs.

Images recur across runs, so the image (or its cluster of duplicates) is resampled, within its group, and comes with
all its evaluations: a bootstrap of rows would treat one photograph in three runs as three photographs. Models differ
between runs as well; with ten of them a bootstrap of runs gives intervals that are too short, so their part comes
from the jackknife with a t quantile. The two parts are combined as distances from the estimate (method of variance
estimates recovery, Zou and Donner 2008, Statistics in Medicine 27:1693-1702). With one run there is no part of the
runs, and the interval covers the choice of images alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize, stats

from fairgen.errors import UserError
from fairgen.stats.rows import GROUPS, by_train_set


@dataclass(frozen=True)
class Draws:
    """How often each image is drawn: `counts[group]` has the shape (resamples, images of the group).

    `order[group]` names the images of the columns.
    """

    counts: dict[str, np.ndarray]
    order: dict[str, pd.Index]

    @property
    def resamples(self) -> int:
        """Number of bootstrap samples."""
        return len(self.counts["light"])

    def weights(self, group: str, hashes: pd.Series) -> np.ndarray:
        """How often each of the images is drawn, shape (resamples, len(hashes))."""
        columns = self.order[group].get_indexer(pd.Index(hashes))
        return np.take(self.counts[group], columns, axis=1).astype(float)


def draw_images(
    rows: pd.DataFrame, resamples: int, rng: np.random.Generator, clusters: Mapping[str, str] | None = None
) -> Draws:
    """Draw images within group, with replacement, once for every training set and metric.

    Args:
        rows: evaluation rows with group and md5hash.
        resamples: number of bootstrap samples.
        rng: source of the draws; images are sorted first, so the order of rows does not matter.
        clusters: duplicate cluster of each image that is in one; a cluster is drawn as a whole.
    """
    counts, order = {}, {}
    for group in GROUPS:
        hashes = pd.Index(sorted(rows.loc[rows["group"] == group, "md5hash"].unique()), name="md5hash")
        names = hashes if clusters is None else hashes.map(lambda image: clusters.get(image, image))
        codes, unique = pd.factorize(names, sort=True)
        k = len(unique)
        counts[group] = np.stack(
            [np.bincount(rng.integers(0, k, k), minlength=k)[codes].astype(np.uint16) for _ in range(resamples)]
        )
        order[group] = hashes
    return Draws(counts, order)


def combined_interval(
    estimate: float, resampled: np.ndarray, se_runs: float, df: int, level: float
) -> tuple[float, float]:
    """Interval from the bootstrap over images and the standard error over runs.

    Args:
        estimate: the statistic.
        resampled: its bootstrap distribution over images.
        se_runs: its standard error over runs; 0 where there is one run.
        df: number of runs - 1.
        level: such as 0.95.
    """
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    runs = float(stats.t.ppf((1 + level) / 2, df)) * se_runs if se_runs > 0 else 0.0
    return (
        estimate - math.hypot(max(0.0, estimate - float(low)), runs),
        estimate + math.hypot(max(0.0, float(high) - estimate), runs),
    )


def combined_p(estimate: float, resampled: np.ndarray, se_runs: float, df: int) -> float:
    """Two-sided p against 0: 1 - the level at which `combined_interval` reaches 0; at least 2 / (resamples + 1)."""
    smallest = 2 / (len(resampled) + 1)

    def distance(p: float) -> float:
        low, high = combined_interval(estimate, resampled, se_runs, df, 1 - p)
        return low if estimate > 0 else -high

    if distance(smallest) >= 0:
        return smallest
    if distance(1 - 1e-9) <= 0:
        return 1.0
    return float(optimize.brentq(distance, smallest, 1 - 1e-9, xtol=1e-6))


def jackknife_se(left_out: np.ndarray) -> float:
    """Standard error over runs from the estimates with one run left out each; 0 for one run (nothing is known)."""
    n = len(left_out)
    if n < 2:
        return 0.0
    return float(np.sqrt((n - 1) / n * np.sum((left_out - left_out.mean()) ** 2)))


def resampled_means(part: pd.DataFrame, draws: Draws, metrics: Sequence[str]) -> dict[str, np.ndarray]:
    """Resampled mean over runs of the group means of one training set: `[group]` of shape (resamples, metrics)."""
    means = {}
    for group in GROUPS:
        total, times = np.zeros((draws.resamples, len(metrics))), np.zeros((draws.resamples, 1))
        for _, model in part[part["group"] == group].groupby("run", sort=True):
            weights = draws.weights(group, model["md5hash"])
            drawn = weights.sum(axis=1, keepdims=True)
            total += np.divide(
                weights @ model[list(metrics)].to_numpy(), drawn, out=np.zeros_like(total), where=drawn > 0
            )
            times += drawn > 0
        if not (times > 0).all():
            raise UserError(
                f"bootstrap: a resample held no {group} test image; the test sets are too small for a bootstrap over "
                "images. Raise splits.test_size."
            )
        means[group] = total / times
    return means


def add_bootstrap(gaps: pd.DataFrame, rows: pd.DataFrame, draws: Draws, level: float) -> pd.DataFrame:
    """The gap table with boot_low and boot_high (of the gap), boot_ratio_low, boot_ratio_high and boot_covers.

    The bounds of the ratio are NaN for a measure that is not positive throughout.

    Args:
        gaps: `gaps.gap_table`.
        rows: evaluation rows with the metrics of the gap table.
        draws: `draw_images`.
        level: of the intervals.
    """
    metrics = list(dict.fromkeys(gaps["metric"]))
    bounds = {}
    for train_set, _, part in by_train_set(rows):
        resampled = resampled_means(part, draws, metrics)
        for k, metric in enumerate(metrics):
            runs = part.groupby(["run", "group"])[metric].mean().unstack("group")
            dark, light = runs["dark"].to_numpy(), runs["light"].to_numpy()
            df = len(runs) - 1
            gap = resampled["dark"][:, k] - resampled["light"][:, k]
            se = jackknife_se(_left_out(dark) - _left_out(light))
            interval = combined_interval(float(dark.mean() - light.mean()), gap, se, df, level)
            log_bounds = (math.nan, math.nan)
            # Some measures (SSIM, PSNR) can be zero or negative; a ratio of those says nothing.
            if min(resampled["dark"][:, k].min(), resampled["light"][:, k].min(), *dark, *light) > 0:
                ratio = np.log(resampled["dark"][:, k] / resampled["light"][:, k])
                se = jackknife_se(np.log(_left_out(dark) / _left_out(light))) if df else 0.0
                log_bounds = combined_interval(math.log(dark.mean() / light.mean()), ratio, se, df, level)
            bounds[train_set, metric] = (*interval, *np.exp(log_bounds), "images and runs" if df else "images")
    columns = ["boot_low", "boot_high", "boot_ratio_low", "boot_ratio_high", "boot_covers"]
    found = [bounds[key] for key in zip(gaps["train_set"], gaps["metric"], strict=True)]
    return gaps.assign(**{name: [bound[i] for bound in found] for i, name in enumerate(columns)})


def _left_out(values: np.ndarray) -> np.ndarray:
    """Means with one value left out each; empty for one value."""
    n = len(values)
    return np.asarray((values.sum() - values) / (n - 1)) if n > 1 else np.array([])
