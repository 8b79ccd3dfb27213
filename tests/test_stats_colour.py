"""Tone, colour and samples with planted effects, and the claim on colour."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wasserstein_distance
from simulated import PAIR, RATIOS, RULES, covariances_of

from evenhand.stats.gaps import run_table
from evenhand.stats.image_claims import colour_claim
from evenhand.stats.rows import by_model
from evenhand.stats.tone import (
    AXES,
    QUANTITIES,
    colour_run_means,
    colour_table,
    describe_samples,
    sample_table,
    tone_curves,
    tone_slopes,
    tone_totals,
)
from evenhand.stats.verdicts import verdict_table
from evenhand.workflow.errors import UserError


def tone_rows(slope: float, runs: int = 4) -> pd.DataFrame:
    """log MSE = slope * ITA + small noise; the same images in every run."""
    rng = np.random.default_rng(0)
    ita = np.concatenate([rng.uniform(20, 60, 60), rng.uniform(-50, 0, 60)])
    parts = []
    for run in range(runs):
        mse = np.exp(-3 + slope * ita + rng.normal(0, 0.02, 120))
        parts.append(pd.DataFrame({"id": [f"{i:03d}" for i in range(120)], "ita_in": ita, "mse": mse, "run": run}))
    group = ["light"] * 60 + ["dark"] * 60
    return pd.concat([part.assign(group=group) for part in parts]).assign(train_set="A", compared_share=0.0)


def test_tone_slope_and_curve_find_a_planted_slope() -> None:
    """One percent per degree: ten degrees darker is exp(0.1) times the error."""
    rows = tone_rows(-0.01)
    images, runs = tone_totals(by_model(rows), PAIR)
    slopes = tone_slopes(images, runs, PAIR, RATIOS, 0.05).set_index("group")
    assert slopes.loc["all", "estimate"] == pytest.approx(math.exp(0.1), rel=1e-3)
    assert slopes.loc["all", "ci_low"] < math.exp(0.1) < slopes.loc["all", "ci_high"]
    curve = tone_curves(images, 0.95)
    truth = np.exp(-3 - 0.01 * curve["ita"])
    assert (curve["mse"] / truth - 1).abs().max() < 0.02
    assert ((curve["ci_low"] <= curve["mse"]) & (curve["mse"] <= curve["ci_high"])).all()


def test_images_without_skin_are_counted_not_hidden() -> None:
    rows = tone_rows(0.0)
    rows.loc[rows["id"] < "010", "ita_in"] = np.nan
    images, runs = tone_totals(by_model(rows), PAIR)
    assert set(tone_curves(images, 0.95)["n_no_skin"]) == {10}
    slopes = tone_slopes(images, runs, PAIR, RATIOS, 0.05).set_index("group")
    assert slopes.loc["light", ["n_images", "n_no_skin"]].tolist() == [50, 10]
    assert slopes.loc["dark", ["n_images", "n_no_skin"]].tolist() == [60, 0]


def colour_rows(changes: dict[tuple[str, str], float], runs: int = 5) -> pd.DataFrame:
    """Mean change of L* per (training set, group); a* and b* do not change."""
    rng = np.random.default_rng(0)
    rows = []
    for (train_set, group), change in changes.items():
        for run in range(runs):
            for image in range(10):
                dl, da, db = rng.normal([change, 0, 0], 0.05)
                rows.append([train_set, {"A": 0.0, "C": 1.0}[train_set], run, group, f"{group}{image}", dl, da, db])
    table = pd.DataFrame(rows, columns=["train_set", "compared_share", "run", "group", "id", "dl", "da", "db"])
    return table.assign(ita_in=10.0, ita_out=12.0, ita_shift=2.0, ciede2000=table["dl"].abs())


def colour_verdict(changes: dict[tuple[str, str], float]) -> pd.Series:
    rows = colour_rows(changes)
    runs = colour_run_means(rows, PAIR)
    design = pd.DataFrame({"train_set": ["A", "C"], "reference_share": [1.0, 0.0], "test_size": 10})
    design = design.assign(distinct=30.0, shared=0.5)
    table = run_table(runs, covariances_of(rows, AXES), design, PAIR, AXES)
    return verdict_table([colour_claim(table, PAIR, RULES)], 0.05, 3).iloc[0]


def test_colour_claim_needs_dark_to_change_and_light_to_stay() -> None:
    nothing = {(name, group): 0.0 for name in "AC" for group in PAIR}
    assert colour_verdict(nothing | {("C", "dark"): -6.0})["verdict"] == "supported"
    assert colour_verdict(nothing)["verdict"] == "contradicted"
    assert colour_verdict(nothing | {("C", "dark"): -6.0, ("C", "light"): 5.0})["verdict"] == "contradicted"
    assert colour_verdict(nothing | {("C", "dark"): 2.3})["verdict"] == "inconclusive"


def test_colour_table_by_hand_and_its_gaps() -> None:
    rows = colour_rows({("A", "light"): 1.0, ("A", "dark"): -2.0})
    rows.loc[rows["id"] == "dark0", ["ita_in", "ita_out", "ita_shift", "dl", "da", "db", "ciede2000"]] = np.nan
    runs = colour_run_means(rows, PAIR)
    assert runs.loc[runs["group"] == "dark", "n_no_skin"].tolist() == [1] * 5
    table = colour_table(runs, covariances_of(rows, QUANTITIES), PAIR, 0.05).set_index(["group", "quantity"])
    assert table.loc[("dark", "dl"), "estimate"] == pytest.approx(-2.0, abs=0.05)
    assert table.loc[("light", "ita_shift"), "estimate"] == pytest.approx(2.0)
    assert math.isnan(table.loc[("light", "ciede2000"), "p"])
    rows.loc[rows["id"] == "dark1", "dl"] = np.nan
    with pytest.raises(UserError, match="dark1 has some"):
        colour_run_means(rows, PAIR)


def test_colour_claim_without_colours_says_so() -> None:
    row = verdict_table([colour_claim(None, PAIR, RULES)], 0.05, 3).iloc[0]
    assert row["verdict"] == "not testable"
    assert "not measured" in row["sentence"]


def test_samples_against_training_by_hand() -> None:
    """Prior 10 degrees darker throughout: Wasserstein distance 10."""
    training = np.array([0.0, 10.0, 20.0, 30.0])
    model = pd.DataFrame({"sample_of": ["training"] * 4 + ["prior"] * 5, "ita": [*training, *(training - 10), np.nan]})
    models = [describe_samples(model.assign(train_set="A", compared_share=0.0, run=run)) for run in range(3)]
    prior = models[0].set_index("sample_of").loc["prior"]
    assert prior["wasserstein"] == pytest.approx(wasserstein_distance(training, training - 10)) == pytest.approx(10)
    assert prior["skin"] == 0.8
    table = sample_table(pd.concat(models), RATIOS, 0.05).set_index(["sample_of", "quantity"])
    assert table.loc[("prior", "wasserstein"), "estimate"] == 10
    assert ("training", "wasserstein") not in table.index
    # Another start of each run, whose prior is like its training images: a run has the mean of both.
    alike = model.assign(train_set="A", compared_share=0.0, ita=[*training, *training, np.nan])
    others = [describe_samples(alike.assign(run=run)) for run in range(3)]
    started = sample_table(pd.concat([*models, *others]), RATIOS, 0.05).set_index(["sample_of", "quantity"])
    assert started.loc[("prior", "wasserstein"), "estimate"] == 5
    assert (started["n_runs"] == 3).all()
    with pytest.raises(UserError, match="`training` in sample_of"):
        describe_samples(model[model["sample_of"] == "prior"].assign(train_set="A", compared_share=0.0, run=0))
