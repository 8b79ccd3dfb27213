"""Every statistics script on a small simulated study on disk: the tables and what they promise."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import adjust_gaps
import compare_samples
import compare_subsets
import estimate_gaps
import estimate_sweep
import judge_claims
import measure_colour
import score_uncertainty
import summarise_metadata
import summarise_runs
from evenhand.stats.rules import rules_from
from evenhand.stats.simulate import Truth, simulate_study
from evenhand.workflow.tables import write_csv, write_parquet

ROOT = Path(__file__).parents[1]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())["stats"] | {"resamples": 200}
RULES = rules_from(CONFIG)


def write_study(
    folder: Path, shuffle: int | None, change: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows
) -> None:
    """A small simulated study on disk, with every column of an evaluation; `change` is applied to all rows."""
    rng = np.random.default_rng(3)
    truth = Truth(n_light=300, n_dark=120, test_size=40, train_size=60, runs=3, condition=0.3)
    rows, design = simulate_study(truth, rng)
    dark = (rows["group"] == "dark").to_numpy()
    rows["fitzpatrick_scale"] = np.where(dark, 5, 1)
    rows["fitzpatrick_centaur"] = np.where(rows["md5hash"].str[-1] == "7", 3, rows["fitzpatrick_scale"])
    tone = dict(zip(rows["md5hash"], np.where(dark, -20, 45) + rng.normal(0, 10, len(rows)), strict=True))
    rows["ita_in"] = rows["md5hash"].map(tone).where(rows["md5hash"].str[-1] != "3")
    for column in ("ita_out", "dl", "da", "db"):
        rows[column] = rows["ita_in"] * 0.01 + rng.normal(0, 1, len(rows))
    rows["ciede2000"] = rows["dl"].abs()
    for column in ("psnr", "ssim", "mse_over_var", "perceptual", "decoding_var"):
        rows[column] = rows["mse"] * rng.uniform(0.9, 1.1, len(rows))
    rows = change(rows)
    images = rows[["md5hash", "group"]].drop_duplicates()
    write_csv(images.iloc[:20].assign(cluster=(np.arange(20) // 2).astype(str), size=2), folder / "duplicates.csv")
    for train_set, part in rows[rows["run"] == 0].groupby("train_set"):
        ensemble = part[["md5hash", "group"]].assign(n_models=3, ensemble_var=rng.exponential(size=len(part)))
        write_parquet(ensemble.reset_index(drop=True), folder / "runs" / train_set / "ensemble.parquet")
    for (train_set, run), part in rows.groupby(["train_set", "run"]):
        table = part if shuffle is None else part.sample(frac=1, random_state=shuffle)
        of_model = folder / "runs" / train_set / f"run{run}"
        write_parquet(table.reset_index(drop=True), of_model / "evaluation.parquet")
        samples = table.assign(source=np.where(table["mse"] > 0.05, "prior", "training"), ita=table["ita_in"])
        write_parquet(samples[["train_set", "dark_share", "run", "source", "ita"]], of_model / "samples.parquet")
    write_csv(design if shuffle is None else design.iloc[::-1], folder / "design.csv")
    metadata = rows.drop_duplicates("md5hash").assign(nine_partition_label="x", three_partition_label="y")
    write_csv(metadata if shuffle is None else metadata.iloc[::-1], folder / "metadata.csv")


def run_stages(folder: Path, train_sets: str, runs: int = 3, alpha: float = 0.05) -> dict[str, Path]:
    """Every statistics script, as the rules call them; the tables they wrote, by name."""
    tables = folder / "tables"
    stats = CONFIG | {"alpha": alpha}
    named = [{"name": name, "dark_share": 0.5} for name in train_sets]
    (folder / "train_sets.json").write_text(json.dumps(named))
    study = ["--evaluations", f"{folder}/runs", "--train-sets", f"{folder}/train_sets.json", "--runs", str(runs)]
    design = ["--design", f"{folder}/design.csv"]
    config = ["--config", json.dumps({"seed": 1, "stats": stats, "light": [1, 2], "dark": [5, 6]})]
    metadata = json.dumps(
        {"seed": 1, "label": "fitzpatrick_scale", "light": [1, 2], "dark": [5, 6]}
        | {key: stats[key] for key in ("resamples", "alpha")}
    )

    def at(*same: str, **renamed: str) -> list[str]:
        names = dict.fromkeys(same) | renamed
        return [part for o, n in names.items() for part in (f"--{o.replace('_', '-')}", f"{tables}/{n or o}.csv")]

    means_of_runs = at(run_means="runs")
    rows = ["--metadata", f"{folder}/metadata.csv", "--config", metadata]
    summarise_metadata.main([*rows, *at("fst_counts", "prevalence", "condition_mix")])
    means = at("headline", "conditions", pooled="pooled_conditions")
    summarise_runs.main([*study, "--level", str(1 - alpha), *means_of_runs, *means])
    duplicates = ["--duplicates", f"{folder}/duplicates.csv"]
    estimate_gaps.main([*study, *duplicates, *design, *config, *means_of_runs, *at(output="gaps")])
    adjust_gaps.main([*study, *duplicates, *config, *at("adjusted", "models")])
    compare_samples.main([*study, *design, *config, *at(output="samples")])
    score_uncertainty.main([*study, *design, *config, *at(output="uncertainty")])
    compare_subsets.main([*study, *design, *config, *at(output="subsets")])
    measure_colour.main([*study, *design, *config, *at("colour_runs", "colour", "tone_curves", "tone_slopes")])
    estimate_sweep.main([*design, *config, *means_of_runs, *at(output="sweep")])
    behind = at("gaps", "adjusted", "colour_runs", "condition_mix")
    judge_claims.main([*design, *config, *means_of_runs, *behind, *at(output="claims")])
    return {path.stem: path for path in sorted(tables.iterdir())}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("study")
    write_study(folder, None)
    return run_stages(folder, "ABC")


def test_row_order_changes_no_byte(tables: dict[str, Path], tmp_path: Path) -> None:
    write_study(tmp_path, 7)
    shuffled = run_stages(tmp_path, "CAB")
    assert shuffled.keys() == tables.keys()
    assert [name for name in tables if tables[name].read_bytes() != shuffled[name].read_bytes()] == []


def test_one_run_gives_every_table_and_no_verdict_over_runs(tmp_path: Path) -> None:
    write_study(tmp_path, None, lambda rows: rows[rows["run"] == 0])
    tables = run_stages(tmp_path, "ABC", runs=1)
    claims = pd.read_csv(tables["claims"]).set_index("claim")
    assert set(claims.drop("C8")["verdict"]) == {"not testable"}
    assert claims.drop("C8")["ci_low"].isna().all()
    assert claims.loc["C2", "sentence"].endswith("at least 3 (stats.min_runs).")
    gaps = pd.read_csv(tables["gaps"])
    assert gaps[["gap", "boot_low", "boot_high"]].notna().all().all()
    assert gaps[["ci_low", "p", "p_holm", "se"]].isna().all().all()
    assert set(gaps["boot_covers"]) == {"images"}


def test_groups_without_a_common_condition_have_no_adjusted_gap(tmp_path: Path) -> None:
    write_study(tmp_path, None, lambda rows: rows.assign(label=rows["group"] + " " + rows["label"]))
    tables = run_stages(tmp_path, "ABC")
    adjusted = pd.read_csv(tables["adjusted"]).set_index("adjustment")
    assert adjusted.loc["condition", ["gap", "ci_low", "p"]].isna().all().all()
    assert (adjusted.loc["condition", "coverage"] == 0).all()
    assert adjusted.loc["none", "gap"].notna().all()
    claim = pd.read_csv(tables["claims"]).set_index("claim").loc["C11"]
    assert claim["verdict"] == "not testable"
    assert "no condition has enough test images of both groups" in claim["sentence"]


def test_constant_columns_have_estimates_and_no_test(tmp_path: Path) -> None:
    constant = {"mse": 0.05, "mse_unit": 0.0125, "latent_std": 0.8, "kl": 3.0, "decoding_var": 0.1}
    write_study(tmp_path, None, lambda rows: rows.assign(**constant))
    tables = run_stages(tmp_path, "ABC")
    gaps = pd.read_csv(tables["gaps"]).set_index("metric")
    assert (gaps.loc["mse", "gap"].abs() < 1e-15).all()
    assert gaps.loc["mse", ["ci_low", "t", "p", "dz"]].isna().all().all()
    assert set(pd.read_csv(tables["models"])["warnings"]) == {"no fit: every image has the same error"}
    claims = pd.read_csv(tables["claims"]).set_index("claim")
    assert set(claims.loc[["C1", "C2", "C3", "C4", "C5", "C6", "C7", "C10"], "verdict"]) == {"not testable"}
    assert "no variation to test against" in claims.loc["C2", "sentence"]


def test_every_table_matches_the_dictionary(tables: dict[str, Path]) -> None:
    dictionary = yaml.safe_load((ROOT / "schemas" / "tables.yaml").read_text())
    for name, path in tables.items():
        about, *columns = dictionary[name]
        assert about == "$about"
        assert pd.read_csv(path).columns.tolist() == columns, name
        meanings = [dictionary[name][column] or dictionary["$common"][column] for column in columns]
        assert min(map(len, meanings)) > 3, name


def test_all_claims_have_a_row_in_order(tables: dict[str, Path]) -> None:
    claims = pd.read_csv(tables["claims"])
    assert claims["claim"].tolist() == [f"C{number}" for number in range(1, 12)]
    assert claims["verdict"].isin(["supported", "contradicted", "inconclusive", "not testable"]).all()
    assert claims[["sentence", "rule", "table", "figure", "statement", "source"]].notna().all().all()
    tested = claims[(claims["verdict"] != "not testable") & (claims["claim"] != "C8")]
    assert ((tested["p_holm"] <= 0.05) == tested["verdict"].isin(["supported", "contradicted"])).all()
    assert (tested["ci_low"] <= tested["estimate"]).all()
    assert (tested["estimate"] <= tested["ci_high"]).all()
