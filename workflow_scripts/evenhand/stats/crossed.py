"""Inference over images crossed with models: what the choice of test images and what the choice of models adds.

An error has the image in it (its difficulty), the model (its start and training images) and the rest. A mean over
the test images and runs therefore has two parts of variance, and images recur in runs. With the deviations of each
image from the mean of its run, added up over runs by cluster of images, the part of the images is the cluster-robust
variance of the mean (Liang and Zeger 1986); the part of the models is what run means differ by beyond what their
different images explain, over the number of runs. The sum is the two-way clustered variance (Cameron, Gelbach and
Miller 2011, J. Bus. Econ. Stat. 29:238-249) without its negative values, its degrees of freedom are Satterthwaite's
(1946). Chosen by simulation among the candidates of docs/calibration.md.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from evenhand.stats.components import Between, Starts, between_models
from evenhand.stats.paired import ROUNDING, MeanTest, Planned
from evenhand.workflow.errors import UserError

Cell = tuple[str, str]  # training set, group


class CrossedSums:
    """Deviations of images from the mean of their run, added up run by run.

    Memory grows with the number of different images, training sets and metrics, not with that of the runs.
    """

    def __init__(
        self, groups: Sequence[str], metrics: Sequence[str], clusters: Mapping[str, str] | None = None
    ) -> None:
        """`clusters`: cluster of each image that is in one with others (duplicates, a patient)."""
        self._groups, self._metrics, self._clusters = list(groups), list(metrics), clusters or {}
        self._sets: list[str] = []
        self._within: dict[str, np.ndarray] = {}
        self._runs: dict[str, np.ndarray] = {}
        # By group: the place of each cluster, and its deviations added up, (places, sets, metrics), with room to grow.
        self._places: dict[str, dict[Hashable, int]] = {group: {} for group in self._groups}
        self._sums: dict[str, np.ndarray] = {}

    def add(self, run: pd.DataFrame) -> None:
        """Count a run: its evaluations by all training sets, of the same test images; NaN where one has no number.

        A run without rows counts nothing: a subset may have no image in it.

        Raises:
            UserError: the training sets were not evaluated on the same images.
        """
        sets = sorted(run["train_set"].unique())
        for group in self._groups if sets else ():
            rows = run[run["group"] == group]
            parts = [rows[rows["train_set"] == name].sort_values("id") for name in sets]
            ids = parts[0]["id"].to_numpy()
            if any(not np.array_equal(ids, part["id"].to_numpy()) for part in parts):
                raise UserError(
                    f"evaluations: expected the {group} test images of run {run['run'].iloc[0]} in the evaluation of "
                    "each of its training sets, found others."
                )
            if len(ids):
                values = np.stack([part[self._metrics].to_numpy(dtype=float) for part in parts], axis=1)
                self.add_values(group, [self._clusters.get(image, image) for image in ids], sets, values)

    def add_values(self, group: str, clusters: Sequence[Hashable], sets: Sequence[str], values: np.ndarray) -> None:
        """Count the images of a group in a run: the cluster of each, and `values` of shape (images, sets, metrics)."""
        self._sets = self._sets or list(sets)
        known = np.isfinite(values)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, values, 0.0).sum(axis=0) / count
        places = self._places[group]
        codes = np.array([places.setdefault(name, len(places)) for name in clusters])
        of_run, inside = np.unique(codes, return_inverse=True)
        sums = np.zeros((len(of_run), *values.shape[1:]))
        np.add.at(sums, inside, np.where(known, values - mean, 0.0) / count)
        k = len(of_run)
        outer = np.einsum("ksm,ktm->mst", sums, sums) * (k / (k - 1) if k > 1 else 1.0)
        room = self._sums.get(group, np.zeros((0, *values.shape[1:])))
        if len(room) < len(places):
            room = np.concatenate([room, np.zeros((2 * len(places) - len(room), *values.shape[1:]))])
        room[of_run] += sums
        self._sums[group] = room
        self._within[group] = self._within.get(group, 0.0) + outer
        self._runs[group] = self._runs.get(group, 0) + known.any(axis=0)

    def table(self) -> pd.DataFrame:
        """The columns of schemas/tables.yaml under `covariances`, one row per metric, group and pair of sets."""
        rows = []
        for group, room in self._sums.items():
            runs, s, k = self._runs[group], len(self._sets), len(self._places[group])
            counts = np.maximum(runs, 1)
            sums = room[:k] / counts
            images = np.einsum("ksm,ktm->mst", sums, sums) * (k / (k - 1) if k > 1 else 1.0)
            # Of a pair of sets whose numbers are defined in different runs, between the two counts.
            number = np.sqrt(np.einsum("sm,tm->mst", counts, counts))
            within = self._within[group] / number
            between = np.where(number > 1, number * (within - images) / np.maximum(number - 1, 1), 0.0)
            second, fourth = (sums**2).sum(axis=0), (sums**4).sum(axis=0)
            for m, metric in enumerate(self._metrics):
                for i, name in enumerate(self._sets):
                    # Of a variance from k normal numbers; heavier tails leave fewer.
                    spread = fourth[i, m] - second[i, m] ** 2 / k
                    df = min(k - 1.0, 2 * second[i, m] ** 2 / spread) if spread > 0 else k - 1.0
                    for j in range(i, s):
                        row: dict[str, Any] = {"metric": metric, "group": group, "train_set": name}
                        row["other_set"] = self._sets[j]
                        row |= {"images": images[m, i, j], "between": between[m, i, j]}
                        row |= {"within": within[m, i, j], "n_runs": runs[i, m], "n_clusters": k}
                        rows.append(row | {"df": df if i == j else math.nan})
        columns = ["metric", "group", "train_set", "other_set", "images", "between", "within", "df"]
        return pd.DataFrame(rows, columns=[*columns, "n_runs", "n_clusters"])


@dataclass(frozen=True)
class CrossedTest(MeanTest):
    """A contrast of means over images and runs.

    `images` and `models` are the parts of the variance `se` ** 2, with those that neither runs nor test images make
    smaller: `fixed`, of the ruler, and `shared`, of training images that runs share, where several starts tell of it
    (`told`); `within` is that of one run's mean from its images; `df_images`: degrees of freedom of the first;
    `df_pooled`: of the runs of all training sets together, 0 where these tell no more than the contrast's own;
    `pooled`: whether the models' part is theirs; `reason`: why there is no test.
    """

    images: float = math.nan
    models: float = math.nan
    within: float = math.nan
    fixed: float = 0.0
    shared: float = 0.0
    told: bool = False
    df_images: float = math.nan
    df_pooled: float = 0.0
    pooled: bool = False
    reason: str = ""

    @property
    def note(self) -> str:
        if self.se > 0 and self.n == 1:
            return "one run: over images alone, it does not know how models differ"
        return self.reason or super().note

    def projected(self, runs: int, images: float) -> Planned:
        """What a study of so many runs will know, with test sets `images` times as large.

        Two runs share images: what they have in common stays, however many runs there are. What models differ in stays,
        too, whatever the test sets, and few runs hardly tell it from what different images do: for larger test sets its
        estimate is the median-unbiased one, which is seldom 0. Degrees of freedom grow with runs and images.
        """
        common = max((self.n * self.images - self.within) / (self.n - 1), 0.0)
        models = self.models * self.n
        if images > 1:
            noise, df = max(self.within - common, 0.0), self.df_pooled if self.pooled else self.n - 1
            models = max((models + noise) * df / float(special.chdtri(df, 0.5)) - noise, 0.0)
        return Planned(
            runs,
            images=(self.within / images + (runs - 1) * common) / runs + self.fixed + self.shared,
            models=models / runs,
            noise=max(self.within / images - common, 0.0),
            df_images=self.df_images * images,
            df_own=runs - 1,
            df_pooled=self.df_pooled * (runs - 1) / (self.n - 1),
        )

    def factor(self, level: float) -> tuple[float, float]:
        """The interval of a test of logarithms as one of the ratio; infinite where that is too large for a number."""
        with np.errstate(over="ignore"):
            low, high = np.exp(self.interval(level))
        return float(low), float(high)

    def sharing(self, shared: float) -> CrossedTest:
        """The test if all that models differ by came from which images they were trained on.

        Two runs have the fraction `shared` of them in common, in [0, 1], so that their effects have that correlation
        rho: runs differ by 1 - rho of the effects' variance, and the mean of R has rho + (1 - rho) / R of it. The
        models' part is therefore 1 + R rho / (1 - rho) times as large. For one run rho is NaN, and there is no such
        part.
        """
        factor = 1 + self.n * shared / (1 - shared) if shared < 1 else math.inf
        models = max(factor * self.models, self.models + self.shared)
        return replace(self, se=math.sqrt(self.images + models + self.fixed)) if self.models > 0 else self

    @property
    def covers(self) -> str:
        """What interval and p account for."""
        runs = "images, runs and shared training images" if self.told else "images and runs"
        return "" if not self.se > 0 else runs if self.n > 1 else "images"


def contrast_row(test: CrossedTest, alpha: float, null: float = 0.0) -> dict[str, Any]:
    """A test as the columns estimate, ci_low, ci_high, p (against `null`), n_runs, covers and note."""
    low, high = test.interval(1 - alpha)
    row = {"estimate": test.mean, "ci_low": low, "ci_high": high, "p": test.p(null), "n_runs": test.n}
    return row | {"covers": test.covers, "note": test.note}


def row_test(row: Mapping[Hashable, Any], estimate: str) -> CrossedTest:
    """The test of a row of tables/adjusted.csv or tables/codec.csv, to know what more runs or images would do."""
    se = math.hypot(row["se_images"], row["se_models"])
    parts = {"images": row["se_images"] ** 2, "models": row["se_models"] ** 2, "within": row["se_within"] ** 2}
    parts |= {key: row[key] for key in ("df_images", "df_pooled")}
    return CrossedTest(int(row["n_runs"]), float(row[estimate]), se, float(row["df"]), **parts)


@dataclass(frozen=True)
class Crossed:
    """Means of one metric, and what their covariances come from.

    Attributes:
        sets: training sets.
        groups: both groups; cells are ordered by group, then by set.
        runs: means, shape (R, cells).
        images: covariance of the mean over runs that comes from the choice of images and what is left, (cells, cells).
        between: the part of the covariance of run means that comes from their different images.
        within: the covariance of the means of one run that comes from the choice of its images.
        df: degrees of freedom of the diagonal of `images`, (cells,).
        starts: what starts on one training set differ by, where there are several.
    """

    sets: tuple[str, ...]
    groups: tuple[str, ...]
    runs: np.ndarray
    images: np.ndarray
    between: np.ndarray
    within: np.ndarray
    df: np.ndarray
    starts: Starts | None = None

    def weights(self, cells: Mapping[Cell, float]) -> np.ndarray:
        """The weights of cells as a vector."""
        vector = np.zeros(len(self.sets) * len(self.groups))
        for (name, group), weight in cells.items():
            vector[self.groups.index(group) * len(self.sets) + self.sets.index(name)] += weight
        return vector

    def test(self, cells: Mapping[Cell, float], log: bool = False) -> CrossedTest:
        """The weighted sum of the means of cells, or of their logarithms, with its variance.

        How models differ is a property of the recipe, relative to the mean error, and one training set has few runs.
        So the models' part is averaged over all exchanges of training sets (the same contrast, of other sets) unless
        the contrast's own runs differ more than the others (F test at the level `POOLING`). It is relative where all
        means are positive.
        """
        weights = self.weights(cells)
        n = len(self.runs)
        runs = self.runs[np.lexsort(self.runs.T)]  # the order of the runs must not change the last digit
        mean = runs.mean(axis=0)
        positive = bool((runs > 0).all())
        if log and not positive:
            return CrossedTest(n, math.nan, math.nan, math.nan, reason="no ratio: a mean is not positive")
        scale = np.abs(mean) if positive else np.ones_like(mean)
        estimate = float(weights @ (np.log(mean) if log else mean))
        omega = weights if log else weights * scale
        size = float(np.abs(weights) @ (np.ones_like(mean) if log else np.abs(runs).max(axis=0)))
        lone = [
            group
            for group, one in zip(self.groups, self._by_group(omega), strict=True)
            if (self.df[one != 0] < 1).any()
        ]
        if lone:
            reason = f"no interval and no test: the {lone[0]} test images are one image or one cluster"
            return CrossedTest(n, estimate, math.nan, math.nan, reason=reason)
        relative = self.images / np.outer(scale, scale)
        parts = [float(one @ relative @ one) for one in self._by_group(omega)]
        images, freedom = sum(parts), 0.0
        for part, one in zip(parts, self._by_group(omega), strict=True):
            if part > 0:
                freedom += part**2 / float(self.df[one != 0].min())
        df_images = images**2 / freedom if freedom > 0 else math.inf
        models, shared, df_pooled, pooled = 0.0, 0.0, 0.0, False
        if n > 1:
            found = self.between_runs(omega, scale)
            freedom += (found.total / n) ** 2 / found.df
            models, df_pooled, pooled = found.models / n, found.df_pooled, found.df > n - 1
            shared = self.starts.shared_part(omega, scale, found, pooled) if self.starts else 0.0
        variance = images + models
        if not variance > (ROUNDING * size) ** 2:
            return CrossedTest(n, estimate, 0.0 if n > 1 else math.nan, math.nan)
        return CrossedTest(
            # What is subtracted from the models' part leaves less than one degree where hardly any variance is left.
            *(n, estimate, math.sqrt(variance + shared), max(variance**2 / freedom, 1.0)),
            images=images,
            models=models,
            shared=shared,
            told=n > 1 and self.starts is not None,
            within=float(omega @ (self.within / np.outer(scale, scale)) @ omega),
            df_images=df_images,
            df_pooled=df_pooled,
            pooled=pooled,
        )

    def between_runs(self, omega: np.ndarray, scale: np.ndarray) -> Between:
        """What runs differ by in the contrast `omega` of means relative to `scale`, both (cells,)."""
        runs = self.runs[np.lexsort(self.runs.T)] / scale
        spread, images = np.atleast_2d(np.cov(runs, rowvar=False)), self.between / np.outer(scale, scale)
        return between_models(omega, spread, images, len(runs) - 1, len(self.sets))

    def _by_group(self, omega: np.ndarray) -> list[np.ndarray]:
        """The weights of each group, others 0."""
        split = np.zeros((len(self.groups), len(self.groups), len(self.sets)))
        split[range(len(self.groups)), range(len(self.groups))] = omega.reshape(len(self.groups), -1)
        return list(split.reshape(len(self.groups), -1))


def crossed(
    runs: Mapping[Cell, np.ndarray],
    covariances: pd.DataFrame,
    metric: str,
    sets: Sequence[str],
    groups: Sequence[str],
    starts: Starts | None = None,
) -> Crossed:
    """Arrange run means and tables/covariances.csv.

    Args:
        runs: one mean per run, by training set and group.
        covariances: `CrossedSums.table`; other metrics and groups are left out.
        metric: its name there.
        sets: training sets, in any order.
        groups: of the cells.
        starts: of the same sets and groups (`starts_of`).
    """
    names = tuple(sets)
    size = len(names) * len(groups)
    images, between, within = np.zeros((3, size, size))
    df = np.ones(size)
    place = {(name, group): g * len(names) + s for g, group in enumerate(groups) for s, name in enumerate(names)}
    for row in covariances[covariances["metric"] == metric].to_dict("records"):
        i, j = (place.get((str(row[key]), str(row["group"]))) for key in ("train_set", "other_set"))
        if i is None or j is None:
            continue
        images[i, j] = images[j, i] = row["images"]
        between[i, j] = between[j, i] = row["between"]
        within[i, j] = within[j, i] = row["within"]
        if i == j:
            df[i] = row["df"]
    values = np.stack([runs[name, group] for group in groups for name in names], axis=1)
    return Crossed(names, tuple(groups), values, images, between, within, df, starts)
