"""The fast version of benchmarks/calibration.py: a small design whose runs share most of their images."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from simulated import Truth, simulate_study
from simulated_outcomes import CHOSEN, outcomes, rates

SMALL = Truth(n_light=300, n_dark=150, test_size=80, train_size=60, runs=4, image=0.6, run=0.03, run_group=0.03)
RATIOS = (1.0, 1.15, 1.25)


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    """Rates of 150 studies by contrast, ratio, procedure and outcome."""
    return rates(outcomes(SMALL, range(150), RATIOS)).set_index(["contrast", "ratio", "procedure", "outcome"])


def test_false_alarms_are_five_in_a_hundred_and_the_naive_test_has_more(found: pd.DataFrame) -> None:
    for contrast in ("gap under B", "dark, C minus B"):
        assert found.loc[(contrast, 1.0, CHOSEN, "found"), "low"] <= 0.05
        assert found.loc[(contrast, 1.0, CHOSEN, "covers"), "high"] >= 0.95
    assert found.loc[("gap under B", 1.0, "t over runs, naive", "found"), "low"] > 0.05


def test_power_is_near_that_of_an_oracle_and_far_from_that_of_run_means(found: pd.DataFrame) -> None:
    for ratio in RATIOS[1:]:
        power = {name: found.loc[("gap under B", ratio, name, "found"), "rate"] for name in (CHOSEN, "oracle")}
        over_runs = found.loc[("gap under B", ratio, "t over runs, Nadeau-Bengio", "found"), "rate"]
        assert power["oracle"] > 0.2
        assert power[CHOSEN] >= 0.6 * power["oracle"]
        assert power[CHOSEN] > 1.3 * over_runs


@pytest.mark.parametrize("change", [{"heavy": True}, {"unequal": 1.5}, {"duplicates": 0.4}, {"spread": {"B": 0.5}}])
def test_the_expectations_hold_whatever_the_images_are_like(change: dict[str, object]) -> None:
    """Means of many images against the closed form, so that no gap is a gap of 0."""
    truth = replace(SMALL, n_light=60_000, n_dark=60_000, test_size=40_000, train_size=10, runs=1, **change)
    truth = replace(
        truth, run=0.0, run_group=0.0, shares={"B": 0.5}, gap={"B": 0.3}, condition=0.3, mix=0.5, source=0.2
    )
    means = simulate_study(truth, np.random.default_rng(0))[0].groupby("group")["mse"].mean()
    for group in ("light", "dark"):
        assert means[group] == pytest.approx(truth.expected_mse("B", group), rel=0.02)


def test_generator_shares_images_between_runs_as_the_design_does() -> None:
    rows, design = simulate_study(SMALL, np.random.default_rng(0))
    dark = rows[(rows["group"] == "dark") & (rows["train_set"] == "A")]
    assert dark.groupby("run")["id"].nunique().tolist() == [80] * 4
    first, second = (set(dark.loc[dark["run"] == run, "id"]) for run in (0, 1))
    assert 25 < len(first & second) < 60  # 80 * 80 / 150 = 43 expected
    assert design["distinct"].tolist() == [60.0] * 3


def test_two_starts_cover_what_shared_training_images_do_and_one_does_not() -> None:
    """Training sets that have three quarters of their images in common, which move a model by 5 %."""
    truth = replace(SMALL, n_dark=180, test_size=40, train_size=105, runs=6, training=0.05)

    def covered(starts: int) -> pd.Series:
        found = rates(outcomes(replace(truth, starts=starts), range(150), [1.0]))
        chosen = found[(found["procedure"] == CHOSEN) & (found["outcome"] == "covers")].set_index("contrast")
        return chosen["rate"]

    assert (covered(2) >= 0.93).all()
    assert covered(1)["dark, C minus B"] < 0.9
