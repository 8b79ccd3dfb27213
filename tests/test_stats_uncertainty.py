"""Scores of uncertainty against error and group: by hand, against scipy and scikit-learn."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from simulated import PAIR, RULES, TRAIN_SETS
from sklearn.metrics import roc_auc_score

from evenhand.data.decoding import decode_square
from evenhand.data.synthetic.phantom import generate
from evenhand.evaluation.measures import CONTROLS, MEASURES
from evenhand.splits.groups import TrainSet
from evenhand.stats.further_claims import warning_claims
from evenhand.stats.rows import by_run
from evenhand.stats.uncertainty import (
    LACKED,
    alarm,
    auroc,
    held_fixed,
    score_run,
    spearman,
    uncertainty_table,
    with_other_sets,
    worst_decile,
)
from evenhand.stats.verdicts import verdict_table

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
    assert len(neither) == len(with_third) - 2  # AUROC and alarm


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
    table = uncertainty_table(by_run(rows), PAIR, TRAIN_SETS, ["latent_std", "kl"], [], None, 0.05)
    table = table.set_index(["score", "statistic", "target"])
    assert table.loc[("latent_std", "auroc", "worst decile"), "estimate"] == 1.0
    assert table.loc[("kl", "auroc", "worst decile"), "estimate"] == 0.5
    undefined = table.loc[("kl", "spearman", "MSE of dark images")]
    assert undefined["n_runs"] == 0
    assert math.isnan(undefined["estimate"])


def test_images_without_a_score_are_left_out_and_counted() -> None:
    model = model_rows(B).assign(run=0, ensemble_var=lambda table: table["mse"])
    model.loc[model.index[:4], "ensemble_var"] = np.nan
    table = uncertainty_table([model], PAIR, TRAIN_SETS, ["ensemble_var"], [], None, 0.05)
    table = table.set_index(["statistic", "target"])
    row = table.loc[("auroc", "worst decile")]
    assert row["estimate"] == 1.0
    assert row["n_images"] == 36
    assert "4 test images left out" in row["note"]
    varied = table.loc[("auroc", "dark group")]
    assert varied["covers"] == "images"
    assert varied["ci_low"] < varied["estimate"] < varied["ci_high"]


def test_the_other_training_sets_are_those_of_the_run() -> None:
    run = pd.DataFrame({"id": ["a", "b"] * 3, "train_set": list("AABBCC"), "bound": [5.0, 1, 3, 2, 1, 6]})
    found = with_other_sets(run)
    assert found["likelihood_ratio"].tolist() == [3.0, -3.0, 0.0, -1.5, -3.0, 4.5]
    assert with_other_sets(run[:2])["likelihood_ratio"].isna().all()


def test_alarm_by_hand() -> None:
    """Five of a hundred negatives lie above the threshold, and half of the positives."""
    score = np.concatenate([np.arange(100.0), [94.5, 95.5, 10, 200]])
    positive = np.arange(104) >= 100
    share, influence = alarm(score, positive)
    assert share == 0.5
    assert influence[positive].sum() == pytest.approx(0)
    assert alarm(np.ones(104), positive)[0] == 0.0
    assert math.isnan(alarm(score, np.zeros(104, dtype=bool))[0])


def test_what_controls_explain_is_gone() -> None:
    """Whatever the scale of score or control; and what they do not explain stays."""
    rng = np.random.default_rng(1)
    control, other, own = rng.normal(size=(3, 500))
    assert not held_fixed(np.exp(control), [control, other]).any()
    assert not held_fixed(np.ones(500), [control, other]).any()
    left = held_fixed(own + control, [-(control**3), other])
    assert abs(spearmanr(left, control).statistic) < 0.05
    assert spearmanr(left, own).statistic > 0.9


LUMINANCE, PLANTED, NOTHING = "latent_std", "latent_distance", "reencoding"  # what stands for each


@pytest.fixture(scope="module")
def phantoms() -> pd.DataFrame:
    """The controls, measured on 200 rendered pictures of skin of either group. Light skin is of type III, dark of IV,
    whose luminances overlap, as those of photographs do and those of phantoms further apart do not."""
    made = generate(430, seed=1, size=32, dark_difficulty=0.5, fst_shares={3: 0.5, 4: 0.5})
    known = made.truth[made.truth["id"].isin(made.files) & (made.truth["duplicate_of"] == "")]
    known = known.groupby("true_fst").head(200).sort_values("true_fst")
    pictures = [decode_square(made.files[name], 32)[0] for name in known["id"]]
    measured = {name: [MEASURES[name].of(picture) for picture in pictures] for name in CONTROLS}
    group = known["true_fst"].map({3: "light", 4: "dark"})
    return pd.DataFrame({"id": known["id"], "group": group} | measured).reset_index(drop=True)


def warned(images: pd.DataFrame, planted: float) -> pd.DataFrame:
    """Rows of four runs. A score is luminance in disguise, in the direction that flags the group which the training set
    lacks; one is higher on that group by `planted` standard deviations; one is noise."""
    rng, n = np.random.default_rng(0), len(images)
    dark = (images["group"] == "dark").to_numpy()
    luma, complexity = ((images[name] - images[name].mean()) / images[name].std() for name in ("luma", "complexity"))
    difficulty = rng.normal(size=n) + complexity
    parts = []
    for run in range(4):
        for train_set in TRAIN_SETS:
            lacked = dark if train_set is A else ~dark
            rows = images.assign(train_set=train_set.name, compared_share=train_set.share("dark"), run=run)
            rows["mse"] = np.exp(0.3 * difficulty + rng.normal(0, 0.1, n))
            rows[LUMINANCE] = np.exp((-1 if train_set is A else 1) * luma + rng.normal(0, 0.3, n))
            rows[PLANTED] = difficulty + planted * lacked + rng.normal(0, 1, n)
            rows[NOTHING] = rng.normal(size=n)
            parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def table_of(rows: pd.DataFrame) -> pd.DataFrame:
    scores = [*CONTROLS, LUMINANCE, PLANTED, NOTHING]
    return uncertainty_table(by_run(rows), PAIR, TRAIN_SETS, scores, CONTROLS, None, 0.05)


def test_a_warning_has_to_beat_what_knows_no_model(phantoms: pd.DataFrame) -> None:
    table = table_of(warned(phantoms, 5.0))
    lacking = table[table["target"] == LACKED].set_index(["train_set", "score", "statistic"]).sort_index()
    for name in ("A", "C"):
        disguise, planted, noise = (lacking.loc[name, score] for score in (LUMINANCE, PLANTED, NOTHING))
        assert disguise.loc["auroc", "ci_low"] > 0.6
        assert disguise.loc["auroc_adjusted", "ci_low"] < 0.5 < disguise.loc["auroc_adjusted", "ci_high"]
        assert disguise.loc["over luma", "ci_high"] < 0.02
        assert planted.loc[["auroc", "auroc_adjusted"], "ci_low"].min() > 0.7
        assert planted.loc[["over luma", "over complexity"], "ci_low"].min() > 0
        assert planted.loc["alarm", "ci_low"] > 0.5
        assert noise.loc["auroc", "ci_low"] < 0.5 < noise.loc["auroc", "ci_high"]
        assert noise.loc["alarm", "ci_low"] < 0.05 < noise.loc["alarm", "ci_high"]
        assert not set(lacking.loc[name, "luma"].index) & {"auroc_adjusted", "over luma"}


@pytest.mark.parametrize(("planted", "verdict"), [(5.0, "supported"), (0.0, "contradicted")])
def test_the_claims_of_the_warning(phantoms: pd.DataFrame, planted: float, verdict: str) -> None:
    table = table_of(warned(phantoms, planted))
    claims = verdict_table(warning_claims(table, PAIR, RULES), 0.05, 3).set_index("claim")
    assert claims["verdict"].to_dict() == {"U1": verdict, "U2": "not testable"}
    assert ("distance to the training latents" in claims.loc["U1", "sentence"]) == (planted > 0)
    slug = table[table["score"] == PLANTED].assign(score="slug")  # asked for
    asked = pd.concat([table, slug], ignore_index=True)
    of_slug = verdict_table(warning_claims(asked, PAIR, RULES), 0.05, 3).set_index("claim")
    assert of_slug["verdict"].to_dict() == {"U1": verdict, "U2": verdict}
    assert of_slug.loc["U2", "p"] < of_slug.loc["U1", "p"]  # of one score, not of several
    assert "images of the first run; p" in of_slug.loc["U2", "sentence"]  # so that stats.min_runs has no say
    both = table[table["train_set"] == "B"]
    reason = "no training set lacks either light or dark images alone"
    assert [case.reason for case in warning_claims(both, PAIR, RULES)] == [reason, reason]


def test_scores_with_the_error_in_them_are_not_held_against_it() -> None:
    rows = model_rows().assign(run=0, typicality=lambda table: table["mse"])
    table = uncertainty_table([rows], PAIR, TRAIN_SETS, ["typicality"], [], None, 0.05)
    assert set(table["target"]) == {LACKED}


def test_intervals_of_the_new_statistics_hold_the_truth() -> None:
    """Against what very many images give: share caught, AUROC over a control, AUROC with controls held fixed."""
    rng, keys = np.random.default_rng(3), [("alarm", LACKED), ("over luma", LACKED), ("auroc_adjusted", LACKED)]

    def run(n: int) -> dict[tuple[str, str], tuple[float, np.ndarray]]:
        dark = np.arange(2 * n) >= n
        luminance, complexity = rng.normal(size=(2, 2 * n))
        luminance -= 0.8 * dark
        score = rng.normal(size=2 * n) + 1.5 * dark - 0.5 * luminance
        controls = {"luma": luminance, "complexity": complexity}
        return score_run(score, np.ones(2 * n), dark, PAIR, A, controls, of_error=True)

    truth = run(200_000)
    held = dict.fromkeys(keys, 0)
    for _ in range(200):
        found = run(150)
        assert len(found) == 5
        for key in keys:
            value, influence = found[key]
            held[key] += abs(value - truth[key][0]) < 1.96 * influence.std() / np.sqrt(len(influence))
    assert min(held.values()) >= 0.9 * 200
