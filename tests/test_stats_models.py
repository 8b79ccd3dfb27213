"""Regressions of the log error: planted gaps, by hand, against statsmodels."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from simulated import PAIR, Truth, simulate_study

from evenhand.stats.mixed import nested_gaps, random_intercept
from evenhand.stats.models import clustered_ols, model_gaps
from evenhand.stats.rows import by_model, by_run
from evenhand.stats.summary import error_totals

SMALL = Truth(n_light=400, n_dark=200, test_size=60, train_size=100, runs=4, condition=0.3, mix=0.8, source=0.3)


def regressions(rows: pd.DataFrame) -> pd.DataFrame:
    return model_gaps(*error_totals(by_model(rows), PAIR), by_run(rows), PAIR, 0.95)


def test_mixed_model_finds_planted_gaps_where_mixes_differ() -> None:
    """Unadjusted log gaps are off by far; with conditions and source the planted ones are found."""
    truth = Truth(n_light=2000, n_dark=1200, test_size=300, train_size=500, runs=4, condition=0.4, mix=1.0, source=0.3)
    truth = Truth(**{**vars(truth), "gap": {"A": 0.3, "B": 0.1, "C": -0.1}, "image": 0.2})
    rows, _ = simulate_study(truth, np.random.default_rng(5))
    logs = rows.assign(y=np.log(rows["mse"])).groupby(["train_set", "group"])["y"].mean()
    crude = logs["B", "dark"] - logs["B", "light"]
    assert crude > 0.4
    table = regressions(rows)
    for row in table.to_dict("records"):
        error = math.log(row["ratio"]) - truth.gap[row["train_set"]]
        assert abs(error) < 3.5 * row["se_log"], row
        assert row["se_log"] < 0.06


def test_clustered_regression_is_statsmodels() -> None:
    """One set, one run, one source: image clusters are rows, so HC1 up to the cluster correction."""
    truth = Truth(n_light=80, n_dark=60, test_size=40, train_size=20, runs=1, shares={"A": 0.0}, source_mix=False)
    rows, _ = simulate_study(truth, np.random.default_rng(2))
    rows = rows.assign(source="x")
    fit, again = clustered_ols(*error_totals(by_model(rows), PAIR), by_run(rows), PAIR, ["A"])
    frame = rows.assign(y=np.log(rows["mse"]), dark=(rows["group"] == "dark").astype(float))
    ols = smf.ols("y ~ C(condition) + dark", frame).fit()
    robust = ols.get_robustcov_results("HC0")
    n, k = len(frame), len(ols.params)
    at = list(ols.params.index).index("dark")
    assert fit.log_gaps[0] == pytest.approx(ols.params["dark"])
    assert fit.covariance[0, 0] == pytest.approx(robust.cov_params()[at, at] * n / (n - 1) * (n - 1) / (n - k))
    assert np.array_equal(fit.covariance, again.covariance)


def test_two_way_clustered_regression_is_statsmodels() -> None:
    """All rows in one regression, with dummies for condition and source, clustered by image and by run."""
    rows, _ = simulate_study(SMALL, np.random.default_rng(8))
    by_image, by_both = clustered_ols(*error_totals(by_model(rows), PAIR), by_run(rows), PAIR, ["A", "B", "C"])
    frame = rows.assign(y=np.log(rows["mse"]), dark=(rows["group"] == "dark").astype(float))
    model = smf.ols("y ~ C(condition) + C(train_set) + dark:C(train_set) + C(source)", frame)
    image, run = pd.factorize(frame["id"])[0], frame["run"].to_numpy()
    names = [f"dark:C(train_set)[{name}]" for name in "ABC"]
    for fit, groups in ((by_image, image), (by_both, np.column_stack([image, run]))):
        other = model.fit(cov_type="cluster", cov_kwds={"groups": groups})
        assert fit.log_gaps == pytest.approx(other.params[names].to_numpy())
        assert fit.covariance == pytest.approx(other.cov_params().loc[names, names].to_numpy(), rel=1e-6)
        assert fit.n_rows == len(frame)


def test_a_condition_of_one_source_only_is_fitted_and_noted() -> None:
    """Every condition from one source of its own: the source effect cannot be told apart, the gap can."""
    rows, _ = simulate_study(SMALL, np.random.default_rng(8))
    odd = rows["condition"].str[-1].isin(list("13579"))
    rows = rows.assign(source=np.where(odd, "x", "y"))
    table = regressions(rows).set_index("model").loc["clustered OLS"]
    assert table["ratio"].tolist() == pytest.approx(
        regressions(rows.assign(source="x")).set_index("model").loc["clustered OLS", "ratio"].tolist()
    )
    assert table["warnings"].str.contains("rank").all()


def test_nested_model_is_statsmodels() -> None:
    """The same model written out: condition random, image a nested variance component, REML."""
    rows, _ = simulate_study(Truth(**{**vars(SMALL), "condition": 0.5}), np.random.default_rng(7))
    images, _ = error_totals(by_model(rows), PAIR)
    images = images.assign(log_mse=images["log_total"] / images["n"], dark=(images["group"] == "dark").astype(float))
    gaps, covariance, between = nested_gaps(images, PAIR.compared, ["A", "B", "C"])
    formula = "log_mse ~ C(train_set) + dark:C(train_set) + C(source)"
    # Without re_formula statsmodels leaves the random intercept of the condition out.
    model = smf.mixedlm(formula, images, groups="condition", re_formula="1", vc_formula={"image": "0 + C(id)"})
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


def test_one_run_covers_images_only() -> None:
    rows, _ = simulate_study(Truth(**{**vars(SMALL), "runs": 1}), np.random.default_rng(1))
    table = regressions(rows)
    assert table["covers"].unique().tolist() == ["images"]
    assert table["se_log"].tolist() == table["se_log_images"].tolist()
