"""Bootstrap, standardisation and regressions: by hand, by invariance, against statsmodels."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fairgen.errors import UserError
from fairgen.stats.bootstrap import (
    add_bootstrap,
    combined_interval,
    combined_p,
    draw_images,
    jackknife_se,
    resampled_means,
)
from fairgen.stats.mixed import nested_gaps, random_intercept
from fairgen.stats.models import clustered_ols, image_means, model_gaps
from fairgen.stats.simulate import Truth, simulate_study
from fairgen.stats.strata import adjusted_gaps, resampled_gaps, standard_weights, stratum_sums

SMALL = Truth(n_light=400, n_dark=200, test_size=60, train_size=100, runs=4, condition=0.3, mix=0.8, atlas=0.3)


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
    table = pd.DataFrame(rows, columns=["group", "label", "mse"])
    hashes = [f"i{number}" for number in range(len(table))]
    return table.assign(train_set="B", dark_share=0.5, run=0, md5hash=hashes, atlas="dermaamin")


def standardised(rows: pd.DataFrame, min_images: int) -> tuple[pd.DataFrame, float]:
    weights = standard_weights(rows, rows["label"], min_images)
    used = weights[weights["weight"] > 0]
    sums = stratum_sums(rows, rows["label"], list(used.index), "mse")
    return weights, sums.gap(used["weight"].to_numpy()) if len(used) else math.nan


def test_standardisation_by_hand() -> None:
    """acne and wart have 3 rows each: weights 1/2; gaps 5 - 2 = 3 and 6 - 2 = 4; adjusted gap 3.5; coverage 6/8."""
    weights, gap = standardised(four_conditions(), 1)
    assert weights["weight"].to_dict() == {"acne": 0.5, "lupus": 0.0, "nevus": 0.0, "wart": 0.5}
    assert gap == 3.5
    draws = draw_images(four_conditions(), 50, np.random.default_rng(0))
    table = adjusted_gaps(four_conditions(), draws, 1, 0.95, 0.05).set_index("adjustment")
    assert table.loc["condition", "gap"] == 3.5
    assert table.loc["condition", "coverage"] == 0.75
    assert table.loc["condition", "coverage_dark"] == 0.75
    # on the same images: dark 5, 4, 8 against light 1, 3, 2
    assert table.loc["condition", "crude_gap"] == pytest.approx(17 / 3 - 2)
    assert table.loc["none", "gap"] == pytest.approx(6.0 - 3.75)
    # of three comparable images in a group a resample may hold none
    assert "too few images" in table.loc["condition", "covers"]
    assert math.isnan(table.loc["condition", "ci_low"])


def test_no_comparable_condition_gives_no_number() -> None:
    rows = four_conditions().query("label in ('nevus', 'lupus')")
    draws = draw_images(rows, 20, np.random.default_rng(0))
    row = adjusted_gaps(rows, draws, 1, 0.95, 0.05).set_index("adjustment").loc["condition"]
    assert row["n_strata"] == 0
    assert row["coverage"] == 0.0
    assert row[["gap", "ci_low", "ci_high", "p"]].isna().all()


def test_equal_mixes_leave_the_gap_as_it_is() -> None:
    rows = pd.concat([four_conditions().query("label == 'acne'")] * 1, ignore_index=True)
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
    rows = rows[rows["train_set"] == "B"]
    standard = standard_weights(rows, rows["label"], 5)
    used = standard[standard["weight"] > 0]
    names, weights = list(used.index), used["weight"].to_numpy()
    left_out = stratum_sums(rows, rows["label"], names, "mse").left_out_gaps(weights)
    for run, value in enumerate(left_out):
        kept = rows[rows["run"] != run]
        assert stratum_sums(kept, kept["label"], names, "mse").gap(weights) == pytest.approx(value)


def test_resampling_every_image_once_gives_the_estimate() -> None:
    rows, _ = simulate_study(SMALL, np.random.default_rng(0))
    part = rows[rows["train_set"] == "B"]
    draws = draw_images(rows, 3, np.random.default_rng(1))
    for group in draws.counts:
        draws.counts[group][0] = 1
    means = part.groupby(["group", "run"])["mse"].mean().groupby("group").mean()
    resampled = resampled_means(part, draws, ["mse"])
    assert resampled["dark"][0, 0] == pytest.approx(means["dark"])
    assert resampled["dark"][1, 0] != pytest.approx(means["dark"])
    standard = standard_weights(part, part["label"], 5)
    used = standard[standard["weight"] > 0]
    weights = used["weight"].to_numpy()
    gaps = resampled_gaps(part, part["label"], list(used.index), weights, draws, "mse")
    assert gaps[0] == pytest.approx(stratum_sums(part, part["label"], list(used.index), "mse").gap(weights))


def test_a_measure_that_can_be_negative_has_no_ratio() -> None:
    rows, _ = simulate_study(SMALL, np.random.default_rng(0))
    rows["ssim"] = rows["mse"] - rows["mse"].mean()  # around zero, as the SSIM of an untrained network is
    gaps = rows[["train_set"]].drop_duplicates().merge(pd.DataFrame({"metric": ["mse", "ssim"]}), how="cross")
    table = add_bootstrap(gaps, rows, draw_images(rows, 50, np.random.default_rng(1)), 0.95).set_index("metric")
    assert table.loc["ssim", ["boot_ratio_low", "boot_ratio_high"]].isna().all(axis=None)
    assert table.loc["mse", ["boot_ratio_low", "boot_ratio_high"]].notna().all(axis=None)
    # The gap itself does not care where zero is.
    for bound in ("boot_low", "boot_high"):
        assert table.loc["ssim", bound].tolist() == pytest.approx(table.loc["mse", bound].tolist())


def test_an_image_is_drawn_with_all_its_runs_and_its_cluster() -> None:
    rows, _ = simulate_study(SMALL, np.random.default_rng(0))
    dark = sorted(rows.loc[rows["group"] == "dark", "md5hash"].unique())
    draws = draw_images(rows, 40, np.random.default_rng(1), {dark[0]: "c", dark[5]: "c"})
    drawn = draws.weights("dark", pd.Series([dark[0], dark[5], dark[1]]))
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (drawn[:, 0] != drawn[:, 2]).any()
    assert draws.counts["light"].sum(axis=1).tolist() == [draws.counts["light"].shape[1]] * 40


def test_bootstrap_variance_is_that_of_a_mean_of_images() -> None:
    """One run: the variance of the resampled mean is (n - 1) / n times s^2 / n."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"group": ["light", "dark"] * 50, "run": 0, "mse": rng.normal(1, 0.3, 100)})
    rows["md5hash"] = [f"{i:03d}" for i in range(100)]
    draws = draw_images(rows, 4000, rng)
    resampled = resampled_means(rows, draws, ["mse"])["dark"][:, 0]
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


def test_tiny_test_sets_are_refused_with_a_reason() -> None:
    rows = pd.DataFrame({"group": ["light", "dark"], "run": [0, 1], "md5hash": ["a", "b"], "mse": [1.0, 2.0]})
    rows = pd.concat([rows, rows.assign(md5hash=["c", "d"], run=[1, 1])])
    draws = draw_images(rows, 5, np.random.default_rng(0))
    for group in draws.counts:
        draws.counts[group][:] = 0
    with pytest.raises(UserError, match=r"splits\.test_size"):
        resampled_means(rows, draws, ["mse"])


def test_mixed_model_finds_planted_gaps_where_mixes_differ() -> None:
    """Unadjusted log gaps are off by far; with conditions and atlas the planted ones are found."""
    truth = Truth(n_light=2000, n_dark=1200, test_size=300, train_size=500, runs=4, condition=0.4, mix=1.0, atlas=0.3)
    truth = Truth(**{**vars(truth), "gap": {"A": 0.3, "B": 0.1, "C": -0.1}, "image": 0.2})
    rows, _ = simulate_study(truth, np.random.default_rng(5))
    logs = rows.assign(y=np.log(rows["mse"])).groupby(["train_set", "group"])["y"].mean()
    crude = logs["B", "dark"] - logs["B", "light"]
    assert crude > 0.4
    table = model_gaps(rows, 0.95)
    for row in table.to_dict("records"):
        error = math.log(row["ratio"]) - truth.gap[row["train_set"]]
        assert abs(error) < 3.5 * row["se_log"], row
        assert row["se_log"] < 0.06


def test_clustered_regression_is_statsmodels() -> None:
    """One set, one run, one atlas: image clusters are rows, so HC1 up to the cluster correction."""
    truth = Truth(n_light=80, n_dark=60, test_size=40, train_size=20, runs=1, shares={"A": 0.0}, atlas_mix=False)
    rows, _ = simulate_study(truth, np.random.default_rng(2))
    rows = rows.assign(atlas="x")
    fit, again = clustered_ols(rows, ["A"])
    frame = rows.assign(y=np.log(rows["mse"]), dark=(rows["group"] == "dark").astype(float))
    ols = smf.ols("y ~ C(label) + dark", frame).fit()
    robust = ols.get_robustcov_results("HC0")
    n, k = len(frame), len(ols.params)
    at = list(ols.params.index).index("dark")
    assert fit.log_gaps[0] == pytest.approx(ols.params["dark"])
    assert fit.covariance[0, 0] == pytest.approx(robust.cov_params()[at, at] * n / (n - 1) * (n - 1) / (n - k))
    assert np.array_equal(fit.covariance, again.covariance)


def test_nested_model_is_statsmodels() -> None:
    """The same model written out: condition random, image a nested variance component, REML."""
    rows, _ = simulate_study(Truth(**{**vars(SMALL), "condition": 0.5}), np.random.default_rng(7))
    images = image_means(rows).assign(dark=lambda table: (table["group"] == "dark").astype(float))
    gaps, covariance, between = nested_gaps(images, ["A", "B", "C"])
    formula = "log_mse ~ C(train_set) + dark:C(train_set) + C(atlas)"
    # Without re_formula statsmodels leaves the random intercept of the condition out.
    model = smf.mixedlm(formula, images, groups="label", re_formula="1", vc_formula={"image": "0 + C(md5hash)"})
    fit = model.fit(reml=True)
    names = [f"dark:C(train_set)[{name}]" for name in "ABC"]
    assert gaps == pytest.approx(fit.params[names].to_numpy(), abs=2e-4)
    assert np.sqrt(np.diag(covariance)) == pytest.approx(fit.bse[names].to_numpy(), rel=1e-2)
    assert between == pytest.approx(float(fit.cov_re.iloc[0, 0]), rel=2e-2)


def test_random_intercept_is_statsmodels() -> None:
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(20), rng.integers(1, 15, 20))
    x = rng.normal(size=len(label))
    y = 3 + 2 * x + rng.normal(0, 1, 20)[label] + rng.normal(0, 1.5, len(label))
    fit = random_intercept(y, np.column_stack([np.ones(len(y)), x]), label)
    other = smf.mixedlm("y ~ x", pd.DataFrame({"y": y, "x": x, "label": label}), groups="label").fit(reml=True)
    assert fit.beta == pytest.approx(other.fe_params.to_numpy(), rel=1e-4)
    assert fit.between == pytest.approx(float(other.cov_re.iloc[0, 0]), rel=1e-3)
    assert fit.within == pytest.approx(other.scale, rel=1e-3)
    assert np.sqrt(np.diag(fit.covariance)) == pytest.approx(
        other.bse_fe.to_numpy(), rel=5e-3
    )  # theirs is from a Hessian


def test_random_intercept_without_differences_is_least_squares() -> None:
    """Groups that differ less than chance: the variance is 0, the fit that of ordinary least squares."""
    y = np.array([1.0, 3.0, 1.0, 3.0, 1.0, 3.0])
    fit = random_intercept(y, np.ones((6, 1)), np.array([0, 0, 1, 1, 2, 2]))
    assert fit.between == 0.0
    assert fit.beta[0] == 2.0
    assert fit.covariance[0, 0] == pytest.approx(np.var(y, ddof=1) / 6)


def test_balanced_one_way_model_by_hand() -> None:
    """REML of a balanced one-way layout is the analysis of variance: tau^2 = (MSB - MSW) / m."""
    rng = np.random.default_rng(3)
    y = rng.normal(0, 2, 8)[:, None] + rng.normal(0, 1, (8, 5))
    msw = y.var(axis=1, ddof=1).mean()
    msb = 5 * y.mean(axis=1).var(ddof=1)
    fit = random_intercept(y.ravel(), np.ones((40, 1)), np.repeat(np.arange(8), 5))
    assert fit.within == pytest.approx(msw, rel=1e-6)
    assert fit.between == pytest.approx((msb - msw) / 5, rel=1e-6)


def test_failed_fits_are_reported_not_raised() -> None:
    """Errors without any variation: no model can be fitted, and the table must say so."""
    rows, _ = simulate_study(SMALL, np.random.default_rng(1))
    table = model_gaps(rows.assign(mse=0.05), 0.95)
    assert (table.loc[table["model"] == "mixed model", "warnings"].str.len() > 0).all()
    assert table["p"].isna().all()


def test_one_run_covers_images_only() -> None:
    rows, _ = simulate_study(Truth(**{**vars(SMALL), "runs": 1}), np.random.default_rng(1))
    table = model_gaps(rows, 0.95)
    assert table["covers"].unique().tolist() == ["images"]
    assert table["se_log"].tolist() == table["se_log_images"].tolist()
