"""Regression of log MSE on group, training set and atlas: mixed model, and cluster-robust OLS beside it."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from scipy import stats

from fairgen.stats.mixed import nested_gaps
from fairgen.stats.rows import by_train_set

MAX_ROWS = 120_000  # beyond, the fits use means per image and training set
ROUNDING = 1e-12  # log errors that differ by no more are the same


@dataclass(frozen=True)
class Fit:
    """Log gaps of the training sets in the order given, their covariance, and what the fit complained of."""

    log_gaps: np.ndarray
    covariance: np.ndarray
    n_rows: int
    complaints: str


def image_means(rows: pd.DataFrame, metric: str = "mse") -> pd.DataFrame:
    """Mean of log `metric` over runs, one row per training set and image, with the image's labels."""
    keys = ["train_set", "md5hash", "group", "label", "atlas"]
    logs = rows[keys].assign(log_mse=np.log(rows[metric]))
    return logs.groupby(keys, observed=True, as_index=False).agg(
        log_mse=("log_mse", "mean"), n_rows=("log_mse", "size")
    )


def clustered_ols(rows: pd.DataFrame, train_sets: Sequence[str]) -> tuple[Fit, Fit]:
    """The same gaps with fixed effects of condition and atlas, by least squares.

    Standard errors are clustered by image (first fit) and by image and run (second fit; Cameron, Gelbach and
    Miller 2011). With one run, or more than `MAX_ROWS` rows, the second is the first.

    Args:
        rows: evaluation rows of all training sets.
        train_sets: names, in the order of the result.
    """
    if len(rows) > MAX_ROWS:
        table = _indicators(image_means(rows))
        weights = table["n_rows"].to_numpy(dtype=float)  # the same estimate and scores as one row per evaluation
    else:
        table = _indicators(rows.assign(log_mse=np.log(rows["mse"])))
        weights = np.ones(len(table))
    model = smf.wls("log_mse ~ C(label) + " + _fixed(table, train_sets), table, weights=weights)
    image = pd.factorize(table["md5hash"])[0]

    def fit(groups: np.ndarray) -> Callable[[], object]:
        return lambda: model.fit(cov_type="cluster", cov_kwds={"groups": groups})

    by_image = _result(fit(image), train_sets, len(table))
    if len(rows) > MAX_ROWS or rows["run"].nunique() < 2:
        return by_image, by_image
    both = np.column_stack([image, pd.factorize(table["run"])[0]])
    return by_image, _result(fit(both), train_sets, len(table))


def model_gaps(rows: pd.DataFrame, level: float) -> pd.DataFrame:
    """The gap of each training set as a ratio of geometric means, conditions and atlases held fixed, two ways.

    The mixed model knows nothing of runs; the variance that models add (two-way minus one-way clustered variance
    of the OLS, where positive) is added to its own, and t with R - 1 degrees of freedom is used.

    Args:
        rows: evaluation rows: train_set, dark_share, run, group, md5hash, label, atlas, mse (positive).
        level: of the intervals.

    Returns:
        train_set, dark_share, model (`mixed model`, `clustered OLS`), ratio (dark over light), ci_low, ci_high, se_log
        (of the log ratio, all sources), se_log_images (without the variance between runs), p, n_runs, n_images,
        n_rows, covers, warnings.
    """
    shares = {name: share for name, share, _ in by_train_set(rows)}
    names = list(shares)
    if np.ptp(np.log(rows["mse"])) > ROUNDING:
        one_way, two_way = clustered_ols(rows, names)
        gaps, covariance, between_conditions = nested_gaps(image_means(rows), names)
        note = "" if between_conditions > 0 else "the variance between conditions is estimated as 0"
        mixed = Fit(gaps, covariance, rows["md5hash"].nunique() * len(names), note)
    else:
        one_way = two_way = mixed = _no_fit(len(names), len(rows), "every image has the same error")
    between = np.maximum(np.diag(two_way.covariance) - np.diag(one_way.covariance), 0.0)
    n_runs = rows["run"].nunique()
    table = []
    for model, fit in (("mixed model", mixed), ("clustered OLS", one_way)):
        for i, name in enumerate(names):
            own = fit.covariance[i, i]
            se = float(np.sqrt(own + between[i]))
            df = n_runs - 1 if n_runs > 1 else np.inf
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
                    "n_images": rows["md5hash"].nunique(),
                    "n_rows": fit.n_rows,
                    "covers": "images and runs" if n_runs > 1 else "images",
                    "warnings": fit.complaints,
                }
            )
    return pd.DataFrame(table)


def _indicators(table: pd.DataFrame) -> pd.DataFrame:
    """Sorted rows with dark as 0 or 1: the fit must not depend on the order of rows."""
    order = ["md5hash", "train_set", *(["run"] if "run" in table else [])]
    return table.sort_values(order, ignore_index=True).assign(dark=lambda t: (t["group"] == "dark").astype(float))


def _fixed(table: pd.DataFrame, train_sets: Sequence[str]) -> str:
    """One dark coefficient per training set: each is that set's log gap."""
    terms = ["dark:C(train_set)"] if len(train_sets) > 1 else ["dark"]
    if len(train_sets) > 1:
        terms.insert(0, "C(train_set)")
    if table["atlas"].nunique() > 1:
        terms.append("C(atlas)")
    return " + ".join(terms)


def _result(fit: Callable[[], object], train_sets: Sequence[str], n_rows: int) -> Fit:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = fit()
            names = ["dark"] if len(train_sets) == 1 else [f"dark:C(train_set)[{name}]" for name in train_sets]
            estimates = result.params[names].to_numpy()  # type: ignore[attr-defined]
            covariance = result.cov_params().loc[names, names].to_numpy()  # type: ignore[attr-defined]
        except (np.linalg.LinAlgError, ValueError) as error:
            return _no_fit(len(train_sets), n_rows, str(error))
    messages = sorted({" ".join(str(warning.message).split()) for warning in caught})
    return Fit(estimates, covariance, n_rows, "; ".join(messages))


def _no_fit(n_sets: int, n_rows: int, reason: str) -> Fit:
    return Fit(np.full(n_sets, np.nan), np.full((n_sets, n_sets), np.nan), n_rows, f"no fit: {reason}")
