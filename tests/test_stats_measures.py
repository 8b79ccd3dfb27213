"""Uncertainty, tone, colour, samples, subsets, sweeps, pooling and the claims that rest on them."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr, wasserstein_distance
from sklearn.metrics import roc_auc_score

from fairgen.errors import UserError
from fairgen.stats.colour import colour_run_means, colour_table, describe_samples, sample_table
from fairgen.stats.gaps import RunTable
from fairgen.stats.image_claims import adjusted_claim, colour_claim
from fairgen.stats.pooling import pooled_conditions
from fairgen.stats.rules import Rules
from fairgen.stats.subsets import subset_table
from fairgen.stats.summary import IMAGE_INDEX
from fairgen.stats.sweep import sweep_table
from fairgen.stats.tone import tone_curves, tone_slopes
from fairgen.stats.uncertainty import auroc, ensemble_table, score_run, spearman, uncertainty_table, worst_decile
from fairgen.stats.verdicts import verdict_table

RULES = Rules(0.05, 3, latent_std_margin=0.05, slight=0.25, max_mse=0.07, noticeable=2.3, vanishing=0.05)
RATIOS = {"A": 0.3, "B": 0.3, "C": 0.3}


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_auroc_is_sklearns(pairs: list[tuple[int, bool]]) -> None:
    score, positive = (np.array(column) for column in zip(*pairs, strict=True))
    if positive.all() or not positive.any():
        assert math.isnan(auroc(score, positive))
    else:
        assert auroc(score, positive) == pytest.approx(roc_auc_score(positive, score))


def test_worst_decile_is_a_tenth_and_at_least_one() -> None:
    assert worst_decile(np.arange(50.0)).sum() == 5
    assert worst_decile(np.arange(50.0))[-5:].all()
    assert worst_decile(np.array([1.0, 2.0])).tolist() == [False, True]


def model_rows(share: float = 0.0) -> pd.DataFrame:
    """Forty images; latent_std ranks them by error within each group, and dark images have the higher scores."""
    mse = np.concatenate([np.linspace(1, 2, 20), np.linspace(1.5, 2.5, 20)])
    table = pd.DataFrame({"group": ["light"] * 20 + ["dark"] * 20, "mse": mse, "latent_std": mse**3, "kl": -mse})
    table["md5hash"] = [f"{i:03d}" for i in range(40)]
    return table.assign(train_set="A", dark_share=share)


def scored(rows: pd.DataFrame, score: str, share: float) -> dict[tuple[str, str], float]:
    return score_run(rows[score].to_numpy(), rows["mse"].to_numpy(), (rows["group"] == "dark").to_numpy(), share)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=40))
def test_rank_correlation_is_scipys(pairs: list[tuple[int, int]]) -> None:
    x, y = (np.array(column) for column in zip(*pairs, strict=True))
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert math.isnan(spearman(x, y))
    else:
        assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)


def test_scores_by_hand() -> None:
    rows = model_rows()
    perfect = scored(rows, "latent_std", 0.0)
    opposite = scored(rows, "kl", 0.0)
    assert perfect["auroc", "worst decile"] == 1.0
    assert perfect["spearman", "MSE of dark images"] == pytest.approx(1.0)
    assert opposite["auroc", "worst decile"] == 0.0
    # a dark image has the higher score in 290 of the 400 pairs of a light and a dark image
    dark, light = rows["mse"][20:].to_numpy(), rows["mse"][:20].to_numpy()
    pairs = (dark[:, None] > light).mean()
    assert perfect["auroc", "group not in the training set"] == pytest.approx(pairs)


def test_the_missing_group_depends_on_the_training_set() -> None:
    rows = model_rows()
    lacks_dark = scored(rows, "latent_std", 0.0)["auroc", "group not in the training set"]
    lacks_light = scored(rows, "latent_std", 1.0)["auroc", "group not in the training set"]
    assert lacks_light == pytest.approx(1 - lacks_dark)
    half = scored(rows, "latent_std", 0.5)
    assert half["auroc", "dark group"] == pytest.approx(lacks_dark)
    assert ("auroc", "group not in the training set") not in half


def test_uncertainty_over_runs_and_with_a_constant_score() -> None:
    rows = pd.concat([model_rows().assign(run=run) for run in range(3)]).assign(kl=1.0)
    table = uncertainty_table(rows, ["latent_std", "kl"], RATIOS, 0.05).set_index(["score", "statistic", "target"])
    assert table.loc[("latent_std", "auroc", "worst decile"), "estimate"] == 1.0
    assert table.loc[("kl", "auroc", "worst decile"), "estimate"] == 0.5
    undefined = table.loc[("kl", "spearman", "MSE of dark images")]
    assert undefined["n_runs"] == 0
    assert math.isnan(undefined["estimate"])


def test_ensemble_scores_leave_out_and_count_images_that_too_few_models_had_not_seen() -> None:
    rows = pd.concat([model_rows().assign(run=run) for run in range(2)])
    ensemble = rows[rows["run"] == 0].assign(ensemble_var=lambda table: table["mse"])
    ensemble.loc[ensemble.index[:4], "ensemble_var"] = np.nan
    table = ensemble_table(rows, {"A": ensemble}, 0.95, 50, np.random.default_rng(0)).set_index(["statistic", "target"])
    row = table.loc[("auroc", "worst decile")]
    assert row["estimate"] == 1.0
    assert row["n_images"] == 36
    assert row["covers"] == "images"


def tone_rows(slope: float, runs: int = 4) -> pd.DataFrame:
    """log MSE = slope * ITA + small noise; the same images in every run."""
    rng = np.random.default_rng(0)
    ita = np.concatenate([rng.uniform(20, 60, 60), rng.uniform(-50, 0, 60)])
    parts = []
    for run in range(runs):
        mse = np.exp(-3 + slope * ita + rng.normal(0, 0.02, 120))
        parts.append(pd.DataFrame({"md5hash": [f"{i:03d}" for i in range(120)], "ita_in": ita, "mse": mse, "run": run}))
    group = ["light"] * 60 + ["dark"] * 60
    return pd.concat([part.assign(group=group) for part in parts]).assign(train_set="A", dark_share=0.0)


def test_tone_slope_and_curve_find_a_planted_slope() -> None:
    """One percent per degree: ten degrees darker is exp(0.1) times the error."""
    rows = tone_rows(-0.01)
    slopes = tone_slopes(rows, RATIOS, 0.05).set_index("group")
    assert slopes.loc["both", "estimate"] == pytest.approx(math.exp(0.1), rel=1e-3)
    assert slopes.loc["both", "ci_low"] < math.exp(0.1) < slopes.loc["both", "ci_high"]
    curve = tone_curves(rows, 0.95)
    truth = np.exp(-3 - 0.01 * curve["ita"])
    assert (curve["mse"] / truth - 1).abs().max() < 0.02
    assert ((curve["ci_low"] <= curve["mse"]) & (curve["mse"] <= curve["ci_high"])).all()


def test_images_without_skin_are_counted_not_hidden() -> None:
    rows = tone_rows(0.0)
    rows.loc[rows["md5hash"] < "010", "ita_in"] = np.nan
    assert set(tone_curves(rows, 0.95)["n_no_skin"]) == {10}
    slopes = tone_slopes(rows, RATIOS, 0.05).set_index("group")
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
    table = pd.DataFrame(rows, columns=["train_set", "dark_share", "run", "group", "md5hash", "dl", "da", "db"])
    return table.assign(ita_in=10.0, ita_out=12.0, ciede2000=table["dl"].abs())


def colour_verdict(changes: dict[tuple[str, str], float]) -> pd.Series:
    runs = colour_run_means(colour_rows(changes))
    values = {
        axis: {key: part[axis].to_numpy() for key, part in runs.groupby(["train_set", "group"])}
        for axis in ("dl", "da", "db")
    }
    table = RunTable(tuple(range(5)), {"A": 0.0, "C": 1.0}, values, {"A": 10, "C": 10}, {"A": 30.0, "C": 30.0})
    return verdict_table([colour_claim(table, RULES)], 0.05, 3).iloc[0]


def test_colour_claim_needs_dark_to_change_and_light_to_stay() -> None:
    nothing = {(name, group): 0.0 for name in "AC" for group in ("light", "dark")}
    assert colour_verdict(nothing | {("C", "dark"): -6.0})["verdict"] == "supported"
    assert colour_verdict(nothing)["verdict"] == "contradicted"
    assert colour_verdict(nothing | {("C", "dark"): -6.0, ("C", "light"): 5.0})["verdict"] == "contradicted"
    assert colour_verdict(nothing | {("C", "dark"): 2.3})["verdict"] == "inconclusive"


def test_colour_table_by_hand_and_its_gaps() -> None:
    rows = colour_rows({("A", "light"): 1.0, ("A", "dark"): -2.0})
    rows.loc[rows["md5hash"] == "dark0", ["ita_in", "ita_out", "dl", "da", "db", "ciede2000"]] = np.nan
    runs = colour_run_means(rows)
    assert runs.loc[runs["group"] == "dark", "n_no_skin"].tolist() == [1] * 5
    table = colour_table(runs, RATIOS, 0.05).set_index(["group", "quantity"])
    assert table.loc[("dark", "dl"), "estimate"] == pytest.approx(-2.0, abs=0.05)
    assert table.loc[("light", "ita_shift"), "estimate"] == pytest.approx(2.0)
    assert math.isnan(table.loc[("light", "ciede2000"), "p"])
    rows.loc[rows["md5hash"] == "dark1", "dl"] = np.nan
    with pytest.raises(UserError, match="dark1 has some"):
        colour_run_means(rows)


def test_colour_claim_without_colours_says_so() -> None:
    row = verdict_table([colour_claim(None, RULES)], 0.05, 3).iloc[0]
    assert row["verdict"] == "not testable"
    assert "not measured" in row["sentence"]


def test_samples_against_training_by_hand() -> None:
    """Prior 10 degrees darker throughout: Wasserstein distance 10."""
    training = np.array([0.0, 10.0, 20.0, 30.0])
    model = pd.DataFrame({"source": ["training"] * 4 + ["prior"] * 5, "ita": [*training, *(training - 10), np.nan]})
    models = [describe_samples(model.assign(train_set="A", dark_share=0.0, run=run)) for run in range(3)]
    prior = models[0].set_index("source").loc["prior"]
    assert prior["wasserstein"] == pytest.approx(wasserstein_distance(training, training - 10)) == pytest.approx(10)
    assert prior["skin"] == 0.8
    table = sample_table(pd.concat(models), RATIOS, 0.05).set_index(["source", "quantity"])
    assert table.loc[("prior", "wasserstein"), "estimate"] == 10
    assert ("training", "wasserstein") not in table.index
    with pytest.raises(UserError, match="source `training`"):
        describe_samples(model[model["source"] == "prior"].assign(train_set="A", dark_share=0.0, run=0))


def test_annotator_and_atlas_subsets_by_hand() -> None:
    rows = pd.DataFrame(
        {
            "group": ["light", "light", "dark", "dark"] * 2,
            "run": [0] * 4 + [1] * 4,
            "mse": [1.0, 3.0, 5.0, 9.0, 1.0, 3.0, 5.0, 11.0],
            "fitzpatrick_scale": [1, 2, 5, 6] * 2,
            "fitzpatrick_centaur": [1, 2, 5, 3] * 2,
            "atlas": ["x", "y", "x", "x"] * 2,
        }
    ).assign(train_set="A", dark_share=0.0)
    table = subset_table(rows, [1, 2], [5, 6], ["mse"], {"A": 10.0}, 0.05).set_index("subset")
    assert table.loc["all", "gap"] == pytest.approx((5.0 + 6.0) / 2)
    assert table.loc["annotators agree", "gap"] == 3.0
    assert table.loc["annotators agree", ["n_light", "n_dark"]].tolist() == [2, 1]
    assert table.loc["atlas x", "gap"] == pytest.approx((6.0 + 7.0) / 2)
    assert math.isnan(table.loc["atlas y", "gap"])
    assert "no dark image" in table.loc["atlas y", "note"]


def sweep_runs(gap_at_zero: float, gap_at_one: float, noise: float = 1e-4) -> RunTable:
    shares = {f"s{i}": i / 4 for i in range(5)}
    rng = np.random.default_rng(1)
    values = {}
    for name, share in shares.items():
        gap = gap_at_zero + share * (gap_at_one - gap_at_zero)
        values[name, "light"] = 0.05 + rng.normal(0, noise, 6)
        values[name, "dark"] = 0.05 + gap + rng.normal(0, noise, 6)
    return RunTable(tuple(range(6)), shares, {"mse": values}, dict.fromkeys(shares, 50), dict.fromkeys(shares, 150.0))


def test_crossing_point_of_a_straight_line() -> None:
    """A gap from +0.03 to -0.01 is 0 at a share of 0.75."""
    table = sweep_table(sweep_runs(0.03, -0.01), "mse", 0.05).set_index("quantity")
    crossing = table.loc["crossing"]
    assert crossing["estimate"] == pytest.approx(0.75, abs=0.02)
    assert crossing["ci_low"] < crossing["estimate"] < crossing["ci_high"]
    assert crossing["ci_high"] - crossing["ci_low"] < 0.1
    assert table.loc["slope of gap", "estimate"] == pytest.approx(-0.04, abs=1e-3)
    assert table.loc["slope of gap", "p"] < 0.001


def test_no_crossing_and_open_intervals_are_said() -> None:
    apart = sweep_table(sweep_runs(0.03, 0.02), "mse", 0.05).set_index("quantity").loc["crossing"]
    assert math.isnan(apart["estimate"])
    assert "dark images is higher throughout" in apart["note"]
    noisy = sweep_table(sweep_runs(0.001, -0.001, noise=0.02), "mse", 0.05).set_index("quantity").loc["crossing"]
    assert (noisy["ci_low"], noisy["ci_high"]) == (0.0, 1.0)
    assert "open below" in noisy["note"]
    assert "open above" in noisy["note"]


def image_totals(means: dict[str, list[float]]) -> pd.DataFrame:
    rows = [
        ["A", 0.0, label, group, f"{group}{label}{i}", 1, value]
        for group in ("light", "dark")
        for label, values in means.items()
        for i, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=[*IMAGE_INDEX, "n", "total"]).set_index(IMAGE_INDEX)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_pooling_draws_towards_the_mean_and_rare_conditions_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = {f"c{k}": list(rng.normal(rng.normal(0, 1), 1, size)) for k, size in enumerate([1, 2, 5, 10, 40])}
    table = pooled_conditions(image_totals(values), 0.95)
    part = table[table["group"] == "dark"].sort_values("n_images")
    assert part["weight"].is_monotonic_increasing
    assert part["weight"].between(0, 1).all()
    mu = (part["estimate"] - part["weight"] * part["raw"]) / (1 - part["weight"])
    assert np.ptp(mu[part["weight"] < 1 - 1e-6]) < 1e-6  # all are drawn to the same mean
    assert ((part["ci_low"] <= part["estimate"]) & (part["estimate"] <= part["ci_high"])).all()


def test_pooling_says_why_it_cannot() -> None:
    few = pooled_conditions(image_totals({"acne": [1.0, 2.0], "wart": [3.0]}), 0.95)
    assert few["estimate"].isna().all()
    assert few["note"].str.contains("three conditions").all()
    same = pooled_conditions(image_totals({name: [0.1, 0.1] for name in "abc"}), 0.95)
    assert same["note"].str.contains("do not differ").all()


def adjusted_verdict(**row: float) -> pd.Series:
    values = np.array([0.05, 0.06, 0.07])
    table = RunTable((0, 1, 2), {"B": 0.5}, {"mse": {("B", g): values for g in ("light", "dark")}}, {}, {})
    common = {"train_set": "B", "n_strata": 3, "coverage": 0.8, "crude_gap": 0.02, "n_runs": 3, "p_vanish": 1.0}
    rows = [common | {"adjustment": "none", "gap": 0.03}, common | {"adjustment": "condition"} | row]
    return verdict_table([adjusted_claim(table, pd.DataFrame(rows), RULES)], 0.05, 3).iloc[0]


def test_adjusted_claim_has_all_four_verdicts() -> None:
    assert adjusted_verdict(gap=0.01, ci_low=0.005, ci_high=0.015, p=0.001)["verdict"] == "supported"
    assert adjusted_verdict(gap=-0.01, ci_low=-0.015, ci_high=-0.005, p=0.001)["verdict"] == "contradicted"
    assert adjusted_verdict(gap=0.0, ci_low=-0.001, ci_high=0.001, p=0.9, p_vanish=0.001)["verdict"] == "contradicted"
    assert adjusted_verdict(gap=0.01, ci_low=-0.01, ci_high=0.03, p=0.3)["verdict"] == "inconclusive"
    assert adjusted_verdict(gap=math.nan, ci_low=math.nan, ci_high=math.nan, p=math.nan)["verdict"] == "not testable"
    assert adjusted_verdict(gap=0.01, ci_low=0.005, ci_high=0.015, p=0.001, n_runs=1)["verdict"] == "not testable"


def test_dictionary_lists_no_table_or_column_twice() -> None:
    # A loader keeps the last of two equal keys and says nothing; the text still has both.
    path = Path(__file__).parents[1] / "schemas" / "tables.yaml"
    root = yaml.compose(path.read_text())
    for mapping in [root, *(entry for _, entry in root.value)]:
        names = [key.value for key, _ in mapping.value]
        assert len(names) == len(set(names)), names
