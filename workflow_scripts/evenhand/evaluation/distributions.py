"""How generated pictures differ from real ones, as distributions of features; what each picture adds to a number.

KID (Binkowski et al. 2018, ICLR, section 4), precision and recall (Kynkaanniemi et al. 2019, NeurIPS, eq. 1 and 2),
density and coverage (Naeem et al. 2020, ICML, eq. 2 and 3), and the share of copies of training pictures. Every one
depends on how many pictures there are: what is compared has as many of each.

A number comes with the jackknife's influence of each picture: (n - 1) times how far the number without it lies below
their mean. They add up to 0, and the variance of the number is the sum over both kinds of pictures of the influences'
mean square over n - 1 (Efron and Stein 1981, who show that it is too large rather than too small).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Features = NDArray[np.float32] | NDArray[np.float64]
Numbers = NDArray[np.float64]

NEIGHBOURS = 5  # k of the manifolds, as Naeem et al.
LEAST = NEIGHBOURS + 2  # pictures: without one, each has k neighbours left
NEAR = 0.01  # share of held-out pictures that lie nearer to a training picture than the bound of copies


@dataclass(frozen=True)
class Estimate:
    """A number, and the influences of n generated and m real pictures on it, (n,) and (m,)."""

    value: float
    generated: Numbers
    real: Numbers


@dataclass(frozen=True)
class Manifold:
    """Features of m pictures, (m, d), and balls around them, up to their k-th neighbour.

    Without a point, the balls that ended at it or beyond extend to the next neighbour. radius, wider: distances to the
    k-th neighbour and to the next, (m,); neighbours: 1 where column j is among the k nearest of row i, (m, m).
    """

    points: Features
    radius: Numbers
    wider: Numbers
    neighbours: NDArray[np.float32]

    @classmethod
    def around(cls, points: Features) -> Manifold:
        """Of features (m, d), m at least `LEAST`."""
        distances = cdist(points, points)
        np.fill_diagonal(distances, np.inf)
        order = np.argpartition(distances, (NEIGHBOURS - 1, NEIGHBOURS), axis=1)
        neighbours = np.zeros(distances.shape, dtype=np.float32)
        np.put_along_axis(neighbours, order[:, :NEIGHBOURS], 1, axis=1)
        radius, wider = np.take_along_axis(distances, order[:, NEIGHBOURS - 1 : NEIGHBOURS + 1], axis=1).T
        return cls(points, radius, wider, neighbours)


def compare(generated: Manifold, real: Manifold) -> dict[str, Estimate]:
    """kid, precision, recall, density and coverage.

    Higher is better, but for `kid`. Precision and density say how much of what is generated looks real, recall and
    coverage how much of what is real is generated.
    """
    between = cdist(generated.points, real.points)
    precision, density = _in_manifold(real, between)
    recall, _ = _in_manifold(generated, between.T)
    return {
        "kid": kid(generated.points, real.points),
        "precision": precision,
        "recall": Estimate(recall.value, recall.real, recall.generated),
        "density": density,
        "coverage": _coverage(real, between),
    }


def kid(generated: Features, real: Features) -> Estimate:
    """The unbiased squared maximum mean discrepancy with the kernel (x . y / d + 1)^3; 0 on average for one population.

    Args:
        generated: features (n, d), n at least 3.
        real: features (m, d), m at least 3.
    """
    x, y = np.asarray(generated, dtype=np.float64), np.asarray(real, dtype=np.float64)
    both = _kernel(x, y)
    inside, without_x = _mean_of_pairs(_kernel(x, x))
    among, without_y = _mean_of_pairs(_kernel(y, y))
    value = inside + among - 2 * both.mean()
    return Estimate(
        float(value),
        _influence(without_x + among - 2 * _without(both.mean(axis=1))),
        _influence(inside + without_y - 2 * _without(both.mean(axis=0))),
    )


def copies(generated: Numbers, held_out: Numbers) -> Estimate:
    """The share of generated pictures that are copies: that lie as near to a training picture as hardly a real one.

    The bound is that distance below which `NEAR` of the held-out pictures lie (rank k, at least the nearest one), and
    k / (m + 1) of what is no copy on average. F - k / (m + 1) over 1 - k / (m + 1), F the share of generated pictures
    within the bound, is that of copies where the others are like held-out pictures, and less where they are farther.

    Args:
        generated: distances to the nearest training picture, (n,).
        held_out: those of real pictures that were not trained on, (m,), m at least 2.
    """
    m = len(held_out)
    rank = max(int(NEAR * m), 1)
    bound, by_chance = np.sort(held_out)[rank - 1], rank / (m + 1)
    near, below = (generated <= bound).astype(float), (held_out <= bound).astype(float)
    return Estimate(
        float((near.mean() - by_chance) / (1 - by_chance)),
        (near - near.mean()) / (1 - by_chance),
        # To first order and where generated pictures are as dense at the bound: a share of m pictures is what varies.
        (below.mean() - below) / (1 - by_chance),
    )


def _in_manifold(balls: Manifold, between: Numbers) -> tuple[Estimate, Estimate]:
    """Share of n points that are in a manifold of m others, and the density of these around them; between: (n, m)."""
    inside, extended = between <= balls.radius, between <= balls.wider
    counts = inside.sum(axis=1)
    covered = counts > 0
    # Without an other, a point keeps the balls of the rest, and those that extend to it.
    reached = extended.astype(np.float32) @ balls.neighbours > 0
    left = (counts[:, None] - inside > 0) | reached
    gained = (extended & ~inside).sum(axis=0) @ balls.neighbours
    pairs = counts.sum() - inside.sum(axis=0) + gained
    density = counts / NEIGHBOURS
    return (
        Estimate(float(covered.mean()), covered - covered.mean(), _influence(left.mean(axis=0))),
        Estimate(float(density.mean()), density - density.mean(), _influence(pairs / (NEIGHBOURS * len(counts)))),
    )


def _coverage(balls: Manifold, between: Numbers) -> Estimate:
    """Share of the m real pictures in whose ball a generated one lies; between: (n, m)."""
    inside, extended = between <= balls.radius, between <= balls.wider
    counts = inside.sum(axis=0)
    covered = counts > 0
    m = len(covered)
    lost = (inside & (counts == 1)).sum(axis=1)
    gained = (extended.any(axis=0) & ~covered) @ balls.neighbours
    return Estimate(
        float(covered.mean()),
        _influence((covered.sum() - lost) / m),
        _influence((covered.sum() - covered + gained) / (m - 1)),
    )


def _kernel(x: Numbers, y: Numbers) -> Numbers:
    kernel: Numbers = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel


def _mean_of_pairs(kernel: Numbers) -> tuple[float, Numbers]:
    """Mean of the kernel over pairs of different points, and that without each of the n points, (n,)."""
    n = len(kernel)
    of_point = kernel.sum(axis=1) - np.diagonal(kernel)
    total = of_point.sum()
    return float(total / (n * (n - 1))), (total - 2 * of_point) / ((n - 1) * (n - 2))


def _without(means: Numbers) -> Numbers:
    """The mean of n numbers without each of them, (n,)."""
    n = len(means)
    without: Numbers = (means.sum() - means) / (n - 1)
    return without


def _influence(without: Numbers) -> Numbers:
    """The influences of n pictures, from the numbers without each of them, (n,)."""
    influence: Numbers = (len(without) - 1) * (without.mean() - without)
    return influence
