"""What models differ by, and what of it comes from the starts and from the training images.

The effect of a model on a mean is that of its training images and that of its start (weights, order of batches). Runs
share training images: a part of the first is common to all runs and looks like a property of the training set. Nothing
in runs of one start tells it from one. Several starts on one training set differ by the second alone, so what runs
differ by beyond their starts comes from the training images that they do not share, and tells of those that they share.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from evenhand.stats.paired import POOLING


@dataclass(frozen=True)
class Between:
    """What means differ by.

    Attributes:
        models: variance of a contrast between models, beyond that from their different images.
        total: that between means, with images.
        df: degrees of freedom of `total`.
        df_pooled: those if it is pooled over training sets; 0 where these tell no more than the contrast's own.
    """

    models: float
    total: float
    df: float
    df_pooled: float


def between_models(omega: np.ndarray, spread: np.ndarray, images: np.ndarray, k: int, sets: int) -> Between:
    """The variance between models of the contrast `omega` of cells, which are ordered by group, then by training set.

    The contrast's own, or the average over all exchanges of training sets (the same contrast, of other sets) unless
    its own means differ more than the others (F test at the level `POOLING`).

    Args:
        omega: weights, (cells,).
        spread: covariance of what differs, (cells, cells).
        images: the part of it that comes from different images.
        k: degrees of freedom of `spread` for one contrast.
        sets: number of training sets.
    """
    own = float(omega @ spread @ omega)
    ours = max(own - float(omega @ images @ omega), 0.0)
    average = _exchanged(np.outer(omega, omega), sets)
    total = float(np.sum(average * spread))
    product = average @ _exchanged(spread, sets)
    trace = float(np.trace(product @ product))
    df = k * float(np.trace(product)) ** 2 / trace if trace > 0 else 0.0
    share = float(omega @ average @ omega) / float(omega @ omega) ** 2
    if not total > 0 or df <= k * (1 + 1e-9) or share > 1 - 1e-9:
        return Between(ours, own, k, 0.0)
    others = max(total - share * own, 0.0) / (1 - share)
    if others == 0 or special.fdtrc(k, df - k, own / others) < POOLING:
        return Between(ours, own, k, df)
    return Between(max(total - float(np.sum(average * images)), 0.0), total, df, df)


def _exchanged(matrix: np.ndarray, s: int) -> np.ndarray:
    """The mean of a matrix over all permutations of the s training sets."""
    g = len(matrix) // s
    blocks = matrix.reshape(g, s, g, s)
    diagonal = np.einsum("asbs->ab", blocks) / s
    beside = (blocks.sum(axis=(1, 3)) - s * diagonal) / (s * (s - 1)) if s > 1 else np.zeros((g, g))
    found = np.broadcast_to(beside[:, None, :, None], (g, s, g, s)).copy()
    found[:, range(s), :, range(s)] = diagonal
    return found.reshape(g * s, g * s)


class StartSums:
    """Covariances of the means of starts, added up run by run: a balanced analysis of variance within each run."""

    def __init__(
        self, groups: Sequence[str], metrics: Sequence[str], clusters: Mapping[str, str] | None = None
    ) -> None:
        """`clusters`: cluster of each image that is in one with others (duplicates, a patient)."""
        self._groups, self._metrics, self._clusters = list(groups), list(metrics), clusters or {}
        self._sets: list[str] = []
        self._runs = self._starts = 0
        self._total: np.ndarray = np.zeros(0)
        self._noise: np.ndarray = np.zeros(0)

    def add(self, starts: Sequence[pd.DataFrame]) -> None:
        """Count a run: the evaluations of each start, by all training sets, of the same test images."""
        sets = sorted(starts[0]["train_set"].unique())
        clusters, values = {}, {}
        for group in self._groups:
            parts = [
                [rows[(rows["group"] == group) & (rows["train_set"] == name)].sort_values("id") for name in sets]
                for rows in starts
            ]
            clusters[group] = [self._clusters.get(image, image) for image in parts[0][0]["id"]]
            numbers = [[part[self._metrics].to_numpy(dtype=float) for part in of_start] for of_start in parts]
            values[group] = np.stack([np.stack(of_start, axis=1) for of_start in numbers], axis=1)
        self.add_values(sets, clusters, values)

    def add_values(
        self, sets: Sequence[str], clusters: Mapping[str, Sequence[Hashable]], values: Mapping[str, np.ndarray]
    ) -> None:
        """Count a run: by group the cluster of each image, and `values` of shape (images, starts, sets, metrics)."""
        self._sets, self._starts = list(sets), values[self._groups[0]].shape[1]
        s, size = len(sets), len(sets) * len(self._groups)
        means, noise = [], np.zeros((len(self._metrics), size, size))
        for g, group in enumerate(self._groups):
            found = values[group] - values[group].mean(axis=1, keepdims=True)
            mean = found.mean(axis=0)
            means.append(mean)
            _, inside = np.unique(np.asarray(clusters[group]), return_inverse=True)
            k = inside.max() + 1
            sums = np.zeros((k, *mean.shape))
            np.add.at(sums, inside, (found - mean) / len(found))
            block = slice(g * s, (g + 1) * s)
            noise[:, block, block] = np.einsum("ksam,ksbm->mab", sums, sums) * (k / (k - 1) if k > 1 else 1.0)
        cells = np.concatenate(means, axis=1)
        degrees = self._starts - 1
        total = np.einsum("sam,sbm->mab", cells, cells) / degrees
        self._total = self._total + total if self._runs else total
        self._noise = self._noise + noise / degrees if self._runs else noise / degrees
        self._runs += 1

    def table(self) -> pd.DataFrame:
        """The columns of schemas/tables.yaml under `start_covariances`, one row per metric and pair of cells."""
        cells = [(group, name) for group in self._groups for name in self._sets]
        rows: list[dict[str, Any]] = []
        for m, metric in enumerate(self._metrics):
            for i, (group, name) in enumerate(cells):
                for j, (other_group, other_set) in enumerate(cells[i:], i):
                    row = {"metric": metric, "group": group, "train_set": name}
                    row |= {"other_group": other_group, "other_set": other_set}
                    row |= {"total": self._total[m, i, j] / self._runs, "images": self._noise[m, i, j] / self._runs}
                    rows.append(row | {"n_runs": self._runs, "n_starts": self._starts})
        return pd.DataFrame(rows)


@dataclass(frozen=True)
class Starts:
    """What starts on one training set differ by, and what training sets share.

    Attributes:
        total: covariance of the means of starts within a run, (cells, cells).
        images: the part of it that comes from the test images.
        df: degrees of freedom of `total` for one training set.
        n: starts of a run.
        shared: fraction of their training images that two runs have in common, (sets,).
    """

    total: np.ndarray
    images: np.ndarray
    df: int
    n: int
    shared: np.ndarray

    def between(self, omega: np.ndarray, scale: np.ndarray) -> Between:
        """What single starts differ by in a contrast (arguments of `shared_part`)."""
        unit = np.outer(scale, scale)
        return between_models(omega, self.total / unit, self.images / unit, self.df, len(self.shared))

    def shared_part(self, omega: np.ndarray, scale: np.ndarray, runs: Between, pooled: bool) -> float:
        """The variance of a contrast of means from training images that runs share, on the careful side.

        Runs with the fraction rho in common differ, beyond their starts, by 1 - rho of the variance that training
        images make, and the other rho of it is in the mean of all runs. What runs differ by beyond their starts is a
        difference of two estimates and too uncertain to be used as it is, intervals would cover too little: one
        standard error is added, up to all that runs differ by (docs/calibration.md).

        Args:
            omega: weights of the means relative to `scale`, (cells,).
            scale: (cells,).
            runs: what runs differ by, in this contrast.
            pooled: whether `runs` is an average over training sets.
        """
        starts = self.between(omega, scale)
        weights = np.sum(omega.reshape(-1, len(self.shared)) ** 2, axis=0)
        rho = float(weights @ self.shared / weights.sum())
        apart = 1 - (float(self.shared.mean()) if pooled else rho)
        error = math.sqrt(2 * runs.total**2 / runs.df + 2 * (starts.total / self.n) ** 2 / starts.df)
        return rho / apart * max(runs.models - max(starts.models / self.n - error, 0.0), 0.0)


def starts_of(
    covariances: pd.DataFrame | None,
    metric: str,
    sets: Sequence[str],
    groups: Sequence[str],
    shared: Mapping[str, float],
) -> Starts | None:
    """Arrange tables/start_covariances.csv (`StartSums.table`).

    None where starts tell nothing: there is one (no table), `metric` is not in it, or runs differ in none of their
    training images (or there is one run).

    Args:
        covariances: the table.
        metric: its name there.
        sets: training sets, in any order.
        groups: of the cells.
        shared: fraction of their training images that two runs have in common, by training set.
    """
    fractions = np.array([shared[name] for name in sets])
    if covariances is None or not (covariances["metric"] == metric).any() or not (fractions < 1 - 1e-9).all():
        return None
    place = {(group, name): g * len(sets) + s for g, group in enumerate(groups) for s, name in enumerate(sets)}
    total, images = np.zeros((2, len(place), len(place)))
    rows = covariances[covariances["metric"] == metric]
    for row in rows.to_dict("records"):
        i, j = (
            place.get((str(row[a]), str(row[b]))) for a, b in (("group", "train_set"), ("other_group", "other_set"))
        )
        if i is not None and j is not None:
            total[i, j] = total[j, i] = row["total"]
            images[i, j] = images[j, i] = row["images"]
    runs, n = (int(rows[column].iloc[0]) for column in ("n_runs", "n_starts"))
    return Starts(total, images, runs * (n - 1), n, fractions)
