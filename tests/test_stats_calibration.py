"""The fast version of benchmarks/calibration.py: a small design whose runs share most of their images."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from simulated import CONFIG, Truth, simulate_study
from simulated_outcomes import rates, simulated_outcomes

STATS = CONFIG | {"resamples": 100}
SMALL = Truth(n_light=300, n_dark=150, test_size=80, train_size=60, runs=6)
STUDIES = 40


@pytest.fixture(scope="module")
def null_rates() -> pd.DataFrame:
    outcomes = [simulated_outcomes(SMALL, seed, STATS, images=True, models=False) for seed in range(STUDIES)]
    return rates(outcomes).set_index("outcome")


@pytest.mark.slow
def test_naive_test_finds_gaps_that_are_not_there(null_rates: pd.DataFrame) -> None:
    """Runs that share half of their dark images are taken for independent: far more than 5 % false alarms."""
    assert (null_rates.loc[[f"reject naive t {name}" for name in "ABC"], "low"] > 0.05).all()


@pytest.mark.slow
def test_corrected_test_and_bootstrap_do_not(null_rates: pd.DataFrame) -> None:
    names = [
        f"reject {kind} {name}"
        for kind in ("corrected t", "t, shared images", "bootstrap", "standardised")
        for name in "ABC"
    ]
    assert (null_rates.loc[names, "low"] <= 0.05).all()


@pytest.mark.slow
def test_intervals_cover(null_rates: pd.DataFrame) -> None:
    kinds = ("corrected t", "bootstrap", "ratio, Fieller", "standardised", "colour shift", "pooled condition")
    names = [f"cover {kind} {name}" for kind in kinds for name in "ABC"]
    assert (null_rates.loc[names, "high"] >= 0.93).all()
    assert (null_rates.loc[names, "rate"] >= 0.85).all()


@pytest.mark.slow
def test_no_false_verdicts(null_rates: pd.DataFrame) -> None:
    claims = [
        f"verdict {claim}: {verdict}" for claim in ("C2", "C3", "C5") for verdict in ("supported", "contradicted")
    ]
    assert (null_rates.loc[claims, "low"] <= 0.05).all()


@pytest.mark.slow
def test_crossing_point_is_covered() -> None:
    truth = replace(SMALL, gap={"A": 0.4, "B": 0.2, "C": -0.2})
    assert 0.5 < truth.crossing() < 1
    outcomes = [simulated_outcomes(truth, seed, STATS, images=False, models=False) for seed in range(20)]
    assert sum(bool(one["cover crossing"]) for one in outcomes) >= 17


@pytest.mark.slow
def test_only_the_interval_for_shared_images_covers_where_these_decide_on_the_error() -> None:
    """Two runs share 80 % of their training images, and a third of the error (SD) depends on them."""
    truth = Truth(n_light=400, n_dark=150, test_size=20, train_size=120, runs=6, training=0.3, shares={"C": 1.0})
    outcomes = [simulated_outcomes(truth, seed, STATS, images=False, models=False) for seed in range(60)]
    found = rates(outcomes).set_index("outcome")
    assert found.loc["cover corrected t C", "high"] < 0.93
    assert found.loc["cover t, shared images C", "high"] >= 0.93
    assert found.loc["cover t, shared images C", "rate"] >= 0.85


def test_a_large_gap_is_found() -> None:
    truth = replace(SMALL, gap=dict.fromkeys("ABC", 0.8))
    outcomes = [simulated_outcomes(truth, seed, STATS, images=False, models=False) for seed in range(5)]
    assert [one["verdict C2"] for one in outcomes] == ["supported"] * 5


def test_generator_has_the_expectations_it_states() -> None:
    """Means of many images against the closed form, with condition, source and gap effects."""
    truth = Truth(
        n_light=40_000, n_dark=40_000, test_size=20_000, train_size=10, runs=1, gap={"B": 0.3}, condition=0.3, mix=0.5
    )
    truth = replace(truth, source=0.2, run=0.0, run_group=0.0, shares={"B": 0.5})
    rows, _ = simulate_study(truth, np.random.default_rng(0))
    means = rows.groupby("group")["mse"].mean()
    for group in ("light", "dark"):
        assert means[group] == pytest.approx(truth.expected_mse("B", group), rel=0.015)


def test_generator_shares_images_between_runs_as_the_design_does() -> None:
    rows, design = simulate_study(SMALL, np.random.default_rng(0))
    dark = rows[(rows["group"] == "dark") & (rows["train_set"] == "A")]
    assert dark.groupby("run")["id"].nunique().tolist() == [80] * 6
    first, second = (set(dark.loc[dark["run"] == run, "id"]) for run in (0, 1))
    assert 25 < len(first & second) < 60  # 80 * 80 / 150 = 43 expected
    assert design["distinct"].tolist() == [60.0] * 3
