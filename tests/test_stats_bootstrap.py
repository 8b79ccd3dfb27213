"""Bootstrap and standardisation: by hand and by invariance."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from simulated import PAIR, Truth, simulate_study

from evenhand.stats.bootstrap import (
    Draws,
    ResampledMeans,
    add_bootstrap,
    combined_interval,
    combined_p,
    draw_images,
    jackknife_se,
)
from evenhand.stats.rows import by_model
from evenhand.stats.strata import adjusted_gaps, resampled_gaps, standard_weights, stratum_sums
from evenhand.stats.summary import error_totals

SMALL = Truth(n_light=400, n_dark=200, test_size=60, train_size=100, runs=4, condition=0.3, mix=0.8, source=0.3)


def four_conditions() -> pd.DataFrame:
    """One run. acne: light 1, 3; dark 5. wart: light 2; dark 4, 8. nevus: light only. lupus: dark only."""
    rows = [
        ("light", "acne", 1.0),
        ("light", "acne", 3.0),
        ("dark", "acne", 5.0),
        ("light", "wart", 2.0),
        ("dark", "wart", 4.0),
        ("dark", "wart", 8.0),
        ("light", "nevus", 9.0),
        ("dark", "lupus", 7.0),
    ]
    table = pd.DataFrame(rows, columns=["group", "condition", "mse"])
    hashes = [f"i{number}" for number in range(len(table))]
    return table.assign(train_set="B", compared_share=0.5, run=0, id=hashes, source="dermaamin")


def as_totals(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows as sums over one row each."""
    return rows.assign(n=1, total=rows["mse"])


def standardised(rows: pd.DataFrame, min_images: int) -> tuple[pd.DataFrame, float]:
    weights = standard_weights(as_totals(rows), rows["condition"], PAIR, min_images)
    used = weights[weights["weight"] > 0]
    sums = stratum_sums(as_totals(rows), rows["condition"], PAIR, list(used.index))
    return weights, sums.gap(used["weight"].to_numpy()) if len(used) else math.nan


def test_standardisation_by_hand() -> None:
    """acne and wart have 3 rows each: weights 1/2; gaps 5 - 2 = 3 and 6 - 2 = 4; adjusted gap 3.5; coverage 6/8."""
    weights, gap = standardised(four_conditions(), 1)
    assert weights["weight"].to_dict() == {"acne": 0.5, "lupus": 0.0, "nevus": 0.0, "wart": 0.5}
    assert gap == 3.5
    draws = draw_images(four_conditions(), PAIR, 50, np.random.default_rng(0))
    table = adjusted_gaps(*error_totals([four_conditions()], PAIR), PAIR, draws, 1, 0.95, 0.05).set_index("adjustment")
    assert table.loc["condition", "gap"] == 3.5
    assert table.loc["condition", "coverage"] == 0.75
    assert table.loc["condition", "coverage_compared"] == 0.75
    # on the same images: dark 5, 4, 8 against light 1, 3, 2
    assert table.loc["condition", "crude_gap"] == pytest.approx(17 / 3 - 2)
    assert table.loc["none", "gap"] == pytest.approx(6.0 - 3.75)
    # of three comparable images in a group a resample may hold none
    assert "no bootstrap interval" in table.loc["condition", "note"]
    assert math.isnan(table.loc["condition", "ci_low"])


def test_equal_mixes_leave_the_gap_as_it_is() -> None:
    rows = pd.concat([four_conditions().query("condition == 'acne'")] * 1, ignore_index=True)
    _, gap = standardised(rows, 1)
    assert gap == 3.0


@given(st.floats(-5, 5), st.floats(0.1, 10))
@settings(max_examples=25, deadline=None)
def test_adjusted_gap_follows_shift_and_scale(shift: float, scale: float) -> None:
    """Adding to all errors changes no gap; adding to dark ones adds to it; scaling scales it."""
    rows = four_conditions()
    _, gap = standardised(rows, 1)
    assert standardised(rows.assign(mse=rows["mse"] + shift), 1)[1] == pytest.approx(gap)
    dark = rows["mse"] + shift * (rows["group"] == "dark")
    assert standardised(rows.assign(mse=dark), 1)[1] == pytest.approx(gap + shift)
    assert standardised(rows.assign(mse=scale * rows["mse"]), 1)[1] == pytest.approx(scale * gap)


def test_leaving_out_a_run_is_what_recomputing_gives() -> None:
    rows, _ = simulate_study(SMALL, np.random.default_rng(0))
    images, cells = error_totals(by_model(rows[rows["train_set"] == "B"]), PAIR)
    standard = standard_weights(images, images["condition"], PAIR, 5)
    used = standard[standard["weight"] > 0]
    names, weights = list(used.index), used["weight"].to_numpy()
    left_out = stratum_sums(cells, cells["condition"], PAIR, names).left_out_gaps(weights)
    for run, value in enumerate(left_out):
        kept = cells[cells["run"] != run]
        assert stratum_sums(kept, kept["condition"], PAIR, names).gap(weights) == pytest.approx(value)


def resampled_means(rows: pd.DataFrame, draws: Draws) -> dict[str, np.ndarray]:
    """Resampled mean over runs of the mean MSE of each group, of one training set."""
    means = ResampledMeans(draws, ["mse"])
    for model in by_model(rows):
        means.add(model)
    return {group: means.resampled(group) for group in PAIR}


def test_resampling_every_image_once_gives_the_estimate() -> None:
    rows, _ = simulate_study(SMALL, np.random.default_rng(0))
    part = rows[rows["train_set"] == "B"]
    draws = draw_images(rows, PAIR, 3, np.random.default_rng(1))
    for group in draws.counts:
        draws.counts[group][0] = 1
    means = part.groupby(["group", "run"])["mse"].mean().groupby("group").mean()
    resampled = resampled_means(part, draws)
    assert resampled["dark"][0, 0] == pytest.approx(means["dark"])
    assert resampled["dark"][1, 0] != pytest.approx(means["dark"])
    images, cells = error_totals(by_model(part), PAIR)
    standard = standard_weights(images, images["condition"], PAIR, 5)
    used = standard[standard["weight"] > 0]
    weights = used["weight"].to_numpy()
    gaps = resampled_gaps(images, images["condition"], PAIR, list(used.index), weights, draws)
    assert gaps[0] == pytest.approx(stratum_sums(cells, cells["condition"], PAIR, list(used.index)).gap(weights))


def test_a_measure_that_can_be_negative_has_no_ratio() -> None:
    rows, _ = simulate_study(SMALL, np.random.default_rng(0))
    rows["ssim"] = rows["mse"] - rows["mse"].mean()  # around zero, as the SSIM of an untrained network is
    gaps = (
        rows[["train_set"]].drop_duplicates().merge(pd.DataFrame({"metric": ["mse", "ssim"], "note": ""}), how="cross")
    )
    draws = draw_images(rows, PAIR, 50, np.random.default_rng(1))
    table = add_bootstrap(gaps, by_model(rows), PAIR, draws, 0.95).set_index("metric")
    assert table.loc["ssim", ["boot_ratio_low", "boot_ratio_high"]].isna().all(axis=None)
    assert table.loc["mse", ["boot_ratio_low", "boot_ratio_high"]].notna().all(axis=None)
    # The gap itself does not care where zero is.
    for bound in ("boot_low", "boot_high"):
        assert table.loc["ssim", bound].tolist() == pytest.approx(table.loc["mse", bound].tolist())


def test_an_image_is_drawn_with_all_its_runs_and_its_cluster() -> None:
    rows, _ = simulate_study(SMALL, np.random.default_rng(0))
    dark = sorted(rows.loc[rows["group"] == "dark", "id"].unique())
    draws = draw_images(rows, PAIR, 40, np.random.default_rng(1), {dark[0]: "c", dark[5]: "c"})
    drawn = draws.weights("dark", pd.Series([dark[0], dark[5], dark[1]]))
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (drawn[:, 0] != drawn[:, 2]).any()
    assert draws.counts["light"].sum(axis=1).tolist() == [draws.counts["light"].shape[1]] * 40


def test_bootstrap_variance_is_that_of_a_mean_of_images() -> None:
    """One run: the variance of the resampled mean is (n - 1) / n times s^2 / n."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"group": ["light", "dark"] * 50, "run": 0, "mse": rng.normal(1, 0.3, 100)})
    rows["id"] = [f"{i:03d}" for i in range(100)]
    draws = draw_images(rows, PAIR, 4000, rng)
    resampled = resampled_means(rows.assign(train_set="A"), draws)["dark"][:, 0]
    dark = rows.loc[rows["group"] == "dark", "mse"]
    assert resampled.var() == pytest.approx(dark.var(ddof=0) / 50, rel=0.1)


def test_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.array([1.0, 4.0, 2.0, 7.0])
    left_out = np.array([np.delete(values, i).mean() for i in range(4)])
    assert jackknife_se(left_out) == pytest.approx(stats.sem(values))
    assert jackknife_se(np.array([])) == 0.0


def test_combined_interval_of_two_normal_parts() -> None:
    """Without image noise it is the t interval; without run noise the percentile interval; else the hypotenuse."""
    images = np.random.default_rng(0).normal(0, 1, 200_001)
    t = stats.t.ppf(0.975, 9)
    assert combined_interval(0.0, np.zeros(9), 2.0, 9, 0.95) == pytest.approx((-2 * t, 2 * t))
    assert combined_interval(0.0, images, 0.0, 9, 0.95) == pytest.approx((-1.96, 1.96), abs=0.02)
    expected = math.hypot(1.96, 2 * t)
    assert combined_interval(0.0, images, 2.0, 9, 0.95) == pytest.approx((-expected, expected), abs=0.02)


@given(st.floats(-4, 4).filter(lambda x: abs(x) > 0.01), st.floats(0, 2), st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_p_and_interval_agree(estimate: float, se: float, df: int) -> None:
    resampled = estimate + np.random.default_rng(1).normal(0, 1, 999)
    p = combined_p(estimate, resampled, se, df)
    low, high = combined_interval(estimate, resampled, se, df, 0.95)
    assert 2 / 1000 <= p <= 1
    if abs(p - 0.05) > 1e-3:
        assert (p < 0.05) == (low > 0 or high < 0)


def test_resamples_without_an_image_are_empty() -> None:
    rows = pd.DataFrame({"group": ["light", "dark"], "run": [0, 1], "id": ["a", "b"], "mse": [1.0, 2.0]})
    rows = pd.concat([rows, rows.assign(id=["c", "d"], run=[1, 1])])
    draws = draw_images(rows, PAIR, 5, np.random.default_rng(0))
    for group in draws.counts:
        draws.counts[group][:] = 0
    gaps = pd.DataFrame({"train_set": ["A"], "metric": ["mse"], "note": [""]})
    row = add_bootstrap(gaps, by_model(rows.assign(train_set="A", compared_share=0.0)), PAIR, draws, 0.95).iloc[0]
    assert np.isnan([row["boot_low"], row["boot_high"]]).all()
    assert row["note"] == "no bootstrap interval: some resamples hold no image"
