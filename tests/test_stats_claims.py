"""Gaps and verdicts on studies of run means in which the claims hold, fail, or cannot be told."""

import re

import numpy as np
import pandas as pd
import pytest
from simulated import NO_IMAGES, PAIR, RULES
from statsmodels.stats.multitest import multipletests

from evenhand.stats.claims import run_claims
from evenhand.stats.gaps import gap_table, run_table
from evenhand.stats.paired import run_test
from evenhand.stats.verdicts import verdict_table
from evenhand.workflow.errors import UserError


def runs_of(means: dict[tuple[str, float], dict[str, dict[str, np.ndarray]]]) -> pd.DataFrame:
    """A runs table from {(train_set, share): {group: {metric: one number per run}}}."""
    rows = []
    for (train_set, share), groups in means.items():
        for group, metrics in groups.items():
            for run in range(len(next(iter(metrics.values())))):
                rows.append(
                    {"train_set": train_set, "compared_share": share, "run": run, "group": group, "n_images": 500}
                    | {metric: values[run] for metric, values in metrics.items()}
                )
    return pd.DataFrame(rows)


def design_of(runs: pd.DataFrame, of_others: dict[str, float] | None = None) -> pd.DataFrame:
    """The design of a runs table; `of_others`: the fraction of images of further groups in a training set."""
    table = runs[["train_set", "compared_share"]].drop_duplicates()
    others = table["train_set"].map(of_others or {}).fillna(0.0)
    sizes = {"distinct": 1668.0, "test_size": 500, "shared": 0.6}
    return table.assign(reference_share=1 - table["compared_share"] - others, **sizes)


JITTER = np.array([-1.0, 1.0, 0.5, -0.5, 0.0, 0.3, -0.3, 0.8, -0.8, 0.1]) * 1e-3


def paper_runs(
    n: int = 10, jitter: float = 1.0, mse: dict[tuple[str, float], tuple[float, float]] | None = None
) -> pd.DataFrame:
    """A study in which all claims on MSE hold by far."""
    mse = {("A", 0.0): (0.040, 0.065), ("B", 0.5): (0.045, 0.055), ("C", 1.0): (0.053, 0.044)} | (mse or {})
    std = {("A", 0.0): 0.80, ("B", 0.5): 0.75, ("C", 1.0): 0.70}
    means = {}
    for i, key in enumerate(mse):
        light, dark = mse[key]
        wobble = jitter * np.roll(JITTER, i)[:n]
        means[key] = {
            "light": {"mse": light + wobble, "latent_std": std[key] + wobble, "kl": 100 + wobble},
            "dark": {
                "mse": dark + jitter * np.roll(JITTER, i + 4)[:n],
                "latent_std": std[key] + jitter * np.roll(JITTER, i + 2)[:n],
                "kl": 120 - wobble,
            },
        }
    return runs_of(means)


def judged(runs: pd.DataFrame, of_others: dict[str, float] | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = run_table(runs, NO_IMAGES, design_of(runs, of_others), PAIR, ["mse", "latent_std", "kl"])
    gaps = gap_table(table, ["mse", "latent_std", "kl"], ["mse", "latent_std"], RULES.alpha, {"latent_std": 0.05})
    return verdict_table(run_claims(table, RULES), RULES.alpha, RULES.min_runs).set_index("claim"), gaps


def test_a_missing_run_is_refused_not_skipped() -> None:
    runs = paper_runs()
    with pytest.raises(UserError, match="one row for each of the runs"):
        run_table(runs[(runs["train_set"] != "B") | (runs["run"] != 3)], NO_IMAGES, design_of(runs), PAIR, ["mse"])


def test_gap_table_of_a_known_study() -> None:
    runs = paper_runs()
    _, gaps = judged(runs)
    b = gaps[(gaps["metric"] == "mse") & (gaps["train_set"] == "B")].iloc[0]
    dark, light = (runs[(runs["train_set"] == "B") & (runs["group"] == g)]["mse"].to_numpy() for g in ("dark", "light"))
    assert b["gap"] == pytest.approx((dark - light).mean())
    assert b["ratio"] == pytest.approx(dark.mean() / light.mean())
    assert b["p_nb"] == pytest.approx(run_test(dark - light, 500 / 1668).p())
    assert b["p_wilcoxon"] == b["p_wilcoxon_min"] == 2 / 2**10


def test_holm_covers_the_declared_family_and_nothing_else() -> None:
    _, gaps = judged(paper_runs())
    family = gaps[gaps["metric"].isin(["mse", "latent_std"])]
    assert len(family) == 6
    assert family["p_holm"].to_numpy() == pytest.approx(multipletests(family["p"], method="holm")[1])
    assert gaps[gaps["metric"] == "kl"]["p_holm"].isna().all()


def test_claims_of_a_study_in_which_they_hold() -> None:
    claims, gaps = judged(paper_runs())
    assert claims["verdict"].to_dict() == dict.fromkeys(["C1", "C2", "C3", "C4", "C5", "C6", "C7", "C10"], "supported")
    assert claims["survives"].all()
    b = gaps[(gaps["metric"] == "mse") & (gaps["train_set"] == "B")].iloc[0]
    assert claims.loc["C2", ["estimate", "ci_low", "ci_high", "p"]].tolist() == pytest.approx(
        b[["gap", "ci_low", "ci_high", "p"]].tolist()
    )
    p = claims["p"].to_numpy()
    assert claims["p_holm"].to_numpy() == pytest.approx(multipletests(p, method="holm")[1])


def test_no_relevant_difference_is_a_verdict_where_a_margin_is_declared() -> None:
    """Equal errors under B, known within 5 % of them; a claim without a margin is inconclusive there."""
    claims, _ = judged(paper_runs(mse={("B", 0.5): (0.05, 0.05), ("C", 1.0): (0.053, 0.053)}))
    assert claims.loc["C2", "verdict"] == "no relevant difference"
    assert claims.loc["C2", "p"] > 0.05
    assert "to hold against the margin of 0.0025" in claims.loc["C2", "sentence"]
    noisy, _ = judged(paper_runs(jitter=40.0, mse={("B", 0.5): (0.05, 0.05)}))
    assert noisy.loc["C2", "verdict"] == "inconclusive"


def test_what_an_estimate_is_held_against_stands_beside_it() -> None:
    claims, _ = judged(paper_runs())
    assert claims.loc["C2", ["null_value", "margin"]].tolist() == pytest.approx([0, 0.05 * 0.045], rel=1e-3)
    assert claims.loc["C10", "null_value"] == 0.07
    assert abs(claims.loc["C6", "null_value"]) == claims.loc["C6", "margin"] > 0
    assert claims.loc[["C1", "C7", "C10"], "margin"].isna().all()


def test_an_inconclusive_claim_says_what_would_decide_it() -> None:
    claims, _ = judged(paper_runs(jitter=12.0))
    row = claims[claims["verdict"] == "inconclusive"].iloc[0]
    assert f"would take {row['runs_needed']:.0f} runs" in row["sentence"]
    assert row["runs_needed"] > 10
    assert row["detectable"] > 0
    decided = claims[claims["verdict"] != "inconclusive"]
    assert decided[["runs_needed", "images_needed"]].isna().all(axis=None)


def test_claims_of_a_study_in_which_the_opposite_holds() -> None:
    """Light and dark swapped: dark images are the easier ones throughout."""
    swapped = {("A", 0.0): (0.065, 0.040), ("B", 0.5): (0.055, 0.045), ("C", 1.0): (0.044, 0.053)}
    claims, _ = judged(paper_runs(mse=swapped))
    assert claims.loc[["C1", "C2", "C3", "C4", "C5"], "verdict"].tolist() == ["contradicted"] * 5
    assert claims.loc["C6", "verdict"] == "supported"
    assert claims.loc["C2", "estimate"] == pytest.approx(-0.010, abs=1e-3)


def test_slightly_higher_has_an_upper_bound() -> None:
    """Dark under C at 0.044 is 10 % above light under A at 0.040; at 0.060 it is 50 % above."""
    assert judged(paper_runs())[0].loc["C4", "verdict"] == "supported"
    changed = {("C", 1.0): (0.065, 0.060)}
    claims, _ = judged(paper_runs(mse=changed))
    assert claims.loc["C4", "verdict"] == "contradicted"
    assert "1.25 times light MSE under A" in claims.loc["C4", "sentence"]


def test_noise_gives_no_verdict() -> None:
    claims, _ = judged(paper_runs(jitter=40.0))
    assert set(claims.loc[["C1", "C2", "C4", "C5"], "verdict"]) == {"inconclusive"}


def test_no_difference_is_not_supported_by_noise() -> None:
    """Latent standard deviations that scatter far beyond the margin are no evidence of equality."""
    claims, _ = judged(paper_runs(jitter=200.0))
    assert claims.loc["C6", "verdict"] == "inconclusive"


def test_latent_std_beyond_the_margin_contradicts() -> None:
    runs = paper_runs()
    runs.loc[(runs["group"] == "dark") & (runs["train_set"] == "A"), "latent_std"] *= 1.2
    claims, _ = judged(runs)
    assert claims.loc["C6", "verdict"] == "contradicted"
    assert claims.loc["C6", "estimate"] == pytest.approx(0.16, abs=0.01)


def test_one_run_is_not_testable_and_has_no_interval() -> None:
    claims, gaps = judged(paper_runs(n=1))
    assert set(claims["verdict"]) == {"not testable"}
    assert claims[["ci_low", "ci_high", "p", "p_holm"]].isna().all().all()
    assert gaps[["ci_low", "ci_high", "p", "se", "dz", "ratio_low", "p_wilcoxon", "p_holm"]].isna().all().all()
    assert gaps["gap"].notna().all()
    assert "1 run, and a test over runs needs at least 3" in claims.loc["C2", "sentence"]


def test_a_training_set_with_a_third_group_is_none_of_the_papers() -> None:
    """Half light, half of a third group: no dark image, as in A, but not A; nor is it a point of a trend."""
    runs = paper_runs()
    like_a = runs[runs["train_set"] == "A"].assign(train_set="D", mse=1.0, latent_std=5.0)
    claims, _ = judged(pd.concat([runs, like_a], ignore_index=True), {"D": 0.5})
    alone = judged(runs)[0]
    for claim in ("C1", "C2", "C3", "C4", "C5", "C7"):
        # What is compared is the same; how far models differ is judged with those of D.
        facts = [
            re.split("Deciding|Tested", re.sub(r"\(.*?\)", "", str(table.loc[claim, "sentence"])))[0]
            for table in (claims, alone)
        ]
        assert facts[0] == facts[1], claim
    lost, _ = judged(pd.concat([runs[runs["train_set"] != "A"], like_a], ignore_index=True), {"D": 0.5})
    assert "no training set of light and dark images alone with a dark share of 0" in lost.loc["C3", "sentence"]


def test_constant_runs_are_not_testable() -> None:
    claims, _ = judged(paper_runs(jitter=0.0))
    assert set(claims["verdict"]) == {"not testable"}
    assert "all runs give the same number" in claims.loc["C3", "sentence"]


def test_claims_need_their_training_sets() -> None:
    runs = paper_runs()
    claims, _ = judged(runs[runs["train_set"] != "B"])
    assert claims.loc[["C1", "C2"], "verdict"].tolist() == ["not testable"] * 2
    assert "no training set with a dark share of 0.5" in claims.loc["C2", "sentence"]
    assert claims.loc["C3", "verdict"] == "supported"


def test_sets_are_found_by_dark_share_not_by_name() -> None:
    runs = paper_runs()
    renamed = runs.assign(train_set=runs["train_set"].map({"A": "zero", "B": "half", "C": "all"}))
    before, after = judged(runs)[0], judged(renamed)[0]
    assert before["p"].to_numpy() == pytest.approx(after["p"].to_numpy())
    assert "under zero" in after.loc["C3", "sentence"]


def test_a_sweep_tests_trends() -> None:
    """Dark MSE falls by 0.02 and light MSE rises by 0.01 from share 0 to 1, in a straight line."""
    means = {}
    for i, share in enumerate([0.0, 0.25, 0.5, 0.75, 1.0]):
        light, dark = np.roll(JITTER, i), np.roll(JITTER, i + 5)
        means[f"s{i}", share] = {
            "light": {"mse": 0.04 + 0.01 * share + light, "latent_std": 0.8 + light, "kl": 1 + light},
            "dark": {"mse": 0.06 - 0.02 * share + dark, "latent_std": 0.8 + dark, "kl": 1 + light},
        }
    claims, _ = judged(runs_of(means))
    assert claims.loc["C1", "verdict"] == "supported"
    assert claims.loc["C1", "estimate"] == pytest.approx(0.01, abs=0.002)
    assert "slope" in claims.loc["C1", "test"]
