"""Linear mixed models with one random intercept, fitted by REML with a search over the whole likelihood.

General fitters move through several variances at once, take minutes where a condition has hundreds of images, and were
seen to stop at a variance of 0 between conditions that differ strongly. With one random intercept the restricted
likelihood depends on one ratio of variances once the rest is profiled out, and can be searched from end to end.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize

from evenhand.workflow.errors import UserError

ROUNDING = 1e-12  # of a sum of squares: what is left beside it is nothing


class NoFitError(Exception):
    """The data cannot tell what the model asks for; the message says why."""


@dataclass(frozen=True)
class InterceptFit:
    """y = X beta + u_group + e: estimates, their covariance, and the variances of u (`between`) and e (`within`).

    `between` is NaN where the data say nothing about it. The fit is then that of ordinary least squares, and the
    covariance is NaN for coefficients that the effects of the groups enter.
    """

    beta: np.ndarray
    covariance: np.ndarray
    between: float
    within: float


def random_intercept(y: np.ndarray, design: np.ndarray, groups: np.ndarray) -> InterceptFit:
    """Fit by restricted maximum likelihood (Harville 1977).

    Args:
        y: shape (n,).
        design: fixed effects, shape (n, p).
        groups: group of each row, any labels.

    Raises:
        NoFitError: there are too few rows, the columns of the design depend on each other, or design and groups
            explain y exactly.
    """
    codes, names = pd.factorize(groups)
    sizes = np.bincount(codes).astype(float)
    rows = np.column_stack([design, y])
    cross = rows.T @ rows
    sums = np.stack([np.bincount(codes, column, len(names)) for column in rows.T], axis=1)
    n, p = design.shape
    if n <= p or np.linalg.matrix_rank(design) < p:
        raise NoFitError(f"{n} rows do not determine {p} coefficients")
    # What is left of the columns and of y within groups.
    within = cross - sums.T @ (sums / sizes[:, None])
    rank = int(np.linalg.matrix_rank(within[:p, :p], tol=1e-9 * np.trace(cross[:p, :p]), hermitian=True))
    explained = np.linalg.lstsq(within[:p, :p], within[:p, p], rcond=1e-9)[0] @ within[:p, p]
    free = n - len(names) - rank
    if free > 0 and within[p, p] - explained <= ROUNDING * cross[p, p]:
        raise NoFitError("group, source and condition explain every error exactly")
    spare = len(names) + rank - p  # groups that the design does not explain

    def profile(ratio: float) -> tuple[np.ndarray, float, np.ndarray]:
        # inverse of I + ratio J within a group of size m: I - ratio / (1 + ratio m) J
        weighted = cross - sums.T @ (sums * (ratio / (1 + ratio * sizes))[:, None])
        information = weighted[:p, :p]
        beta = np.linalg.solve(information, weighted[:p, p])
        return beta, float(weighted[p, p] - beta @ weighted[:p, p]) / (n - p), information

    def deviance(ratio: float) -> float:
        _, variance, information = profile(ratio)
        return float((n - p) * np.log(variance) + np.log1p(ratio * sizes).sum() + np.linalg.slogdet(information)[1])

    if free == 0 or spare == 0:
        beta, variance, information = profile(0.0)
        if variance * (n - p) <= ROUNDING * cross[p, p]:
            raise NoFitError("group and source explain every error exactly")
        covariance = variance * np.linalg.inv(information)
        if spare == 0:
            entered = np.abs(np.linalg.solve(information, sums[:, :p].T)).max(axis=1) > 1e-9
            covariance[entered], covariance[:, entered] = np.nan, np.nan
        return InterceptFit(beta, covariance, np.nan, variance)
    grid = np.concatenate([[0.0], np.geomspace(1e-6, 1e6, 121)])
    best = int(np.argmin([deviance(ratio) for ratio in grid]))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    ratio = float(optimize.minimize_scalar(deviance, bounds=bounds, method="bounded", options={"xatol": 1e-10}).x)
    if deviance(0.0) <= deviance(ratio):
        ratio = 0.0
    beta, variance, information = profile(ratio)
    return InterceptFit(beta, variance * np.linalg.inv(information), ratio * variance, variance)


def nested_gaps(images: pd.DataFrame, compared: str, train_sets: list[str]) -> tuple[np.ndarray, np.ndarray, float]:
    """Log gaps from log MSE ~ training set + group x training set + source; condition random, image nested in it.

    Every image is tested by all training sets, so the model splits exactly: the mean of an image over the training
    sets carries the average gap, with the condition as random intercept and the image in the residual; what is left
    within an image carries the differences between the training sets, free of condition, source and image.

    Args:
        images: of two groups, one row per training set and image: train_set, id, group, condition, source, log_mse.
        compared: the group whose gap to the other is estimated.
        train_sets: names, in the order of the result.

    Returns:
        (log gaps of shape (S,), their covariance (S, S), variance between conditions, NaN where nothing tells it).

    Raises:
        UserError: an image was not tested by all training sets.
        NoFitError: the gap cannot be told from source or condition, or nothing is left to tell how sure it is.
    """
    values = images.pivot(index="id", columns="train_set", values="log_mse")[train_sets]
    if values.isna().to_numpy().any():
        raise UserError(
            "evaluations: expected every test image of a run in the evaluation of each of its training sets; image "
            f"{values.index[values.isna().any(axis=1)][0]} lacks some."
        )
    facts = images.drop_duplicates("id").set_index("id").loc[values.index]
    member = (facts["group"] == compared).to_numpy()
    if facts.groupby("source")["group"].nunique().max() < 2:
        raise NoFitError("group and source coincide: no source holds test images of both groups")
    sources = sorted(facts["source"].unique())[1:]
    columns = [np.ones(len(facts)), member, *((facts["source"] == name).to_numpy() for name in sources)]
    y = values.to_numpy()
    between = random_intercept(y.mean(axis=1), np.column_stack(columns).astype(float), facts["condition"].to_numpy())
    gaps, covariance = between.beta[1], between.covariance[1, 1]
    if np.isnan(covariance):
        raise NoFitError("group and condition coincide: conditions of one group do not tell what the group adds")
    s = len(train_sets)
    if s == 1:
        return np.array([gaps]), np.array([[covariance]]), between.between
    inside = y - y.mean(axis=1, keepdims=True)
    means = np.where(member[:, None], inside[member].mean(axis=0), inside[~member].mean(axis=0))
    noise = float(np.sum((inside - means) ** 2)) / ((len(y) - 2) * (s - 1))
    contrast = inside[member].mean(axis=0) - inside[~member].mean(axis=0)
    spread = noise * (1 / member.sum() + 1 / (~member).sum()) * (np.eye(s) - 1 / s)
    return gaps + contrast, covariance + spread, between.between
