"""Intervals for what is averaged over test images and over runs: bootstrap over images, jackknife over runs.

Images recur across runs, so the image (or its cluster of duplicates) is resampled, within its group, and comes with
all its evaluations: a bootstrap of rows would treat one photograph in three runs as three photographs. Models differ
between runs as well; with ten of them a bootstrap of runs gives intervals that are too short, so their part comes
from the jackknife with a t quantile. The two parts are combined as distances from the estimate (method of variance
estimates recovery, Zou and Donner 2008, Statistics in Medicine 27:1693-1702). With one run there is no part of the
runs, and the interval covers the choice of images alone.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize, stats

from evenhand.splits.groups import Pair
from evenhand.stats.paired import joined
from evenhand.stats.rows import set_and_share
from evenhand.workflow.errors import UserError

BLOCK = 250  # resamples that are worked on at a time
MAX_EMPTY = 0.01  # largest fraction of resamples in which a number may be undefined; these are left out
ROUNDING = 1e-12  # relative to the largest: resamples that differ by no more are the same


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
        return len(next(iter(self.counts.values())))

    def no_choice(self) -> str:
        """Why drawing images says nothing about their choice, or empty text."""
        for group, counts in self.counts.items():
            if (counts == 1).all():
                return f"no bootstrap interval: the {group} test images are one image or one cluster of duplicates"
        return ""

    def weights(self, group: str, ids: pd.Series) -> np.ndarray:
        """How often each of the images is drawn, shape (resamples, len(ids))."""
        return np.concatenate(list(self.blocks(group, ids)))

    def blocks(self, group: str, ids: pd.Series) -> Iterator[np.ndarray]:
        """The rows of `weights`, `BLOCK` resamples at a time."""
        columns = self.order[group].get_indexer(pd.Index(ids))
        if (columns < 0).any():
            unknown = pd.Index(ids)[columns < 0][0]
            raise UserError(f"bootstrap: image {unknown} is not among the {group} test images that were drawn from.")
        for start in range(0, self.resamples, BLOCK):
            yield np.take(self.counts[group][start : start + BLOCK], columns, axis=1).astype(float)


def draw_images(
    images: pd.DataFrame,
    groups: Sequence[str],
    resamples: int,
    rng: np.random.Generator,
    clusters: Mapping[str, str] | None = None,
) -> Draws:
    """Draw images within group, with replacement, once for every training set and metric.

    Args:
        images: group and id, each image once or more.
        groups: those to draw from, one after the other.
        resamples: number of bootstrap samples.
        rng: source of the draws; images are sorted first, so the order of rows does not matter.
        clusters: duplicate cluster of each image that is in one; a cluster is drawn as a whole.
    """
    counts, order = {}, {}
    for group in groups:
        ids = pd.Index(sorted(images.loc[images["group"] == group, "id"].unique()), name="id")
        names = ids if clusters is None else ids.map(lambda image: clusters.get(image, image))
        codes, unique = pd.factorize(names, sort=True)
        k = len(unique)
        counts[group] = np.stack(
            [np.bincount(rng.integers(0, k, k), minlength=k)[codes].astype(np.uint16) for _ in range(resamples)]
        )
        order[group] = ids
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


class ResampledMeans:
    """Means over runs of the group means of one training set, as they are and resampled; added up model by model."""

    def __init__(self, draws: Draws, metrics: Sequence[str]) -> None:
        self._draws = draws
        self._metrics = list(metrics)
        self._total = {group: np.zeros((draws.resamples, len(metrics))) for group in draws.counts}
        self._times = {group: np.zeros((draws.resamples, 1)) for group in draws.counts}
        self._runs: dict[str, list[np.ndarray]] = {group: [] for group in draws.counts}

    def add(self, model: pd.DataFrame) -> None:
        """Count the evaluation of one model."""
        for group in self._runs:
            images = model[model["group"] == group]
            values = images[self._metrics].to_numpy()
            weights = self._draws.weights(group, images["id"])
            drawn = weights.sum(axis=1, keepdims=True)
            total = self._total[group]
            total += np.divide(weights @ values, drawn, out=np.zeros_like(total), where=drawn > 0)
            self._times[group] += drawn > 0
            self._runs[group].append(values.mean(axis=0))

    def runs(self, group: str) -> np.ndarray:
        """The means of the models, shape (runs, metrics)."""
        return np.stack(self._runs[group])

    def resampled(self, group: str) -> np.ndarray:
        """The mean over runs in each bootstrap sample, shape (resamples, metrics); NaN in one without any image."""
        times = self._times[group]
        return np.divide(self._total[group], times, out=np.full_like(self._total[group], np.nan), where=times > 0)


def add_bootstrap(
    gaps: pd.DataFrame, models: Iterable[pd.DataFrame], pair: Pair, draws: Draws, level: float
) -> pd.DataFrame:
    """The gap table with boot_low and boot_high (of the gap), boot_ratio_low, boot_ratio_high and boot_covers.

    The bounds of the ratio are NaN for a measure that is not positive throughout. Where bounds are missing, the column
    `note`, which is the last, says why.

    Args:
        gaps: `gaps.gap_table`.
        models: evaluation rows of one model each, with the metrics of the gap table.
        pair: the groups of the gap table.
        draws: `draw_images` of both groups.
        level: of the intervals.
    """
    metrics = list(dict.fromkeys(gaps["metric"]))
    means: dict[str, ResampledMeans] = {}
    for model in models:
        means.setdefault(set_and_share(model)[0], ResampledMeans(draws, metrics)).add(model)
    bounds: dict[tuple[str, str], list[object]] = {}
    for train_set, of_set in means.items():
        drawn_reference, drawn_compared = (of_set.resampled(group) for group in pair)
        for k, metric in enumerate(metrics):
            reference, compared = (of_set.runs(group)[:, k] for group in pair)
            df = len(compared) - 1
            se = jackknife_se(_left_out(compared) - _left_out(reference))
            gap = drawn_compared[:, k] - drawn_reference[:, k]
            reason = draws.no_choice() or no_spread(gap, max(compared.max(), reference.max()), se)
            interval = log_bounds = (math.nan, math.nan)
            covers = ""
            if not reason:
                interval = combined_interval(float(compared.mean() - reference.mean()), gap, se, df, level)
                covers = "images and runs" if df else "images"
                # Some measures (SSIM, PSNR) can be zero or negative; a ratio of those says nothing.
                if min(drawn_compared[:, k].min(), drawn_reference[:, k].min(), *compared, *reference) > 0:
                    ratio = np.log(drawn_compared[:, k] / drawn_reference[:, k])
                    se = jackknife_se(np.log(_left_out(compared) / _left_out(reference))) if df else 0.0
                    log_ratio = math.log(compared.mean() / reference.mean())
                    log_bounds = combined_interval(log_ratio, ratio, se, df, level)
                else:
                    reason = "no bootstrap interval of the ratio: a mean is not positive"
            bounds[train_set, metric] = [*interval, *np.exp(log_bounds), covers, reason]
    found = pd.DataFrame(
        [bounds[key] for key in zip(gaps["train_set"], gaps["metric"], strict=True)],
        columns=["boot_low", "boot_high", "boot_ratio_low", "boot_ratio_high", "boot_covers", "note"],
        index=gaps.index,
    )
    notes = [joined(*both) for both in zip(gaps["note"], found["note"], strict=True)]
    return pd.concat([gaps.drop(columns="note"), found.assign(note=notes)], axis=1)


def no_spread(resampled: np.ndarray, size: float, se_runs: float) -> str:
    """Why a bootstrap distribution gives no interval, or empty text.

    Args:
        resampled: the statistic in each bootstrap sample; NaN where a sample has no image.
        size: of the numbers behind it, for what is rounding.
        se_runs: its standard error over runs.
    """
    if np.isnan(resampled).any():
        return "no bootstrap interval: some resamples hold no image"
    if np.ptp(resampled) <= ROUNDING * abs(size) and se_runs <= ROUNDING * abs(size):
        return "no bootstrap interval: neither images nor runs differ"
    return ""


def _left_out(values: np.ndarray) -> np.ndarray:
    """Means with one value left out each; empty for one value."""
    n = len(values)
    return np.asarray((values.sum() - values) / (n - 1)) if n > 1 else np.array([])
