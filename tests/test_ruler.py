"""What known damages cost: exact anchors, and a ruler that is known to be crooked."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from paper import LIGHT_DARK
from safetensors.torch import save_file
from scipy import stats
from simulated import RULES
from test_lpips import weights
from workflow import ROOT

import measure_ruler as measure_ruler_script
import summarise_ruler
from evenhand.evaluation.measures import MEASURES, RULED
from evenhand.evaluation.ruler import DAMAGES, THIRDS, blurred, choose_slow, damaged, measure_ruler, thirds
from evenhand.models.lpips import NETWORKS, Lpips
from evenhand.models.perceptual import PerceptualLoss
from evenhand.models.vgg19 import random_weights
from evenhand.splits.groups import Pair
from evenhand.stats.crossed import CrossedSums
from evenhand.stats.further_claims import ruler_claim
from evenhand.stats.gaps import RunTable, run_table
from evenhand.stats.ruler import (
    BIAS,
    bias_table,
    cluster_mean,
    equivalent_table,
    equivalent_test,
    ratio_over_clusters,
    readings,
    ruler_table,
    treatment,
    with_bias,
)
from evenhand.stats.verdicts import verdict_table
from evenhand.workflow.tables import read_table, write_csv, write_image_table

PAIR = Pair("light", "dark")
SIDE = 32
ALEX = NETWORKS[1]


def pictures(n: int) -> np.ndarray:
    """Smooth random pictures of skin's colour, uint8 (n, SIDE, SIDE, 3)."""
    numbers = np.random.default_rng(0).normal(0, 60, (n, SIDE, SIDE, 3)).astype(np.float32)
    smooth = blurred(numbers, 1.5, numbers) * 3
    return np.clip(np.array([200, 150, 120]) + smooth, 0, 255).astype(np.uint8)


def costs_of(images: np.ndarray, rows: list[int], slow: list[bool], workers: int = 1) -> pd.DataFrame:
    networks = {"perceptual": PerceptualLoss(random_weights(0), False), "lpips": Lpips(ALEX, weights(ALEX))}
    names = [f"image {row}" for row in rows]
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file.name, images)
        return measure_ruler(
            file.name, np.array(rows), names, np.array(slow), networks, skin=True, seed=1, workers=workers
        )


def cost(measure: str, image: np.ndarray, other: np.ndarray) -> float:
    tensors = [torch.from_numpy(x).permute(0, 3, 1, 2) for x in (image, other)]
    return float(MEASURES[measure].of(*tensors))


def test_blur_of_a_third_of_the_contrast() -> None:
    image = (pictures(1).astype(np.float32) / 127.5 - 1) * np.float32(0.9)
    mean = image.mean(axis=(1, 2), keepdims=True)
    flat = mean + np.float32(0.35) * (image - mean)
    for radius in DAMAGES["blur"].steps:
        plain, fainter = ((x, np.asarray(blurred(x, radius, x))) for x in (image, flat))
        assert cost("mse", *fainter) == pytest.approx(0.1225 * cost("mse", *plain), rel=1e-4)
        assert cost("mse_over_var", *fainter) == pytest.approx(cost("mse_over_var", *plain), rel=1e-4)


def test_every_measure_finds_more_damage_worse() -> None:
    costs = costs_of(pictures(3), [0, 1, 2], [True] * 3)
    for damage, kind in DAMAGES.items():
        means = costs[costs["damage"] == damage].groupby("step", sort=False)[list(RULED)].mean()
        assert means.index.tolist() == list(kind.steps)
        assert (means > 0).all().all()
        assert (means.diff().dropna() > 0).all().all(), damage


def test_damages_by_hand() -> None:
    grey = np.zeros((2, 8, 8, 3), np.float32)  # 127.5 of 255
    noise = np.random.default_rng(0).standard_normal(grey.shape).astype(np.float32)
    steps = [(name, step) for name, damage in DAMAGES.items() for step in damage.steps]
    spoiled = dict(zip(steps, damaged(grey, noise), strict=True))
    assert not spoiled["blur", 4].any()
    np.testing.assert_allclose(spoiled["noise", 10], noise * 20 / 255, atol=1e-7)
    np.testing.assert_allclose(spoiled["tint", 0.1][0, 0, 0], [0.1, 0, -0.1], atol=1e-7)
    white = dict(zip(steps, damaged(grey + 1, noise), strict=True))
    assert all(np.abs(found).max() <= 1 for found in white.values())
    assert white["JPEG", 90].min() > 0.98


def test_no_image_changes_the_numbers_of_another() -> None:
    images = pictures(40)  # more than one batch
    rows = list(range(40))
    whole = costs_of(images, rows, [row == 35 for row in rows], workers=2)
    alone = costs_of(images, [35], [True])
    of_35 = whole[whole["id"] == "image 35"].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_35, alone, check_exact=True)
    assert whole[whole["id"] != "image 35"][["perceptual", "lpips"]].isna().all().all()
    assert whole[[name for name in RULED if MEASURES[name].needs == "images"]].notna().all().all()


def test_the_slow_ones_do_not_depend_on_the_order() -> None:
    ids, groups = [f"i{n}" for n in range(20)], ["light"] * 15 + ["dark"] * 5
    chosen = choose_slow(ids, groups, 7, 3)
    backwards = choose_slow(ids[::-1], groups[::-1], 7, 3)
    assert chosen.tolist() == backwards[::-1].tolist()
    assert pd.Series(chosen).groupby(groups).sum().to_dict() == {"dark": 5, "light": 7}


def test_the_scripts_measure_and_summarise_the_images_of_the_groups(tmp_path: Path) -> None:
    n = 12
    images = pictures(n)
    np.save(tmp_path / "images.npy", images)
    index = pd.DataFrame({"row": range(n), "id": [f"i{k}" for k in range(n)], "skin_type": [1, 5, 3] * 4})
    index["second_skin_type"] = -1
    for column in ("condition", "condition_2", "condition_3", "source"):
        index[column] = "a"
    write_image_table(index, tmp_path / "images.csv")
    write_image_table(index[["id"]].assign(tone_class=["dark", "", "light"] * 4), tmp_path / "tone.csv")
    write_csv(pd.DataFrame({"id": ["i0", "i3"], "cluster": "i0", "size": 2}), tmp_path / "together.csv")
    save_file(random_weights(0), tmp_path / "features.safetensors")
    settings = {"groups": LIGHT_DARK, "seed": 1, "slow_images": 2, "perceptual_normalize": False}
    torch.save(weights(ALEX), tmp_path / "lpips.pth")
    options = {"images": "images.npy", "index": "images.csv", "tone": "tone.csv", "features": "features.safetensors"}
    options["lpips"] = "lpips.pth"
    named = [text for name, file in options.items() for text in (f"--{name}", str(tmp_path / file))]
    measure_ruler_script.main([*named, "--config", json.dumps(settings), "--output", str(tmp_path / "ruler.parquet")])
    costs = pd.read_parquet(tmp_path / "ruler.parquet")
    steps = sum(len(damage.steps) for damage in DAMAGES.values())
    assert len(costs) == steps * 8  # skin type 3 is in no group
    for name in ("perceptual", "lpips"):
        assert costs.groupby("group")[name].count().to_dict() == {"dark": 2 * steps, "light": 2 * steps}
    summarise_ruler.main(
        [
            *("--costs", str(tmp_path / "ruler.parquet"), "--clusters", str(tmp_path / "together.csv")),
            *("--config", json.dumps({"groups": LIGHT_DARK, "alpha": 0.05, "margin": 0.1})),
            *("--ruler", str(tmp_path / "ruler.csv"), "--bias", str(tmp_path / "bias.csv")),
        ]
    )
    table, bias = read_table(tmp_path / "ruler.csv"), read_table(tmp_path / "bias.csv")
    described = yaml.safe_load((ROOT / "schemas" / "tables.yaml").read_text())
    for name, found in (("ruler", table), ("ruler_bias", bias)):
        assert found.columns.tolist() == [column for column in described[name] if not column.startswith("$")]
    assert table.groupby("by")["value"].unique().map(sorted).to_dict() == {
        "group": ["dark", "light"],
        "luminance": sorted(THIRDS),
        "tone_class": ["dark"],  # the rest of the images of the groups have none
    }
    assert len(bias) == steps * len(RULED)


def planted(factor: float, n: int) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    """Costs of `n` images a group, `factor` times as high in the dark one, with group and cluster of each row."""
    random = np.random.default_rng(5)
    costs = pd.DataFrame({"id": [f"i{k}" for k in range(2 * n)], "damage": "blur", "step": 1.0})
    costs["mse"] = random.lognormal(0, 0.5, 2 * n) * np.repeat([1, factor], n)
    costs["ssim"] = random.lognormal(0, 0.05, 2 * n)
    return costs, pd.Series(np.repeat(PAIR, n)), costs["id"]


def test_a_crooked_measure_is_found_and_a_straight_one_is_cleared() -> None:
    table = bias_table(*planted(1.5, 400), [PAIR], 0.95, 0.1)
    assert dict(zip(table["measure"], table["treatment"], strict=True)) == {"mse": "unlike", "ssim": "alike"}
    assert table["ci_low"][0] < 1.5 < table["ci_high"][0]
    assert table[["n_reference", "n_compared"]].to_numpy().tolist() == [[400, 400]] * 2
    assert bias_table(*planted(1.05, 20), [PAIR], 0.95, 0.1)["treatment"].tolist()[0] == "undecided"


def test_treatment_at_the_margin() -> None:
    assert treatment(1 / 1.1, 1.1, 0.1) == "alike"
    assert treatment(1.1, 1.3, 0.1) == "undecided"
    assert treatment(1.1001, 1.3, 0.1) == "unlike"
    assert treatment(0.5, 0.9, 0.1) == "unlike"
    assert treatment(np.nan, np.nan, 0.1) == "undecided"


def test_standard_errors_are_those_of_the_mean_and_clusters_count_once() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    names = np.array(["a", "b", "c", "d"])
    once = cluster_mean(values, pd.Series(names))
    assert once[0] == 4
    assert once[1] == pytest.approx(stats.sem(values))
    assert 0 < once[2] <= 3
    assert cluster_mean(np.repeat(values, 2), pd.Series(np.repeat(names, 2))) == pytest.approx(once)
    assert np.isnan(cluster_mean(values, pd.Series(["a"] * 4))[1:]).all()


def test_intervals_of_ratios_hold_the_ratio() -> None:
    random, held = np.random.default_rng(2), 0
    for _ in range(400):
        above, below = (pd.Series(scale * random.lognormal(0, 0.5, 60)) for scale in (1.2, 1.0))
        above.index += 60
        clusters = pd.Series(np.arange(120))
        _, low, high = ratio_over_clusters(above, below, clusters, 0.95)
        held += low < 1.2 < high
    assert held >= 0.93 * 400


def test_the_table_leaves_out_what_is_in_no_part_and_what_was_not_measured() -> None:
    costs, group, clusters = planted(1.5, 3)
    costs.loc[0, "mse"] = np.nan
    parts = pd.DataFrame({"group": group, "tone": ["", *["dark"] * 5]})
    table = ruler_table(costs, parts, clusters, 0.95)
    assert table.set_index(["by", "value", "measure"])["n_images"].to_dict() == {
        ("group", "dark", "mse"): 3,
        ("group", "dark", "ssim"): 3,
        ("group", "light", "mse"): 2,
        ("group", "light", "ssim"): 3,
        ("tone", "dark", "mse"): 5,
        ("tone", "dark", "ssim"): 5,
    }
    row = table[(table["by"] == "group") & (table["value"] == "dark")].iloc[0]
    assert row["cost"] == pytest.approx(costs["mse"][3:].mean())
    assert row["ci_low"] < row["cost"] < row["ci_high"]


def test_thirds_are_of_equal_size() -> None:
    found = pd.Series(thirds(np.random.default_rng(0).random(99))).value_counts()
    assert found.to_dict() == {"darkest third": 33, "middle third": 33, "lightest third": 33}


STEPS = np.array([0.5, 1.0, 2.0, 4.0, 8.0])
DESIGN = pd.DataFrame({"train_set": ["B"], "compared_share": 0.5, "reference_share": 0.5})
DESIGN = DESIGN.assign(distinct=900.0, test_size=200, shared=0.5)


def ladder_of(hard: dict[str, np.ndarray], measure: str = "mse") -> pd.DataFrame:
    """tables/ruler.csv of blurs that cost an image `hard` times the step to the 1.7."""
    parts = []
    for group, factors in hard.items():
        for step in STEPS:
            part = pd.DataFrame({"id": [f"{group}{k}" for k in range(len(factors))], "group": group, "step": step})
            parts.append(part.assign(damage="blur", **{measure: 0.01 * factors * step**1.7}))
    costs = pd.concat(parts, ignore_index=True)
    return ruler_table(costs, costs[["group"]], costs["id"], 0.95)


def study_of(errors: dict[str, np.ndarray], metric: str = "mse") -> RunTable:
    """Run means of models of one training set B, from errors (runs, images) of each group, the same images in all."""
    runs, sums = [], CrossedSums(list(errors), [metric])
    for group, values in errors.items():
        for run, of_run in enumerate(values):
            row = {"train_set": "B", "compared_share": 0.5, "run": run, "group": group, metric: of_run.mean()}
            runs.append(row | {"n_images": len(of_run)})
            sums.add_values(group, range(len(of_run)), ["B"], of_run[:, None, None])
    return run_table(pd.DataFrame(runs), sums.table(), DESIGN, PAIR, [metric])


def planted_study(
    blur: dict[str, float], charge: float, seed: int = 0, metric: str = "mse"
) -> tuple[RunTable, pd.DataFrame]:
    """Models that err as a blur of so many px, and a measure that charges the dark group `charge` times as much."""
    random = np.random.default_rng(seed)
    hard = {name: random.lognormal(0, 0.5, 200) * (charge if name == "dark" else 1) for name in PAIR}
    wobble = random.normal(1, 0.02, 4)
    errors = {name: 0.01 * np.outer(wobble, hard[name]) * blur[name] ** 1.7 for name in PAIR}
    return study_of(errors, metric), ladder_of(hard, metric)


def test_calibration_undoes_what_a_measure_charges_a_group_more(tmp_path: Path) -> None:
    """The same blur of both groups: the gap of the measure is all ruler, and the ruler says so."""
    table, ruler = planted_study({"light": 3.0, "dark": 3.0}, charge=1.6)
    plain, straight = planted_study({"light": 3.0, "dark": 3.0}, charge=1.0)
    found, other = (equivalent_table(*of, 0.05).iloc[0] for of in ((table, ruler), (plain, straight)))
    assert table.gap("mse", "B").mean() > 0.3 * table.values["mse"]["B", "light"].mean()
    np.testing.assert_allclose(found[["reference", "equivalent", "ratio"]].astype(float), [3, 3, 1], rtol=0.01)
    # Not approximately: whatever the images, the factor is in errors and ladder alike.
    for column in ("reference", "equivalent", "gap", "ci_low", "ci_high", "ratio", "ratio_low", "ratio_high"):
        assert found[column] == pytest.approx(other[column], rel=1e-9), column
    costs, group, clusters = planted(1.6, 400)
    write_csv(bias_table(costs, group, clusters, [PAIR], 0.95, 0.1), tmp_path / "ruler_bias.csv")
    gaps = pd.DataFrame({"compared": "dark", "metric": ["mse", "kl"]})
    beside = with_bias(gaps, tmp_path / "ruler_bias.csv")
    assert beside["bias_low"][0] < 1.6 < beside["bias_high"][0]
    assert beside.loc[1, BIAS].isna().all()
    assert with_bias(gaps, None)[BIAS].isna().all().all()


def test_equivalents_hold_the_truth_with_the_uncertainty_of_errors_and_ladder() -> None:
    """Ladder and errors of different images, which is what the interval is made for."""
    random, held, without = np.random.default_rng(4), 0, 0
    for _ in range(100):
        hard = {name: random.lognormal(0, 0.5, 30) for name in PAIR}
        steps = [(name, step, 0.01 * of.mean() * step**1.7, 0.01 * stats.sem(of) * step**1.7)
                 for name, of in hard.items() for step in STEPS]  # fmt: skip
        ruler = pd.DataFrame(steps, columns=["value", "step", "cost", "se"])
        ruler = ruler.assign(measure="mse", damage="blur", by="group", df=29.0)
        errors = {
            name: 0.01 * blur**1.7 * np.outer(random.normal(1, 0.05, 5), random.lognormal(0, 0.5, 60))
            for name, blur in (("light", 2.5), ("dark", 3.5))
        }
        table = study_of(errors)
        found = equivalent_test(table, readings(table, ruler, "mse", "B"), "mse", "B", log=True)
        low, high = found.interval(0.95)
        held += low < np.log(3.5 / 2.5) < high
        narrow = found.fixed / found.se**2
        without += abs(found.mean - np.log(1.4)) < 1.96 * found.se * np.sqrt(1 - narrow)
    assert held >= 91
    assert without < 85


def test_similarity_is_read_by_what_it_lacks() -> None:
    table, ruler = planted_study({"light": 2.0, "dark": 3.0}, charge=1.3, metric="ssim")
    flipped = replace(table, values={"ssim": {cell: 1 - values for cell, values in table.values["ssim"].items()}})
    flipped = replace(flipped, crossed={"ssim": replace(table.crossed["ssim"], runs=1 - table.crossed["ssim"].runs)})
    row = equivalent_table(flipped, ruler, 0.05).iloc[0]
    np.testing.assert_allclose(row[["reference", "equivalent"]].astype(float), [2, 3], rtol=0.02)
    assert row["ci_low"] < 1.0 < row["ci_high"]


def verdict_of(studies: list[tuple[RunTable, pd.DataFrame]]) -> pd.Series:
    tables, rulers = zip(*studies, strict=True)
    case = ruler_claim(tables, pd.concat(rulers), PAIR, RULES, 0.1)
    return verdict_table([case], 0.05, 3).iloc[0]


def test_the_claim_of_the_ruler() -> None:
    """Worse on every measure; on one not; beyond what the ladder costs; without a ruler."""
    worse, better = {"light": 2.0, "dark": 3.0}, {"light": 3.0, "dark": 2.6}
    mse, crooked = planted_study(worse, 0.3), planted_study(better, 1.6, metric="perceptual")
    assert verdict_of([mse, planted_study(worse, 1.6, metric="perceptual")])["verdict"] == "supported"
    found = verdict_of([mse, crooked])
    assert found["verdict"] == "contradicted"
    assert "perceptual distance" in found["sentence"]
    beyond = verdict_of([planted_study({"light": 2.0, "dark": 9.0}, 1.0)])
    assert beyond["verdict"] == "not testable"
    assert "dark: an error of" in beyond["sentence"]
    assert "lies beyond the ladder" in beyond["sentence"]
    none = verdict_table([ruler_claim([mse[0]], None, PAIR, RULES, 0.1)], 0.05, 3).iloc[0]
    assert none["sentence"] == "Not tested: the ruler was not measured (report.ruler)."
