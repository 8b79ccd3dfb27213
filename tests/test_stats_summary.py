"""Means per run, headline and conditions by hand; what reading refuses."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulated import PAIR

from evenhand.stats.rows import read_evaluation
from evenhand.stats.summary import RUN_METRICS, condition_table, headline_table, run_means, summarise
from evenhand.workflow.errors import UserError
from evenhand.workflow.tables import write_parquet


def small_rows(run: int, mse: list[float]) -> pd.DataFrame:
    """Two light images (i0, i1) and two dark ones (i2, i3) with the given errors."""
    others = dict.fromkeys(RUN_METRICS, 0.0)
    return pd.DataFrame(
        others
        | {
            "train_set": "B",
            "compared_share": 0.5,
            "run": run,
            "group": ["light", "light", "dark", "dark"],
            "id": ["i0", "i1", "i2", "i3"],
            "condition": ["acne", "psoriasis", "acne", "acne"],
            "mse": mse,
            "mse_unit": np.array(mse) / 4,
            "latent_std": [0.8, 0.8, 0.9, 0.7],
            "kl": [10.0, 20.0, 30.0, 50.0],
        }
    )


def test_run_means_by_hand() -> None:
    table = run_means(small_rows(0, [1.0, 3.0, 5.0, 9.0]), PAIR).set_index("group")
    assert table.loc["light", "mse"] == 2.0
    assert table.loc["dark", "mse"] == 7.0
    assert table.loc["dark", "kl"] == 40.0
    assert table["n_images"].tolist() == [2, 2]


def test_headline_and_conditions_by_hand() -> None:
    runs, images = summarise([small_rows(0, [1.0, 3.0, 5.0, 9.0]), small_rows(1, [3.0, 3.0, 5.0, 7.0])], PAIR)
    headline = headline_table(runs, images).set_index(["group", "metric"])
    # dark run means 7 and 6: mean 6.5, SD sqrt(1/2)
    assert headline.loc[("dark", "mse"), "mean"] == 6.5
    assert headline.loc[("dark", "mse"), "sd"] == pytest.approx(math.sqrt(0.5))
    assert headline.loc[("dark", "mse"), ["n_runs", "n_images", "n_rows"]].tolist() == [2, 2, 4]
    conditions = condition_table(images, PAIR).set_index(["condition", "group"])
    # images i2 (5, 5) and i3 (9, 7): mean 6.5; summed deviations -3 and +3; sqrt(2/1 * 18) / 4 = 1.5
    assert conditions.loc[("acne", "dark"), "mse"] == 6.5
    assert conditions.loc[("acne", "dark"), "sem"] == pytest.approx(1.5)
    assert conditions.loc[("acne", "dark"), ["n_images", "n_rows"]].tolist() == [2, 4]
    assert math.isnan(conditions.loc[("psoriasis", "light"), "sem"])


def test_condition_standard_error_is_cluster_robust() -> None:
    """Against statsmodels: intercept-only regression with clusters of images that recur unequally often."""
    import statsmodels.formula.api as smf

    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"id": rng.choice(list("abcdefg"), 40)})
    rows["mse"] = rng.normal(size=40) + rows["id"].map(dict(zip("abcdefg", rng.normal(size=7), strict=True)))
    index = ["train_set", "compared_share", "condition", "group", "id"]
    rows = rows.assign(train_set="A", compared_share=0.0, condition="acne", group="dark", n=1, total=rows["mse"])
    table = condition_table(rows[[*index, "n", "total"]].groupby(index).sum(), PAIR)
    fit = smf.ols("mse ~ 1", rows).fit()
    robust = fit.get_robustcov_results("cluster", groups=rows["id"], use_correction=False)
    k = rows["id"].nunique()
    assert table["mse"].iloc[0] == pytest.approx(fit.params.iloc[0])
    assert table["sem"].iloc[0] == pytest.approx(robust.bse[0] * math.sqrt(k / (k - 1)))


def test_reading_refuses_nan_and_names_the_image(tmp_path: Path) -> None:
    write_parquet(small_rows(0, [1.0, np.nan, 5.0, 9.0]), tmp_path / "e.parquet")
    with pytest.raises(UserError, match=r"mse: expected finite numbers.*i1"):
        read_evaluation(tmp_path / "e.parquet", PAIR, ["mse"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop(columns="kl"), "missing: kl"),
        (lambda rows: rows.assign(group="medium"), "expected the groups light, dark; found \\['medium'\\]"),
        (lambda rows: rows.assign(id="i0"), "i0 appears more than once"),
        (lambda rows: rows.assign(run=[0, 0, 0, 1]), "one value of run"),
        (lambda rows: rows.iloc[:0], "found none"),
    ],
)
def test_reading_refuses_other_mistakes(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    write_parquet(change(small_rows(0, [1.0, 2.0, 5.0, 9.0])), tmp_path / "e.parquet")
    with pytest.raises(UserError, match=message):
        read_evaluation(tmp_path / "e.parquet", PAIR, ["mse", "kl"])
