"""Tests over runs against scipy, statsmodels and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from evenhand.stats.paired import hedges_dz, overlap_ratio, ratio_interval, run_p_values, run_test, tost_p, wilcoxon_p

DARK = np.array([0.062, 0.058, 0.066, 0.061, 0.059, 0.064, 0.060, 0.0635, 0.0612, 0.0577])
LIGHT = np.array([0.051, 0.052, 0.049, 0.050, 0.0533, 0.0508, 0.0517, 0.0495, 0.0502, 0.0521])
RATIO = 500 / 1668


def test_naive_test_is_scipys_paired_t() -> None:
    test = run_test(DARK - LIGHT, RATIO)
    expected = stats.ttest_rel(DARK, LIGHT)
    assert test.t(naive=True) == pytest.approx(expected.statistic)
    assert test.p(naive=True) == pytest.approx(expected.pvalue)
    assert test.interval(0.95, naive=True) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_correction_halves_t_for_the_papers_sizes() -> None:
    """Ten runs, 500 test and 1,668 training images: variance factor 1/10 + 500/1668 instead of 1/10."""
    test = run_test(DARK - LIGHT, RATIO)
    factor = math.sqrt(0.1 / (0.1 + RATIO))
    assert factor == pytest.approx(0.5002, abs=1e-3)
    assert test.t() == pytest.approx(test.t(naive=True) * factor)
    assert test.p() == pytest.approx(2 * stats.t.sf(test.t(), 9))


def test_correction_by_hand() -> None:
    """d = 1, 2, 3: mean 2, variance 1; factor 1/3 + 1/6 = 1/2, so t = 2 sqrt(2)."""
    test = run_test(np.array([1.0, 2.0, 3.0]), 1 / 6)
    assert (test.mean, test.sd, test.df) == (2.0, 1.0, 2)
    assert test.t() == pytest.approx(2 * math.sqrt(2))
    # closed form of the t distribution with two degrees of freedom
    assert test.p() == pytest.approx(1 - test.t() / math.sqrt(2 + test.t() ** 2))


def test_without_overlap_the_correction_vanishes() -> None:
    test = run_test(DARK - LIGHT, 0.0)
    assert test.t() == test.t(naive=True)


def test_two_one_sided_tests_are_statsmodels() -> None:
    margin = 0.012
    expected, _, _ = ttost_paired(DARK, LIGHT, -margin, margin)
    assert tost_p(run_test(DARK - LIGHT, 0.0), margin) == pytest.approx(expected)


def test_equivalence_agrees_with_its_interval() -> None:
    """p <= alpha exactly when the 1 - 2 alpha interval lies within the margin."""
    test = run_test(DARK - LIGHT, RATIO)
    _, high = test.interval(0.90)
    assert tost_p(test, high) == pytest.approx(0.05)
    assert tost_p(test, high * 1.01) < 0.05 < tost_p(test, high * 0.99)


def test_wilcoxon_is_exact_and_reaches_its_floor() -> None:
    assert wilcoxon_p(DARK - LIGHT) == pytest.approx(2 / 2**10)
    assert math.isnan(wilcoxon_p(np.array([0.3])))
    assert math.isnan(wilcoxon_p(np.zeros(5)))


def test_hedges_factor() -> None:
    """For two degrees of freedom J = Gamma(1) / (1 * Gamma(1/2)) = 1 / sqrt(pi)."""
    test = run_test(np.array([1.0, 2.0, 3.0]), RATIO)
    assert hedges_dz(test) == pytest.approx(2 / math.sqrt(math.pi))
    assert math.isnan(hedges_dz(run_test(np.array([1.0, 2.0]), RATIO)))


def test_ratio_interval_inverts_the_paired_test() -> None:
    """Each end is the ratio at which the test of dark - ratio * light has p = 0.05."""
    for end in ratio_interval(DARK, LIGHT, RATIO, 0.95):
        assert run_test(DARK - end * LIGHT, RATIO).p() == pytest.approx(0.05)


@given(st.floats(0.5, 2.0), st.integers(0, 2**32 - 1))
def test_ratio_interval_excludes_one_exactly_when_the_gap_excludes_zero(scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    light = rng.normal(1.0, 0.05, 6)
    dark = scale * light + rng.normal(0, 0.1, 6)
    low, high = ratio_interval(dark, light, 0.3, 0.95)
    assert (low > 1 or high < 1) == (run_test(dark - light, 0.3).p() < 0.05)


def test_one_run_has_a_mean_and_no_uncertainty() -> None:
    test = run_test(np.array([0.01]), RATIO)
    assert test.mean == 0.01
    assert all(map(math.isnan, [test.sd, test.se, test.t(), test.p(), *test.interval(0.95)]))
    assert all(map(math.isnan, ratio_interval(np.array([0.1]), np.array([0.2]), RATIO, 0.95)))


def test_runs_that_agree_within_rounding_have_no_test() -> None:
    values = np.array([0.3, 0.1 + 0.2, 0.3])  # 0.1 + 0.2 differs from 0.3 in the last bit
    test = run_test(values, RATIO)
    assert test.sd == 0.0
    assert math.isnan(test.p())


@given(st.integers(0, 1000), st.integers(2, 12))
def test_many_tests_at_once_are_the_single_ones(seed: int, runs: int) -> None:
    values = np.random.default_rng(seed).normal(0.5, 1, (4, runs))
    values[3] = 0.7  # no variation, no test
    single = [run_test(row, 0.3).p() for row in values]
    np.testing.assert_allclose(run_p_values(values, 0.3), single, rtol=1e-9)


def test_shared_images_widen_the_variance_where_they_are_more_than_the_test_images() -> None:
    assert overlap_ratio(0.3, 0.77) == pytest.approx(0.77 / 0.23)
    assert overlap_ratio(0.3, 0.2) == 0.3
    assert overlap_ratio(0.3, 1.0) == math.inf
    low, high = run_test(np.array([1.0, 2.0, 3.0]), overlap_ratio(0.3, 1.0)).interval(0.95)
    assert (low, high) == (-math.inf, math.inf)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 0.8)), min_size=1, max_size=4), st.integers(2, 12))
def test_the_widened_variance_bounds_that_of_a_mean_of_correlated_runs(
    effects: list[tuple[float, float]], runs: int
) -> None:
    """Effects with a variance and a correlation between runs of at most 0.8 each: an exact covariance matrix."""
    covariance = sum(v * ((1 - rho) * np.eye(runs) + rho * np.ones((runs, runs))) for v, rho in effects)
    of_mean = float(np.mean(covariance))
    centred = np.eye(runs) - 1 / runs
    expected_variance = float(np.trace(centred @ covariance)) / (runs - 1)  # of the runs, E[s^2]
    bound = expected_variance * (1 / runs + overlap_ratio(0.0, 0.8))
    assert of_mean <= bound * (1 + 1e-9) + 1e-300  # variances that small lose their digits


@given(st.permutations(list(range(10))))
def test_order_of_runs_changes_no_bit(order: list[int]) -> None:
    assert run_test((DARK - LIGHT)[np.array(order)], RATIO) == run_test(DARK - LIGHT, RATIO)
