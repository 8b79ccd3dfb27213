"""Subsets, sweeps, pooling and the claim on adjusted gaps."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import DARK, GROUPS, LIGHT, NO_IMAGES, PAIR, ROOT, RULES, covariances_of

import estimate_sweep
from evenhand.splits.groups import TrainSet, groups_from
from evenhand.stats.crossed import crossed
from evenhand.stats.gaps import RunTable, sweep_table
from evenhand.stats.image_claims import adjusted_claim
from evenhand.stats.rows import by_run
from evenhand.stats.subsets import agreement, columns_for_subsets, parts_of, subset_means, subset_table
from evenhand.stats.summary import IMAGE_INDEX, pooled_conditions
from evenhand.stats.verdicts import verdict_table
from evenhand.workflow.tables import write_csv


def test_annotator_and_source_subsets_by_hand() -> None:
    rows = pd.DataFrame(
        {
            "group": ["light", "light", "dark", "dark"] * 2,
            "run": [0] * 4 + [1] * 4,
            "mse": [1.0, 3.0, 5.0, 9.0, 1.0, 3.0, 5.0, 11.0],
            "skin_type": [1, 2, 5, 6] * 2,
            "second_skin_type": [1, 2, 5, 3] * 2,
            "source": ["x", "y", "x", "x"] * 2,
        }
    ).assign(train_set="A", compared_share=0.0, id=list("abcd") * 2)
    parts = [parts_of(run, GROUPS) for run in by_run(rows)]
    means = pd.concat([subset_means(part, ["mse"]) for part in parts])
    covariances = {name: covariances_of(pd.concat([part[name] for part in parts]), ["mse"]) for name in parts[0]}
    table = subset_table(means, covariances, PAIR, ["mse"], 0.05).set_index("subset")
    assert table.loc["all", "gap"] == pytest.approx((5.0 + 6.0) / 2)
    assert table.loc["annotators agree", "gap"] == 3.0
    assert table.loc["annotators agree", ["n_reference", "n_compared"]].tolist() == [2, 1]
    assert table.loc["source x", "gap"] == pytest.approx((6.0 + 7.0) / 2)
    assert math.isnan(table.loc["source y", "gap"])
    assert "no dark image" in table.loc["source y", "note"]


def test_second_opinion_is_that_of_the_other_annotators() -> None:
    rows = pd.DataFrame(
        {"group": ["light", "light", "dark"], "skin_type": [1, 2, 5], "second_skin_type": [6, 2, -1], "sex": ["f"] * 3}
    )
    assert agreement(rows, GROUPS).tolist() == [False, True, False]
    by_other = [LIGHT | {"where": {"second_skin_type": [1, 2]}}, DARK | {"where": {"second_skin_type": [5, 6]}}]
    assert agreement(rows, groups_from(by_other)).tolist() == [
        True,
        True,
        True,
    ]  # now the first annotators are the others
    # An evaluation does not have the other columns that decide on the groups, and two groups may have the same types.
    women = groups_from([LIGHT | {"where": {"skin_type": [2], "sex": ["f"]}}, DARK | {"where": {"skin_type": [2]}}])
    assert agreement(rows.drop(columns="sex"), women).tolist() == [False, True, False]
    assert columns_for_subsets(women) == ["source", "second_skin_type"]


@pytest.mark.parametrize("where", [{"sex": ["f"]}, {"skin_type": [1], "second_skin_type": [1]}])
def test_without_a_second_opinion_there_is_no_agreement(where: dict[str, list[object]]) -> None:
    groups = groups_from([LIGHT | {"where": where}, DARK | {"where": where}])
    row = {"group": "light", "run": 0, "train_set": "A", "compared_share": 0.0, "source": "x", "mse": 1.0}
    assert columns_for_subsets(groups) == ["source"]
    assert set(parts_of(pd.DataFrame([row]), groups)) == {"all", "source x"}


def sweep_runs(gap_at_zero: float, gap_at_one: float, noise: float = 1e-4) -> RunTable:
    shares = {f"s{i}": i / 4 for i in range(5)}
    rng = np.random.default_rng(1)
    values = {}
    for name, share in shares.items():
        gap = gap_at_zero + share * (gap_at_one - gap_at_zero)
        values[name, "light"] = 0.05 + rng.normal(0, noise, 6)
        values[name, "dark"] = 0.05 + gap + rng.normal(0, noise, 6)
    tests, training = dict.fromkeys(shares, 50), dict.fromkeys(shares, 150.0)
    light = {name: 1 - share for name, share in shares.items()}
    of = {"mse": crossed(values, NO_IMAGES, "mse", tuple(shares), PAIR)}
    return RunTable(PAIR, tuple(range(6)), shares, light, {"mse": values}, of, tests, training, {})


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


def test_a_training_set_with_a_third_group_is_no_point_of_the_sweep() -> None:
    table = sweep_runs(0.03, -0.01)
    before = sweep_table(table, "mse", 0.05)
    mse = {**table.values["mse"], ("D", "light"): np.arange(6.0), ("D", "dark"): np.ones(6)}
    others = {"shares": table.shares | {"D": 0.5}, "reference_shares": table.reference_shares | {"D": 0.2}}
    of = {"mse": crossed(mse, NO_IMAGES, "mse", (*table.shares, "D"), PAIR)}
    after = sweep_table(replace(table, values={"mse": mse}, crossed=of, **others), "mse", 0.05)
    assert after["estimate"].tolist() == pytest.approx(before["estimate"].tolist(), nan_ok=True)
    assert after["note"].str.startswith("left out for images of other groups: D").all()


def test_the_share_of_a_further_pair_is_that_of_its_own_group(tmp_path: Path) -> None:
    """From a set of light images to one of a third group: its errors fall by 0.02 and the light ones rise by 0.01."""
    mse = {"A": {"light": 0.04, "dark": 0.07, "medium": 0.06}, "M": {"light": 0.05, "dark": 0.07, "medium": 0.04}}
    rows = [
        {
            "train_set": name,
            "compared_share": 0.0,
            "run": run,
            "group": group,
            "mse": mean + run * 1e-3,
            "latent_std": 1.0,
        }
        for name, means in mse.items()
        for group, mean in means.items()
        for run in range(3)
    ]
    write_csv(pd.DataFrame(rows), tmp_path / "runs.csv")
    write_csv(NO_IMAGES, tmp_path / "covariances.csv")
    design = pd.DataFrame({"train_set": ["A", "M"], "reference_share": [1.0, 0.0], "distinct": 50.0, "shared": 0.5})
    write_csv(design.assign(test_size=10), tmp_path / "design.csv")
    sets = [TrainSet("A", {"light": 1.0}), TrainSet("M", {"medium": 1.0})]
    (tmp_path / "train_sets.json").write_text(json.dumps([train_set._asdict() for train_set in sets]))
    groups = [LIGHT, DARK, {"name": "medium", "title": "medium", "where": {"skin_type": [3]}}]
    config = json.dumps({"stats": {"alpha": 0.05}, "groups": groups})
    read = [f"{tmp_path}/{name}" for name in ("runs.csv", "covariances.csv", "design.csv", "train_sets.json")]
    estimate_sweep.main(["--config", config, "--read", *read, "--write", f"{tmp_path}/sweep.csv"])
    sweep = pd.read_csv(tmp_path / "sweep.csv")
    sweep = sweep[sweep["metric"] == "mse"].set_index(["compared", "quantity"])
    assert sweep.loc["dark", "note"].tolist() == [
        "left out for images of other groups: M; a sweep needs training sets with at least two different dark shares"
    ]
    slopes = [sweep.loc[("medium", f"slope of {which}"), "estimate"] for which in ("light", "medium", "gap")]
    assert slopes == pytest.approx([0.01, -0.02, -0.03])
    # From 0.02 to -0.01: two thirds of the way.
    assert sweep.loc[("medium", "crossing"), "estimate"] == pytest.approx(2 / 3)


def image_totals(means: dict[str, list[float]]) -> pd.DataFrame:
    rows = [
        ["A", 0.0, label, group, f"{group}{label}{i}", 1, value]
        for group in PAIR
        for label, values in means.items()
        for i, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=[*IMAGE_INDEX, "n", "total"]).set_index(IMAGE_INDEX)


def run_errors(*means: float) -> pd.DataFrame:
    """The mean error of each run, the same in both groups."""
    rows = [("A", group, run, mean) for group in PAIR for run, mean in enumerate(means)]
    return pd.DataFrame(rows, columns=["train_set", "group", "run", "mse"])


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_pooling_draws_towards_the_mean_and_rare_conditions_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = {f"c{k}": list(rng.normal(rng.normal(0, 1), 1, size)) for k, size in enumerate([1, 2, 5, 10, 40])}
    table = pooled_conditions(image_totals(values), run_errors(1.0, 1.1), PAIR, 0.95)
    part = table[table["group"] == "dark"].sort_values("n_images")
    assert part["weight"].is_monotonic_increasing
    assert part["weight"].between(0, 1).all()
    mu = (part["estimate"] - part["weight"] * part["raw"]) / (1 - part["weight"])
    assert np.ptp(mu[part["weight"] < 1 - 1e-6]) < 1e-6  # all are drawn to the same mean
    assert ((part["ci_low"] <= part["estimate"]) & (part["estimate"] <= part["ci_high"])).all()


def test_pooled_intervals_know_how_models_differ() -> None:
    """Run means 0.9, 1 and 1.1 have a relative variance of 0.01; a third of it is added, times the squared estimate."""
    totals = image_totals({"acne": [1.0, 1.2, 0.8], "wart": [2.0, 2.3], "mole": [0.4, 0.5, 0.3, 0.45]})
    alone = pooled_conditions(totals, run_errors(1.0), PAIR, 0.95)
    table = pooled_conditions(totals, run_errors(0.9, 1.0, 1.1), PAIR, 0.95)
    assert alone["note"].str.contains("one run").all()
    assert not table["note"].str.contains("one run").any()
    assert table["estimate"].equals(alone["estimate"])
    half, half_alone = ((part["ci_high"] - part["ci_low"]) / 2 for part in (table, alone))
    added = 1.959964**2 * table["estimate"] ** 2 * 0.01 / 3
    assert (half**2).to_numpy() == pytest.approx((half_alone**2 + added).to_numpy(), rel=1e-6)


def test_pooling_says_why_it_cannot() -> None:
    few = pooled_conditions(image_totals({"acne": [1.0, 2.0], "wart": [3.0]}), run_errors(1.0, 2.0), PAIR, 0.95)
    assert few["estimate"].isna().all()
    assert few["note"].str.contains("three conditions").all()
    same = pooled_conditions(image_totals({name: [0.1, 0.1] for name in "abc"}), run_errors(0.1, 0.2), PAIR, 0.95)
    assert same["note"].str.contains("do not differ").all()


def adjusted_verdict(**row: float) -> pd.Series:
    values = np.array([0.05, 0.06, 0.07])
    mse = {("B", group): values for group in PAIR}
    table = RunTable(PAIR, (0, 1, 2), {"B": 0.5}, {"B": 0.5}, {"mse": mse}, {}, {}, {}, {})
    common = {"train_set": "B", "n_strata": 3, "coverage": 0.8, "crude_gap": 0.02, "n_runs": 3, "p_vanish": 1.0}
    common |= {"se_images": 0.003, "se_models": 0.004, "se_within": 0.004, "df": 4.0}
    common |= {"df_images": 50.0, "df_pooled": 0.0}
    of_condition = {"adjustment": "condition", "relative": row["gap"] / 0.06}
    rows = [common | {"adjustment": "none", "gap": 0.03}, common | of_condition | row]
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
    root = yaml.compose((ROOT / "schemas" / "tables.yaml").read_text())
    for mapping in [root, *(entry for _, entry in root.value)]:
        names = [key.value for key, _ in mapping.value]
        assert len(names) == len(set(names)), names
