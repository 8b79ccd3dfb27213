"""Regression of log MSE on group, training set and atlas: mixed model, and cluster-robust OLS beside it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from fairgen.stats.mixed import nested_gaps
from fairgen.stats.rows import by_train_set

KIND = ["train_set", "group", "label", "atlas"]  # rows that agree in these have the same regressors
ROUNDING = 1e-12  # log errors that differ by no more are the same


@dataclass(frozen=True)
class Fit:
    """Log gaps of the training sets in the order given, their covariance, and what the fit complained of."""

    log_gaps: np.ndarray
    covariance: np.ndarray
    n_rows: int
    complaints: str


def clustered_ols(
    images: pd.DataFrame, cells: pd.DataFrame, runs: Iterable[pd.DataFrame], train_sets: Sequence[str]
) -> tuple[Fit, Fit]:
    """Log gaps with fixed effects of training set, condition and atlas, by least squares over all evaluations.

    Standard errors are clustered by image (first fit) and by image and run (second fit; Cameron, Gelbach and Miller
    2011, with their finite-sample factors). With one run the second is the first. The regressors of a row depend on
    nothing but `KIND`, so that sums over rows are enough, except for clusters of an image within a run.

    Args:
        images: errors added up per training set and image (`error_totals`).
        cells: the same per run, training set and stratum.
        runs: evaluation rows of all training sets, one table per run: `KIND`, md5hash, mse.
        train_sets: names, in the order of the result.
    """
    kinds = images.groupby(KIND)[["n", "log_total"]].sum()
    design, gaps = _regressors(kinds.index.to_frame(), train_sets)
    information = design.T @ (design * kinds["n"].to_numpy()[:, None])
    bread = np.linalg.pinv(information, hermitian=True)
    beta = bread @ (design.T @ kinds["log_total"].to_numpy())
    n_rows, n_columns = int(kinds["n"].sum()), design.shape[1]
    rank = np.linalg.matrix_rank(information, hermitian=True)
    note = "" if rank == n_columns else f"the design has {n_columns} columns and rank {rank}"
    fitted, lever = design @ beta, design @ bread[:, gaps]

    def outer(table: pd.DataFrame, cluster: str) -> tuple[np.ndarray, int]:
        """Sum over clusters of the outer product of their influence on the gaps, and the number of clusters."""
        kind = kinds.index.get_indexer(pd.MultiIndex.from_frame(table[KIND]))
        influence = lever[kind] * (table["log_total"] - table["n"] * fitted[kind]).to_numpy()[:, None]
        codes, names = pd.factorize(table[cluster], sort=True)
        sums = np.stack([np.bincount(codes, column, len(names)) for column in influence.T], axis=1)
        return sums.T @ sums, len(names)

    def fit(product: np.ndarray, clusters: int) -> np.ndarray:
        return product * (clusters / (clusters - 1) * (n_rows - 1) / (n_rows - n_columns))

    one_way = fit(*outer(images, "md5hash"))
    two_way = one_way
    if cells["run"].nunique() > 1:
        both, clusters = np.zeros_like(one_way), 0
        for run in runs:
            product, n_images = outer(run.assign(n=1, log_total=np.log(run["mse"])), "md5hash")
            both += product
            clusters += n_images
        two_way = one_way + fit(*outer(cells, "run")) - fit(both, clusters)
    return Fit(beta[gaps], one_way, n_rows, note), Fit(beta[gaps], two_way, n_rows, note)


def model_gaps(images: pd.DataFrame, cells: pd.DataFrame, runs: Iterable[pd.DataFrame], level: float) -> pd.DataFrame:
    """The gap of each training set as a ratio of geometric means, conditions and atlases held fixed, two ways.

    The mixed model knows nothing of runs; the variance that models add (two-way minus one-way clustered variance
    of the OLS, where positive) is added to its own, and t with R - 1 degrees of freedom is used.

    Args:
        images: errors added up per training set and image (`error_totals`).
        cells: the same per run, training set and stratum.
        runs: evaluation rows of all training sets, one table per run: train_set, group, md5hash, label, atlas, mse.
        level: of the intervals.

    Returns:
        train_set, dark_share, model (`mixed model`, `clustered OLS`), ratio (dark over light), ci_low, ci_high, se_log
        (of the log ratio, all sources), se_log_images (without the variance between runs), p, n_runs, n_images,
        n_rows, covers, warnings.
    """
    shares = {name: share for name, share, _ in by_train_set(images)}
    names = list(shares)
    means = images.assign(log_mse=images["log_total"] / images["n"])
    n_images, n_runs = images["md5hash"].nunique(), cells["run"].nunique()
    if np.ptp(means["log_mse"]) > ROUNDING:
        one_way, two_way = clustered_ols(images, cells, runs, names)
        gaps, covariance, between_conditions = nested_gaps(means, names)
        note = "" if between_conditions > 0 else "the variance between conditions is estimated as 0"
        mixed = Fit(gaps, covariance, len(means), note)
    else:
        nothing = np.full(len(names), np.nan)
        reason = "no fit: every image has the same error"
        one_way = two_way = mixed = Fit(nothing, np.diag(nothing), int(images["n"].sum()), reason)
    between = np.maximum(np.diag(two_way.covariance) - np.diag(one_way.covariance), 0.0)
    df = n_runs - 1 if n_runs > 1 else np.inf
    table = []
    for model, fit in (("mixed model", mixed), ("clustered OLS", one_way)):
        for i, name in enumerate(names):
            own = fit.covariance[i, i]
            se = float(np.sqrt(own + between[i]))
            half = float(stats.t.ppf((1 + level) / 2, df)) * se
            estimate = fit.log_gaps[i]
            table.append(
                {
                    "train_set": name,
                    "dark_share": shares[name],
                    "model": model,
                    "ratio": np.exp(estimate),
                    "ci_low": np.exp(estimate - half),
                    "ci_high": np.exp(estimate + half),
                    "se_log": se,
                    "se_log_images": np.sqrt(own),
                    "p": float(2 * stats.t.sf(abs(estimate) / se, df)) if se > 0 else np.nan,
                    "n_runs": n_runs,
                    "n_images": n_images,
                    "n_rows": fit.n_rows,
                    "covers": "images and runs" if n_runs > 1 else "images",
                    "warnings": fit.complaints,
                }
            )
    return pd.DataFrame(table)


def _regressors(kinds: pd.DataFrame, train_sets: Sequence[str]) -> tuple[np.ndarray, slice]:
    """The design matrix, one row per kind, and which of its columns are the gaps: dark in each training set."""
    in_set = np.stack([kinds["train_set"] == name for name in train_sets], axis=1).astype(float)
    dark = (kinds["group"] == "dark").to_numpy(dtype=float)[:, None]
    conditions = pd.get_dummies(kinds["label"], dtype=float).to_numpy()
    atlases = pd.get_dummies(kinds["atlas"], dtype=float).to_numpy()[:, 1:]
    return np.hstack([in_set * dark, conditions, in_set[:, 1:], atlases]), slice(0, len(train_sets))
