"""Regression of log MSE on group, training set and source: mixed model, and cluster-robust OLS beside it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from evenhand.splits.groups import Pair
from evenhand.stats.mixed import NoFitError, nested_gaps
from evenhand.stats.paired import joined
from evenhand.stats.rows import by_train_set, of_groups
from evenhand.stats.summary import log_error

KIND = ["train_set", "group", "condition", "source"]  # rows that agree in these have the same regressors
ROUNDING = 1e-12  # log errors that differ by no more are the same


@dataclass(frozen=True)
class Fit:
    """Log gaps of the training sets in the order given, their covariance, and what the fit complained of, for each."""

    log_gaps: np.ndarray
    covariance: np.ndarray
    n_rows: int
    complaints: list[str]


def no_fit(count: int, n_rows: int, reason: str) -> Fit:
    """The fit of `count` training sets that cannot be made."""
    return Fit(np.full(count, np.nan), np.full((count, count), np.nan), n_rows, [f"no fit: {reason}"] * count)


def clustered_ols(
    images: pd.DataFrame, cells: pd.DataFrame, runs: Iterable[pd.DataFrame], pair: Pair, train_sets: Sequence[str]
) -> tuple[Fit, Fit]:
    """Log gaps with fixed effects of training set, condition and source, by least squares over all evaluations.

    Standard errors are clustered by image (first fit) and by image and run (second fit; Cameron, Gelbach and Miller
    2011, with their finite-sample factors). With one run the second is the first. The regressors of a row depend on
    nothing but `KIND`, so that sums over rows are enough, except for clusters of an image within a run.

    Args:
        images: errors added up per training set and image (`error_totals` of the pair).
        cells: the same per run, training set and stratum.
        runs: evaluation rows of all training sets, one table per run: `KIND`, id, mse.
        pair: the two groups.
        train_sets: names, in the order of the result.
    """
    kinds = images.groupby(KIND)[["n", "log_total"]].sum()
    design, gaps = _regressors(kinds.index.to_frame(), pair, train_sets)
    information = design.T @ (design * kinds["n"].to_numpy()[:, None])
    bread = np.linalg.pinv(information, hermitian=True)
    beta = bread @ (design.T @ kinds["log_total"].to_numpy())
    n_rows, n_columns = int(kinds["n"].sum()), design.shape[1]
    rank = int(np.linalg.matrix_rank(information, hermitian=True))
    if rank >= n_rows:
        nothing = no_fit(len(train_sets), n_rows, f"{n_rows} rows do not determine {rank} coefficients")
        return nothing, nothing
    note = "" if rank == n_columns else f"the design has {n_columns} columns and rank {rank}"
    # A gap that other columns add up to as well has no estimate of its own.
    beyond = np.abs(information @ bread[:, gaps] - np.eye(n_columns)[:, gaps]).max(axis=0) > 1e-6
    coincides = "no fit: group, condition and source coincide, so that the gap cannot be told from their effects"
    notes = [coincides if lost else note for lost in beyond]
    estimates = np.where(beyond, np.nan, beta[gaps])
    fitted, lever = design @ beta, design @ bread[:, gaps]

    def outer(table: pd.DataFrame, cluster: str) -> tuple[np.ndarray, int]:
        """Sum over clusters of the outer product of their influence on the gaps, and the number of clusters."""
        kind = kinds.index.get_indexer(pd.MultiIndex.from_frame(table[KIND]))
        influence = lever[kind] * (table["log_total"] - table["n"] * fitted[kind]).to_numpy()[:, None]
        codes, names = pd.factorize(table[cluster], sort=True)
        sums = np.stack([np.bincount(codes, column, len(names)) for column in influence.T], axis=1)
        return sums.T @ sums, len(names)

    def fit(product: np.ndarray, clusters: int) -> np.ndarray:
        return product * (clusters / (clusters - 1) * (n_rows - 1) / (n_rows - rank))

    one_way = fit(*outer(images, "id"))
    two_way = one_way
    if cells["run"].nunique() > 1:
        both, clusters = np.zeros_like(one_way), 0
        for every in runs:
            run = of_groups(every, pair)
            product, n_images = outer(run.assign(n=1, log_total=log_error(run["mse"])), "id")
            both += product
            clusters += n_images
        two_way = one_way + fit(*outer(cells, "run")) - fit(both, clusters)
    return Fit(estimates, one_way, n_rows, notes), Fit(estimates, two_way, n_rows, notes)


def model_gaps(
    images: pd.DataFrame, cells: pd.DataFrame, runs: Iterable[pd.DataFrame], pair: Pair, level: float
) -> pd.DataFrame:
    """The gap of each training set as a ratio of geometric means, conditions and sources held fixed, two ways.

    The mixed model knows nothing of runs; the variance that models add (two-way minus one-way clustered variance
    of the OLS, where positive) is added to its own, and t with R - 1 degrees of freedom is used.

    Args:
        images: errors added up per training set and image (`error_totals` of the pair).
        cells: the same per run, training set and stratum.
        runs: evaluation rows of all training sets, one table per run: train_set, group, id, condition, source, mse.
        pair: the two groups.
        level: of the intervals.

    Returns:
        train_set, compared_share, compared, model (`mixed model`, `clustered OLS`), ratio (compared over reference),
        ci_low, ci_high, se_log (of the log ratio, all sources), se_log_images (without the variance between runs), p,
        n_runs, n_images, n_rows, covers, warnings (what a fit complained of, or why there is none; numbers are then
        NaN).
    """
    shares = {name: share for name, share, _ in by_train_set(images)}
    names = list(shares)
    means = images.assign(log_mse=images["log_total"] / images["n"])
    n_images, n_runs = images["id"].nunique(), cells["run"].nunique()
    zero = images[~np.isfinite(images["log_total"])]
    if len(zero) or np.ptp(means["log_mse"]) <= ROUNDING:
        reason = "every image has the same error"
        if len(zero):
            images_of_zero = zero["id"].nunique()
            reason = f"{images_of_zero} images have an error of 0 and no logarithm, such as {zero['id'].iloc[0]}"
        one_way = two_way = mixed = no_fit(len(names), int(images["n"].sum()), reason)
    else:
        one_way, two_way = clustered_ols(images, cells, runs, pair, names)
        mixed = _mixed(means, pair, names)
    between = np.maximum(np.diag(two_way.covariance) - np.diag(one_way.covariance), 0.0)
    df = n_runs - 1 if n_runs > 1 else np.inf
    table = []
    for model, fit in (("mixed model", mixed), ("clustered OLS", one_way)):
        for i, name in enumerate(names):
            own = fit.covariance[i, i]
            estimate, complaint = fit.log_gaps[i], fit.complaints[i]
            se = float(np.sqrt(own + between[i])) if np.isfinite(estimate) else np.nan
            if se <= ROUNDING:
                se, complaint = np.nan, joined(complaint, "no interval: the regressors explain every error exactly")
            half = float(stats.t.ppf((1 + level) / 2, df)) * se
            table.append(
                {
                    "train_set": name,
                    "compared_share": shares[name],
                    "compared": pair.compared,
                    "model": model,
                    "ratio": np.exp(estimate),
                    "ci_low": np.exp(estimate - half),
                    "ci_high": np.exp(estimate + half),
                    "se_log": se,
                    "se_log_images": np.sqrt(own) if np.isfinite(se) else np.nan,
                    "p": float(2 * stats.t.sf(abs(estimate) / se, df)),
                    "n_runs": n_runs,
                    "n_images": n_images,
                    "n_rows": fit.n_rows,
                    "covers": ("images and runs" if n_runs > 1 else "images") if np.isfinite(se) else "",
                    "warnings": complaint,
                }
            )
    return pd.DataFrame(table)


def _mixed(means: pd.DataFrame, pair: Pair, names: list[str]) -> Fit:
    """The mixed model, or why there is none."""
    try:
        gaps, covariance, between = nested_gaps(means, pair.compared, names)
    except NoFitError as error:
        return no_fit(len(names), len(means), str(error))
    note = ""
    if not between > 0:
        note = "the variance between conditions is estimated as 0"
        if np.isnan(between):
            note = "nothing tells the variance between conditions from that between images; taken as 0"
    return Fit(gaps, covariance, len(means), [note] * len(names))


def _regressors(kinds: pd.DataFrame, pair: Pair, train_sets: Sequence[str]) -> tuple[np.ndarray, slice]:
    """The design matrix, one row per kind, and which of its columns are the gaps: `compared` in each training set."""
    in_set = np.stack([kinds["train_set"] == name for name in train_sets], axis=1).astype(float)
    compared = (kinds["group"] == pair.compared).to_numpy(dtype=float)[:, None]
    conditions = pd.get_dummies(kinds["condition"], dtype=float).to_numpy()
    sources = pd.get_dummies(kinds["source"], dtype=float).to_numpy()[:, 1:]
    return np.hstack([in_set * compared, conditions, in_set[:, 1:], sources]), slice(0, len(train_sets))
