"""Scores of uncertainty against error and group: by hand, against scipy and scikit-learn."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from simulated import PAIR, TRAIN_SETS
from sklearn.metrics import roc_auc_score

from evenhand.splits.groups import TrainSet
from evenhand.stats.rows import by_run
from evenhand.stats.uncertainty import auroc, ensemble_table, score_run, spearman, uncertainty_table, worst_decile

A, B, C = TRAIN_SETS


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_auroc_is_sklearns(pairs: list[tuple[int, bool]]) -> None:
    score, positive = (np.array(column) for column in zip(*pairs, strict=True))
    if positive.all() or not positive.any():
        assert math.isnan(auroc(score, positive)[0])
    else:
        assert auroc(score, positive)[0] == pytest.approx(roc_auc_score(positive, score))


def test_worst_decile_is_a_tenth_and_at_least_one() -> None:
    assert worst_decile(np.arange(50.0)).sum() == 5
    assert worst_decile(np.arange(50.0))[-5:].all()
    assert worst_decile(np.array([1.0, 2.0])).tolist() == [False, True]


def model_rows(train_set: TrainSet = A) -> pd.DataFrame:
    """Forty images; latent_std ranks them by error within each group, and dark images have the higher scores."""
    mse = np.concatenate([np.linspace(1, 2, 20), np.linspace(1.5, 2.5, 20)])
    table = pd.DataFrame({"group": ["light"] * 20 + ["dark"] * 20, "mse": mse, "latent_std": mse**3, "kl": -mse})
    table["id"] = [f"{i:03d}" for i in range(40)]
    return table.assign(train_set=train_set.name, compared_share=train_set.share("dark"))


def scored(rows: pd.DataFrame, score: str, train_set: TrainSet) -> dict[tuple[str, str], float]:
    dark = (rows["group"] == "dark").to_numpy()
    found = score_run(rows[score].to_numpy(), rows["mse"].to_numpy(), dark, PAIR, train_set)
    return {key: value for key, (value, _) in found.items()}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=40))
def test_rank_correlation_is_scipys(pairs: list[tuple[int, int]]) -> None:
    x, y = (np.array(column) for column in zip(*pairs, strict=True))
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert math.isnan(spearman(x, y)[0])
    else:
        assert spearman(x, y)[0] == pytest.approx(spearmanr(x, y).statistic)


def test_scores_by_hand() -> None:
    rows = model_rows()
    perfect = scored(rows, "latent_std", A)
    opposite = scored(rows, "kl", A)
    assert perfect["auroc", "worst decile"] == 1.0
    assert perfect["spearman", "MSE of dark images"] == pytest.approx(1.0)
    assert opposite["auroc", "worst decile"] == 0.0
    # a dark image has the higher score in 290 of the 400 pairs of a light and a dark image
    dark, light = rows["mse"][20:].to_numpy(), rows["mse"][:20].to_numpy()
    pairs = (dark[:, None] > light).mean()
    assert perfect["auroc", "group not in the training set"] == pytest.approx(pairs)


def test_the_missing_group_depends_on_the_training_set() -> None:
    rows = model_rows()
    lacks_dark = scored(rows, "latent_std", A)["auroc", "group not in the training set"]
    lacks_light = scored(rows, "latent_std", C)["auroc", "group not in the training set"]
    assert lacks_light == pytest.approx(1 - lacks_dark)
    half = scored(rows, "latent_std", B)
    assert half["auroc", "dark group"] == pytest.approx(lacks_dark)
    assert ("auroc", "group not in the training set") not in half


def test_what_a_training_set_lacks_is_told_by_its_mix() -> None:
    """With a third group a share of no dark images does not mean one of light images."""
    rows = model_rows()
    with_third = scored(rows, "latent_std", TrainSet("D", {"light": 0.2, "medium": 0.8}))
    assert with_third == scored(rows, "latent_std", A)
    assert scored(rows, "latent_std", TrainSet("D", {"dark": 0.2, "medium": 0.8})) == scored(rows, "latent_std", C)
    neither = scored(rows, "latent_std", TrainSet("D", {"medium": 1.0}))
    assert not [target for _, target in neither if target in ("group not in the training set", "dark group")]
    assert len(neither) == len(with_third) - 1


@pytest.mark.parametrize("statistic", [auroc, spearman])
def test_influence_is_what_leaving_an_image_out_changes(statistic: Callable[..., tuple[float, np.ndarray]]) -> None:
    """To first order: the jackknife's pseudo-values, and the same standard error."""
    rng = np.random.default_rng(0)
    score = rng.normal(size=300)
    other = score + rng.normal(size=300)
    other = other > 0.5 if statistic is auroc else other
    value, influence = statistic(score, other)
    left_out = [statistic(np.delete(score, i), np.delete(other, i))[0] for i in range(300)]
    pseudo = 299 * (value - np.array(left_out))
    assert influence.mean() == pytest.approx(0, abs=1e-9)
    assert np.corrcoef(influence, pseudo)[0, 1] > 0.999
    assert influence.std() == pytest.approx(pseudo.std(), rel=0.03)


def test_uncertainty_over_runs_and_with_a_constant_score() -> None:
    rows = pd.concat([model_rows().assign(run=run) for run in range(3)]).assign(kl=1.0)
    table = uncertainty_table(by_run(rows), PAIR, TRAIN_SETS, ["latent_std", "kl"], None, 0.05)
    table = table.set_index(["score", "statistic", "target"])
    assert table.loc[("latent_std", "auroc", "worst decile"), "estimate"] == 1.0
    assert table.loc[("kl", "auroc", "worst decile"), "estimate"] == 0.5
    undefined = table.loc[("kl", "spearman", "MSE of dark images")]
    assert undefined["n_runs"] == 0
    assert math.isnan(undefined["estimate"])


def test_ensemble_scores_leave_out_and_count_images_that_too_few_models_had_not_seen() -> None:
    model = model_rows(B)
    ensemble = model.assign(ensemble_var=lambda table: table["mse"])
    ensemble.loc[ensemble.index[:4], "ensemble_var"] = np.nan
    table = ensemble_table([model], {"B": ensemble}, PAIR, TRAIN_SETS, 2, 0.95, 50, np.random.default_rng(0))
    table = table.set_index(["statistic", "target"])
    row = table.loc[("auroc", "worst decile")]
    assert row["estimate"] == 1.0
    assert row["n_images"] == 36
    assert "4 of 40 images left out" in row["note"]
    assert "the resamples do not differ" in row["note"]  # which makes no interval
    varied = table.loc[("auroc", "dark group")]
    assert varied["covers"] == "images"
    assert varied["ci_low"] < varied["estimate"] < varied["ci_high"]
