"""A simulated study for the tests of the statistics: its groups, its files, and every statistics script run on them."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import yaml

import adjust_gaps
import compare_codec
import compare_samples
import compare_subsets
import estimate_gaps
import estimate_sweep
import judge_claims
import measure_colour
import score_uncertainty
import summarise_metadata
import summarise_runs
from evenhand.evaluation.measures import MEASURES, RULED, SCORES_OF
from evenhand.evaluation.pictures import Pictures, nearest_pictures, write_pictures
from evenhand.splits.groups import Pair, TrainSet, groups_from
from evenhand.stats.crossed import CrossedSums
from evenhand.stats.rows import by_run
from evenhand.stats.ruler import bias_table, ruler_table
from evenhand.stats.verdicts import rules_from
from evenhand.workflow.tables import write_csv, write_parquet

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from simulated_studies import PAIR, Truth, simulate_study  # noqa: E402

CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())["stats"] | {"resamples": 200}
RULES = rules_from(CONFIG)
RATIOS = {"A": 0.3, "B": 0.3, "C": 0.3}  # n_test / n_train
LIGHT = {"name": PAIR.reference, "title": "light skin (FST 1-2)", "where": {"skin_type": [1, 2]}}
DARK = {"name": PAIR.compared, "title": "dark skin (FST 5-6)", "where": {"skin_type": [5, 6]}}
GROUPS = groups_from([LIGHT, DARK])
# The paper's training sets.
TRAIN_SETS = tuple(
    TrainSet(name, {PAIR.reference: 1 - share, PAIR.compared: share})
    for name, share in (("A", 0.0), ("B", 0.5), ("C", 1.0))
)

NO_IMAGES = CrossedSums([], []).table()  # covariances of means whose images all have the same error


def covariances_of(
    rows: pd.DataFrame, metrics: Sequence[str], groups: Sequence[str] = PAIR, clusters: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """tables/covariances.csv of evaluation rows."""
    sums = CrossedSums([group for group in groups if group in set(rows["group"])], metrics, clusters)
    for run in by_run(rows):
        sums.add(run)
    return sums.table()


def write_ruler(folder: Path, groups: Sequence[str], factor: float, alpha: float, n: int = 40) -> None:
    """A ruler of power laws, the same in every measure; all groups but the first are charged `factor` times as much."""
    rng, parts = np.random.default_rng(8), []
    steps = [(name, first * 2**k) for name, first in (("blur", 0.25), ("tint", 0.01)) for k in range(6)]
    for group in groups:
        images = pd.DataFrame({"id": [f"{group} {k}" for k in range(n)], "group": group})
        hard = (1.0 if group == groups[0] else factor) * rng.lognormal(0, 0.1, n)
        for damage, step in steps:
            cost = hard * (0.01 * step**3 if damage == "blur" else 1000 * step**2)
            parts.append(images.assign(damage=damage, step=step, **dict.fromkeys(RULED, cost)))
    costs = pd.concat(parts, ignore_index=True)
    write_csv(ruler_table(costs, costs[["group"]], costs["id"], 1 - alpha), folder / "ruler.csv")
    pairs = [Pair(groups[0], other) for other in groups[1:]]
    write_csv(bias_table(costs, costs["group"], costs["id"], pairs, 1 - alpha, 0.1), folder / "ruler_bias.csv")


Change = Callable[[pd.DataFrame], pd.DataFrame]


def write_study(folder: Path, shuffle: int | None = None, change: Change = lambda rows: rows) -> None:
    """A small simulated study on disk, with every column of an evaluation; `change` is applied to all rows."""
    rng = np.random.default_rng(3)
    truth = Truth(n_light=300, n_dark=120, test_size=40, train_size=60, runs=3, condition=0.3)
    rows, design = simulate_study(truth, rng)
    dark = (rows["group"] == PAIR.compared).to_numpy()
    rows["skin_type"] = np.where(dark, 5, 1)
    rows["second_skin_type"] = np.where(rows["id"].str[-1] == "7", 3, rows["skin_type"])
    tone = dict(zip(rows["id"], np.where(dark, -20, 45) + rng.normal(0, 10, len(rows)), strict=True))
    rows["ita_in"] = rows["id"].map(tone).where(rows["id"].str[-1] != "3")
    for column in ("ita_out", "dl", "da", "db"):
        rows[column] = rows["ita_in"] * 0.01 + rng.normal(0, 1, len(rows))
    rows["ciede2000"] = rows["dl"].abs()
    for measure in [name for name in MEASURES if name not in rows]:
        rows[measure] = rows["mse"] * rng.uniform(0.9, 1.1, len(rows))
    # Of each model a codec of equal error on light images, whose errors are less alike.
    rows["codec_mse"] = rows["mse"] * rng.lognormal(0, 0.1, len(rows))
    light = rows[~dark].groupby(["train_set", "run"])[["mse", "codec_mse"]].mean()
    scale = (light["mse"] / light["codec_mse"]).rename("scale")
    rows["codec_mse"] *= rows[["train_set", "run"]].join(scale, on=["train_set", "run"])["scale"]
    rows = change(rows.assign(codec_bits=1.5, codec_quality=10.0, codec_side=20.5))
    images = rows[["id", "group"]].drop_duplicates()
    write_csv(images.iloc[:20].assign(cluster=(np.arange(20) // 2).astype(str), size=2), folder / "together.csv")
    for train_set, part in rows[rows["run"] == 0].groupby("train_set"):
        drawn = {name: rng.exponential(size=len(part)) for name in SCORES_OF["models"]}
        ensemble = part[["id", "group"]].assign(n_models=3, **drawn)
        write_parquet(ensemble.reset_index(drop=True), folder / "runs" / train_set / "ensemble.parquet")
    for (train_set, run), part in rows.groupby(["train_set", "run"]):
        table = part if shuffle is None else part.sample(frac=1, random_state=shuffle)
        of_model = folder / "runs" / train_set / f"run{run}"
        write_parquet(table.reset_index(drop=True), of_model / "evaluation.parquet")
        samples = table.assign(sample_of=np.where(table["mse"] > 0.05, "prior", "training"), ita=table["ita_in"])
        write_parquet(samples[["train_set", "compared_share", "run", "sample_of", "ita"]], of_model / "samples.parquet")
        write_pictures(made_up_pictures(part, rng), of_model / "pictures.npz")
    write_csv(design if shuffle is None else design.iloc[::-1], folder / "design.csv")
    metadata = rows.drop_duplicates("id").assign(condition_2="x", condition_3="y")
    write_csv(metadata if shuffle is None else metadata.iloc[::-1], folder / "metadata.csv")


def made_up_pictures(model: pd.DataFrame, rng: np.random.Generator) -> Pictures:
    """Pictures of one model, of normal features."""
    ids = {str(group): sorted(part["id"])[:12] for group, part in model.groupby("group")}
    prior, training = rng.normal(size=(2, 12, 8))
    real = {group: rng.normal(size=prior.shape) for group in ids}
    return Pictures(
        *(str(model["train_set"].iloc[0]), float(model["compared_share"].iloc[0]), "made up"),
        {"prior": prior, "training": training},
        {"prior": range(12), "training": [f"training {k}" for k in range(12)]},
        real,
        ids,
        nearest_pictures(prior, real, training, (model["group"].unique().tolist() * 12)[:12]),
    )


GIVEN = ("design.csv", "together.csv", "metadata.csv", "train_sets.json", "ruler.csv", "ruler_bias.csv")


def run_stages(
    folder: Path,
    train_sets: Sequence[TrainSet] = TRAIN_SETS,
    runs: int = 3,
    alpha: float = 0.05,
    groups: Sequence[Mapping[str, Any]] = (LIGHT, DARK),
    starts: int = 1,
    stages: Sequence[ModuleType] = (),
) -> dict[str, Path]:
    """Every statistics script, or those of `stages`, as the rules call them; the tables they wrote, by name."""
    stats = CONFIG | {"alpha": alpha}
    write_ruler(folder, [str(group["name"]) for group in groups], 1.3, alpha)
    (folder / "train_sets.json").write_text(json.dumps([train_set._asdict() for train_set in train_sets]))
    evaluations = ["--evaluations", f"{folder}/runs", "--train-sets", f"{folder}/train_sets.json", "--runs", str(runs)]
    evaluations += ["--starts", str(starts)] if starts > 1 else []
    of_starts = " start_covariances" if starts > 1 else ""
    config = json.dumps({"seed": 1, "stats": stats, "groups": groups, "margin": 0.1})
    of_metadata = json.dumps({"seed": 1, "resamples": stats["resamples"], "alpha": alpha, "groups": groups})
    given = {name: f"{folder}/{name}" for name in GIVEN}

    def call(script: ModuleType, reads: str, writes: str, options: Sequence[str] = (), config: str = config) -> None:
        read, written = (
            [given.get(name, f"{folder}/tables/{name}.csv") for name in names.split()] for names in (reads, writes)
        )
        if not stages or script in stages:
            script.main([*options, "--config", config, *(["--read", *read] if read else []), "--write", *written])

    call(summarise_metadata, "metadata.csv", "fst_counts prevalence condition_mix", config=of_metadata)
    writes = "runs covariances headline conditions pooled_conditions"
    call(summarise_runs, "together.csv", writes + of_starts, evaluations)
    call(adjust_gaps, "together.csv ruler_bias.csv", "adjusted models", evaluations)
    call(compare_codec, "together.csv", "codec_runs codec codec_adjusted", evaluations)
    call(compare_samples, "design.csv together.csv", "samples generated", evaluations)
    call(score_uncertainty, "together.csv", "uncertainty", evaluations)
    call(compare_subsets, "together.csv ruler_bias.csv", "subsets", evaluations)
    colours = "colour_runs colour_covariances colour tone_curves tone_slopes"
    call(measure_colour, "design.csv together.csv", colours, evaluations)
    of_ruler = "ruler_bias.csv ruler.csv colour_runs colour_covariances"
    writes = "gaps equivalents" + (" starts" if starts > 1 else "")
    call(estimate_gaps, f"runs covariances design.csv {of_ruler}{of_starts}", writes)
    call(estimate_sweep, f"runs covariances design.csv train_sets.json ruler_bias.csv{of_starts}", "sweep")
    read = (
        "runs covariances design.csv adjusted codec colour_runs colour_covariances condition_mix uncertainty ruler.csv"
    )
    call(judge_claims, read + of_starts, "claims")
    return {path.stem: path for path in sorted((folder / "tables").iterdir())}
