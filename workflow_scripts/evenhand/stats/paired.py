"""Paired tests over runs whose test and training sets overlap."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special, stats

ROUNDING = 1e-12  # relative: numbers that differ by no more are the same
POWER = 0.8  # with which an effect counts as one that a study finds
# Level of the test before pooling (Bancroft 1964, Biometrics 20:427-442): own runs alone where they differ more.
POOLING = 0.25


NODES = (np.arange(200) + 0.5) / 200


@dataclass(frozen=True)
class Planned:
    """The variance of a mean under a design, and what its estimate will rest on.

    images, models: parts of the variance; noise: of run means, from their different images; df_images, df_own,
    df_pooled: degrees of freedom of the images, of a contrast's own runs, and of the runs of all training sets (0:
    they tell no more).
    """

    runs: int
    images: float
    models: float
    noise: float
    df_images: float
    df_own: float
    df_pooled: float = 0.0

    def power(self, distance: float, alpha: float, sides: int) -> float:
        """Chance to find a mean so far from the null, on its side of it, at the level alpha.

        The mean over what the study may estimate of the models: the variance of run means is chi-square; a quarter of
        the studies has own runs that differ more than the others (`POOLING`) and uses these alone.
        """
        return self._found(abs(distance), self._bounds(alpha, sides))

    def detectable(self, alpha: float, sides: int) -> float:
        """The smallest distance from the null that is found with the power `POWER`."""
        bounds = self._bounds(alpha, sides)
        most = math.sqrt(self.images + self.models)
        while self._found(most, bounds) < POWER:
            most *= 2
        return float(optimize.brentq(lambda distance: self._found(distance, bounds) - POWER, 0.0, most))

    def _bounds(self, alpha: float, sides: int) -> list[tuple[float, np.ndarray]]:
        """What the estimate has to exceed, over what the study may estimate: (weight, bounds)."""
        parts = [(1.0, _chi_square(self.df_own, NODES), self.df_own)]
        if self.df_pooled > self.df_own:
            own = _chi_square(self.df_own, 1 - POOLING * (1 - NODES))
            parts = [(1 - POOLING, _chi_square(self.df_pooled, NODES), self.df_pooled), (POOLING, own, self.df_own)]
        bounds = []
        for weight, factors, df in parts:
            runs = (self.models * self.runs + self.noise) * factors
            variance = self.images + np.maximum(runs - self.noise, 0.0) / self.runs
            freedom = variance**2 / ((runs / self.runs) ** 2 / df + self.images**2 / self.df_images)
            freedom = np.maximum(freedom, 1.0)  # as in `Crossed.test`
            bounds.append((weight, special.stdtrit(freedom, 1 - alpha / sides) * np.sqrt(variance)))
        return bounds

    def _found(self, distance: float, bounds: list[tuple[float, np.ndarray]]) -> float:
        sd = math.sqrt(self.images + self.models)
        return float(sum(weight * np.mean(special.ndtr((distance - bound) / sd)) for weight, bound in bounds))


def _chi_square(df: float, nodes: np.ndarray) -> np.ndarray:
    """Quantiles of a chi-square variable over its degrees of freedom."""
    return np.asarray(special.gammaincinv(df / 2, nodes) * 2 / df)


@dataclass(frozen=True)
class MeanTest:
    """An estimate with its standard error and degrees of freedom, which are NaN where they cannot be had.

    `n` is the number of runs. A standard error of 0 says that nothing differs; there is no test then.
    """

    n: int
    mean: float
    se: float
    df: float

    @property
    def note(self) -> str:
        """Why there is neither interval nor test, or empty text."""
        if self.se > 0:
            return ""
        if self.n < 2:
            return "no interval and no test: one run does not tell how models differ, nor do its images differ"
        return "no interval and no test: all runs give the same number"

    def projected(self, runs: int, images: float) -> Planned:
        """What a study of so many runs, and of test sets `images` times as large, will know; as it is, here."""
        return Planned(1, 0.0, self.se**2, 0.0, math.inf, self.df)

    def _t(self, null: float) -> float:
        return (self.mean - null) / self.se if self.se > 0 else math.nan

    def p(self, null: float = 0.0) -> float:
        """Two-sided p of the hypothesis that the mean is `null`."""
        return float(2 * special.stdtr(self.df, -abs(self._t(null))))

    def p_above(self, null: float = 0.0) -> float:
        """One-sided p of the hypothesis that the mean is at most `null`: small when it lies above."""
        return float(special.stdtr(self.df, -self._t(null)))

    def p_below(self, null: float = 0.0) -> float:
        """One-sided p of the hypothesis that the mean is at least `null`: small when it lies below."""
        return float(special.stdtr(self.df, self._t(null)))

    def interval(self, level: float) -> tuple[float, float]:
        """Confidence interval of the mean, `level` such as 0.95."""
        if not self.se > 0:
            return math.nan, math.nan
        half = float(special.stdtrit(self.df, (1 + level) / 2)) * self.se
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class RunTest(MeanTest):
    """Mean of one number per run, with the corrected standard error; `naive` has the other one. `df` is n - 1."""

    sd: float
    se_naive: float

    @property
    def note(self) -> str:
        if self.n < 2:
            return "no interval and no test over runs: one run does not tell how models differ"
        return "" if self.sd > 0 else "no interval and no test over runs: all runs give the same number"

    def projected(self, runs: int, images: float) -> Planned:
        ratio = (self.se**2 - self.se_naive**2) / self.sd**2
        return Planned(runs, 0.0, self.sd**2 * (1 / runs + ratio), 0.0, math.inf, runs - 1)

    @property
    def naive(self) -> MeanTest:
        """The same without the correction."""
        return MeanTest(self.n, self.mean, self.se_naive, self.df)


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
    if not sd > ROUNDING * max(abs(mean), float(np.max(np.abs(values)))):
        sd = math.nan if n < 2 else 0.0
    if not sd > 0:
        return RunTest(n, mean, math.nan, n - 1, sd, math.nan)
    return RunTest(n, mean, sd * math.sqrt(1 / n + test_train_ratio), n - 1, sd, sd * math.sqrt(1 / n))


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
    correction = math.exp(special.gammaln(test.df / 2) - special.gammaln((test.df - 1) / 2)) / math.sqrt(test.df / 2)
    return test.mean / test.sd * correction


def tost_p(test: MeanTest, margin: float) -> float:
    """p of two one-sided tests: small when the mean lies within -margin..margin (Schuirmann 1987)."""
    return max(test.p_above(-margin), test.p_below(margin))


MOST_RUNS, MOST_IMAGES = 1000, 100.0  # more is not looked at


def what_decides(test: MeanTest, distance: float, alpha: float, sides: int) -> dict[str, float]:
    """What it takes to find a mean that lies `distance` from the null with the power `POWER`.

    Returns:
        detectable (the smallest distance that this study finds so), runs_needed, and images_needed (how many times as
        large the test sets); NaN where `MOST_RUNS` or `MOST_IMAGES` are too few: what the same images do in all runs
        stays, however many runs there are, and how models differ stays whatever the test sets.
    """

    def first(values: Sequence[float], projected: Callable[[float], Planned]) -> float:
        """The first value with enough power, which grows along them; NaN where the last has too little."""

        def power(value: float) -> float:
            return projected(value).power(distance, alpha, sides)

        return float(values[bisect_left(values, POWER, key=power)]) if power(values[-1]) >= POWER else math.nan

    factors = [1.1**k for k in range(round(math.log(MOST_IMAGES, 1.1)) + 1)]
    return {
        "detectable": test.projected(test.n, 1.0).detectable(alpha, sides),
        "runs_needed": first(range(test.n, max(MOST_RUNS, test.n) + 1), lambda runs: test.projected(int(runs), 1.0)),
        "images_needed": first(factors, lambda factor: test.projected(test.n, factor)),
    }


def ways_to_decide(needed: Mapping[Any, Any]) -> str:
    """The runs or test images that would decide a claim, in words; from its `runs_needed` and `images_needed`."""
    ways = []
    if not math.isnan(needed["runs_needed"]):
        ways.append(f"{needed['runs_needed']:.0f} runs")
    if not math.isnan(needed["images_needed"]):
        ways.append(f"test sets {needed['images_needed']:.1f} times as large")
    return " or ".join(ways) or f"more than {MOST_RUNS} runs, and larger test sets alone do not do it"


def joined(*notes: str) -> str:
    """Why numbers are missing, in one text; empty notes are left out."""
    return "; ".join(note for note in notes if note)


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
