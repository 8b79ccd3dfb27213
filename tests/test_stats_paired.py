"""Tests over runs against scipy, statsmodels and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from evenhand.stats.paired import MeanTest, hedges_dz, run_test, tost_p, wilcoxon_p

DARK = np.array([0.062, 0.058, 0.066, 0.061, 0.059, 0.064, 0.060, 0.0635, 0.0612, 0.0577])
LIGHT = np.array([0.051, 0.052, 0.049, 0.050, 0.0533, 0.0508, 0.0517, 0.0495, 0.0502, 0.0521])
RATIO = 500 / 1668


def t_of(test: MeanTest) -> float:
    return test.mean / test.se


def test_naive_test_is_scipys_paired_t() -> None:
    test = run_test(DARK - LIGHT, RATIO)
    expected = stats.ttest_rel(DARK, LIGHT)
    assert t_of(test.naive) == pytest.approx(expected.statistic)
    assert test.naive.p() == pytest.approx(expected.pvalue)
    assert test.naive.interval(0.95) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_correction_halves_t_for_the_papers_sizes() -> None:
    """Ten runs, 500 test and 1,668 training images: variance factor 1/10 + 500/1668 instead of 1/10."""
    test = run_test(DARK - LIGHT, RATIO)
    factor = math.sqrt(0.1 / (0.1 + RATIO))
    assert factor == pytest.approx(0.5002, abs=1e-3)
    assert t_of(test) == pytest.approx(t_of(test.naive) * factor)
    assert test.p() == pytest.approx(2 * stats.t.sf(t_of(test), 9))


def test_correction_by_hand() -> None:
    """d = 1, 2, 3: mean 2, variance 1; factor 1/3 + 1/6 = 1/2, so t = 2 sqrt(2)."""
    test = run_test(np.array([1.0, 2.0, 3.0]), 1 / 6)
    assert (test.mean, test.sd, test.df) == (2.0, 1.0, 2)
    assert t_of(test) == pytest.approx(2 * math.sqrt(2))
    # closed form of the t distribution with two degrees of freedom
    assert test.p() == pytest.approx(1 - t_of(test) / math.sqrt(2 + t_of(test) ** 2))


def test_without_overlap_the_correction_vanishes() -> None:
    test = run_test(DARK - LIGHT, 0.0)
    assert t_of(test) == t_of(test.naive)


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


def test_one_run_has_a_mean_and_no_uncertainty() -> None:
    test = run_test(np.array([0.01]), RATIO)
    assert test.mean == 0.01
    assert all(map(math.isnan, [test.sd, test.se, t_of(test), test.p(), *test.interval(0.95)]))


def test_runs_that_agree_within_rounding_have_no_test() -> None:
    values = np.array([0.3, 0.1 + 0.2, 0.3])  # 0.1 + 0.2 differs from 0.3 in the last bit
    test = run_test(values, RATIO)
    assert test.sd == 0.0
    assert math.isnan(test.p())


@given(st.permutations(list(range(10))))
def test_order_of_runs_changes_no_bit(order: list[int]) -> None:
    assert run_test((DARK - LIGHT)[np.array(order)], RATIO) == run_test(DARK - LIGHT, RATIO)
