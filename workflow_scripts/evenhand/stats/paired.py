"""Paired tests over runs whose test and training sets overlap."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import gammaln


@dataclass(frozen=True)
class RunTest:
    """Mean of one number per run, with the naive and the corrected standard error.

    Everything but `mean` and `n` is NaN where it cannot be had: with one run, or when all runs give the
    same number. `df` is n - 1.
    """

    n: int
    mean: float
    sd: float
    se_naive: float
    se: float

    @property
    def df(self) -> int:
        return self.n - 1

    @property
    def note(self) -> str:
        """Why there is neither interval nor test, or empty text."""
        if self.n < 2:
            return "no interval and no test over runs: one run does not tell how models differ"
        return "" if self.sd > 0 else "no interval and no test over runs: all runs give the same number"

    def t(self, null: float = 0.0, naive: bool = False) -> float:
        """The t statistic of the hypothesis that the mean is `null`."""
        return (self.mean - null) / (self.se_naive if naive else self.se)

    def p(self, null: float = 0.0, naive: bool = False) -> float:
        """Two-sided p."""
        return float(2 * stats.t.sf(abs(self.t(null, naive)), self.df))

    def p_above(self, null: float = 0.0) -> float:
        """One-sided p of the hypothesis that the mean is at most `null`: small when it lies above."""
        return float(stats.t.sf(self.t(null), self.df))

    def p_below(self, null: float = 0.0) -> float:
        """One-sided p of the hypothesis that the mean is at least `null`: small when it lies below."""
        return float(stats.t.cdf(self.t(null), self.df))

    def interval(self, level: float, naive: bool = False) -> tuple[float, float]:
        """Confidence interval of the mean, `level` such as 0.95."""
        half = float(stats.t.ppf((1 + level) / 2, self.df)) * (self.se_naive if naive else self.se)
        return self.mean - half, self.mean + half


def run_test(values: np.ndarray, test_train_ratio: float) -> RunTest:
    """Mean over runs with the variance factor of Nadeau and Bengio.

    Runs draw their test and training sets from one pool, so their results are correlated and the naive
    standard error sqrt(s^2 / R) is too small. The corrected one is sqrt((1/R + n_test/n_train) s^2)
    (Nadeau and Bengio 2003, Machine Learning 52:239-281, section 3).

    n_test are the test images of one group, also where the number rests on both groups, or on some of their images.
    What the factor has to bound is rho / (1 - rho) for the correlation rho of the runs, and images in common make
    that correlation: two test sets of a group have n_test / n_pool of their images in common, whatever part of these
    is looked at, so rho / (1 - rho) is at most n_test / (n_pool - n_test). For a number from both groups it lies
    between those of the groups. No training set is larger than n_pool - n_test of the smaller group
    (`splits.feasible_train_size`), so that n_test / n_train is at least as large. The sum of both test sets would
    double it for nothing (simulated: docs/calibration.md).

    Args:
        values: one number per run, shape (R,), finite.
        test_train_ratio: n_test / n_train, images in one test set of one group over images in one training set.
    """
    values = np.sort(np.asarray(values, dtype=float))  # the order of the runs must not change the last digit
    n = len(values)
    mean = math.fsum(values) / n
    sd = math.sqrt(math.fsum((values - mean) ** 2) / (n - 1)) if n > 1 else math.nan
    # Differences within rounding are no variation: a t statistic from them would be made of noise.
    if not sd > 1e-12 * max(abs(mean), float(np.max(np.abs(values)))):
        sd = math.nan if n < 2 else 0.0
    if not sd > 0:
        return RunTest(n, mean, sd, math.nan, math.nan)
    return RunTest(n, mean, sd, sd * math.sqrt(1 / n), sd * math.sqrt(1 / n + test_train_ratio))


def overlap_ratio(test_train_ratio: float, shared: float) -> float:
    """What stands for n_test / n_train in the variance factor when no part of the error is taken to be independent.

    Say the runs differ by a sum of effects, each with some correlation rho_k between runs. The variance of their mean
    is then at most E[s^2] (1/R + max rho_k / (1 - rho_k)). Effects of the test images are correlated as far as runs
    share these (n_test / n_train stands for that), effects of the training images as far as runs share those, and the
    random start of a training not at all.

    Args:
        test_train_ratio: n_test / n_train.
        shared: fraction of the training images that two runs have in common, in [0, 1]; NaN for one run.
    """
    return max(test_train_ratio, shared / (1 - shared) if shared < 1 else math.inf)


def run_p_values(values: np.ndarray, test_train_ratio: float) -> np.ndarray:
    """The two-sided p of `run_test` against 0 for every row of `values`, shape (n, R), R > 1; NaN without variation."""
    values = np.sort(values, axis=1)
    n = values.shape[1]
    sd = values.std(axis=1, ddof=1)
    se = np.where(sd > 1e-12 * np.abs(values).max(axis=1), sd * math.sqrt(1 / n + test_train_ratio), np.nan)
    return np.asarray(2 * stats.t.sf(np.abs(values.mean(axis=1) / se), n - 1))


def wilcoxon_p(values: np.ndarray) -> float:
    """Two-sided Wilcoxon signed-rank p over runs; exact without zeros and ties, NaN with fewer than two runs.

    It assumes independent runs, which they are not; and R runs cannot give less than 2^(1-R).
    """
    values = np.asarray(values, dtype=float)
    if len(values) < 2 or not np.any(values):
        return math.nan
    return float(stats.wilcoxon(values).pvalue)


def hedges_dz(test: RunTest) -> float:
    """Paired effect size mean / sd with Hedges' small-sample correction; NaN below three runs.

    J = Gamma(df/2) / (sqrt(df/2) Gamma((df-1)/2)), the exact factor (Hedges 1981, eq. 6e).
    """
    if test.df < 2 or not test.sd > 0:
        return math.nan
    correction = math.exp(gammaln(test.df / 2) - gammaln((test.df - 1) / 2)) / math.sqrt(test.df / 2)
    return test.mean / test.sd * correction


def ratio_interval(
    compared: np.ndarray, reference: np.ndarray, test_train_ratio: float, level: float
) -> tuple[float, float]:
    """Interval of mean(compared) / mean(reference) by Fieller's theorem, with the corrected variance factor.

    The interval holds every ratio rho that the paired test of compared - rho * reference does not reject, so it
    excludes 1 exactly when the interval of the gap excludes 0. (NaN, NaN) with fewer than two runs, without
    variation, or when the mean of `reference` is not distinguishable from 0.
    """
    n = len(compared)
    if n < 2:
        return math.nan, math.nan
    factor = (1 / n + test_train_ratio) * float(stats.t.ppf((1 + level) / 2, n - 1)) ** 2
    (var_compared, cov), (_, var_reference) = np.cov(compared, reference)
    # (mean_c - rho mean_r)^2 <= factor * (var_c - 2 rho cov + rho^2 var_r), a quadratic in rho
    a = reference.mean() ** 2 - factor * var_reference
    b = compared.mean() * reference.mean() - factor * cov
    c = compared.mean() ** 2 - factor * var_compared
    root = b**2 - a * c
    if a <= 0 or root <= 0:
        return math.nan, math.nan
    return float((b - math.sqrt(root)) / a), float((b + math.sqrt(root)) / a)


def tost_p(test: RunTest, margin: float) -> float:
    """p of two one-sided tests: small when the mean lies within -margin..margin (Schuirmann 1987)."""
    return max(test.p_above(-margin), test.p_below(margin))


def joined(*notes: str) -> str:
    """Why numbers are missing, in one text; empty notes are left out."""
    return "; ".join(note for note in notes if note)


def ratio_note(reference: np.ndarray, name: str, low: float) -> str:
    """Why a ratio of means over several runs, or its interval, is missing; or empty text.

    Args:
        reference: what stands below, one number per run.
        name: of that group.
        low: an end of the interval.
    """
    if reference.mean() == 0:
        return f"no ratio: the {name} mean is 0"
    if len(reference) < 2 or not math.isnan(low):
        return ""
    return f"no interval of the ratio: runs do not vary, or do not tell the {name} mean from 0"


def over_runs_row(
    values: np.ndarray, test_train_ratio: float, alpha: float, null: float = 0.0, missing: str = "no such number"
) -> dict[str, Any]:
    """Mean over runs with its corrected interval and p, as the columns estimate, ci_low, ci_high, p, n_runs and note.

    Runs without a finite number are left out and counted in the note; `missing` says what they lack. Interval and p
    are NaN with one run or without variation, all are NaN without any run, and the note says why.
    """
    known = values[np.isfinite(values)]
    lost = len(values) - len(known)
    left_out = f"{lost} of {len(values)} runs left out: {missing}" if lost else ""
    if len(known) == 0:
        empty = dict.fromkeys(["estimate", "ci_low", "ci_high", "p"], math.nan)
        return empty | {"n_runs": 0, "note": left_out or "no run"}
    test = run_test(known, test_train_ratio)
    low, high = test.interval(1 - alpha)
    numbers = {"estimate": test.mean, "ci_low": low, "ci_high": high, "p": test.p(null), "n_runs": test.n}
    return numbers | {"note": joined(left_out, test.note)}
