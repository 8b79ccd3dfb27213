"""What tables, figures and report cost: time and peak memory of each script, as the runs grow.

    python benchmarks/stats.py [--runs 10 100 1000] [--cores 2] [--output benchmarks/stats.md]

Simulated evaluations of the paper's design (three training sets, 1,000 test images a model, 114 conditions) are written
as the workflow would have left them; then Snakemake makes the tables, the figures and the report by its own rules. Each
script reports its wall and processor time and the peak of its resident memory (VmHWM) as it ends. The page is the one
without pictures.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow_scripts"))

from simulated_studies import PAIR, Truth, simulate_models, simulated_design  # noqa: E402

from evenhand.evaluation.measures import MEASURES  # noqa: E402
from evenhand.evaluation.pictures import Pictures, nearest_pictures, write_pictures  # noqa: E402
from evenhand.workflow.files import write_checksums, write_json, write_npz, write_text  # noqa: E402
from evenhand.workflow.tables import as_csv, write_csv, write_parquet  # noqa: E402

# Read by every Python that starts with its folder in PYTHONPATH; the maximum that the parent reached does not count.
MEASURE = """
import atexit, json, os, sys, time
started = time.time()
def note():
    peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
    with open(os.environ["MEASURED"], "a") as log:
        name = os.path.basename(sys.argv[0])
        times = {"seconds": time.time() - started, "cpu": time.process_time()}
        log.write(json.dumps({"script": name, **times, "mb": peak / 1024}) + "\\n")
atexit.register(note)
"""
TARGETS = ["stats", "figures", "report"]
# Rule files whose results are not made but written; the record of what a study was made from is written, too.
# What the columns of the small tables of the data stage hold that are not numbers.
WORDS = {"method": "hash", "measure": "mse", "damage": "blur", "by": "group", "value": "light", "group": "light"}
WORDS |= {"train_set": "A", "compared": "dark", "treatment": "alike"}
SIMULATED = ["data", "images", "splits", "train", "evaluate", "probe"]
FEATURES = 512  # of a picture
SPLIT = 10  # conditions of the simulation are split in as many, for as many as the data set has


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--output", type=Path, help="write the table as Markdown")
    args = parser.parse_args(argv)
    tables = {}
    for runs in args.runs:
        with tempfile.TemporaryDirectory() as name:
            write_study(Path(name), runs)
            tables[runs], seconds = run_rules(Path(name), args.cores)
        print(
            f"{runs} runs, {args.cores} cores: {seconds:.0f} s in all, Snakemake included\n{tables[runs]}\n", flush=True
        )
    if args.output:
        write_text(describe(tables), args.output)


def write_study(folder: Path, runs: int) -> None:
    """Everything that tables, figures and report read, for the paper's design with `runs` runs."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["study"] = "scale"
    config["splits"]["runs"] = runs
    config["report"]["probes"] = False  # nothing is trained, so there is nothing to probe
    config["report"]["patient_images"] = False  # the simulated ones are noise, which nothing makes smaller
    (folder / "study.yaml").write_text(yaml.safe_dump(config))
    results = folder / "results" / "scale"
    truth = Truth(gap={"A": 0.3, "B": 0.15, "C": -0.1}, condition=0.3, mix=0.5, source=0.2, runs=runs)
    rng = np.random.default_rng(1)
    first = []
    for model in simulate_models(truth, rng):
        name, share, run = str(model["train_set"][0]), float(model["compared_share"][0]), int(model["run"][0])
        part = results / "runs" / name / f"run{run}"
        rows = completed(model, rng)
        write_parquet(rows, part / "evaluation.parquet")
        write_parquet(tones(name, share, run, truth, rng), part / "samples.parquet")
        write_pictures(pictures(rows, rng), part / "pictures.npz")
        files = [part / name for name in ("evaluation.parquet", "samples.parquet", "pictures.npz")]
        write_checksums(files, part / "evaluation.sha256")
        write_csv(history(config["train"]["epochs"], rng), part / "history.csv")
        write_json(record(name), part / "run.json")
        if run == 0:
            first.append(rows)
            scores = {"ensemble_var": rows["decoding_var"], "waic": rows["bound"]}
            of_models = rows[["id", "group"]].assign(n_models=runs, **scores)
            write_parquet(of_models, results / "runs" / name / "ensemble.parquet")
    write_data(results, simulated_design(truth).assign(n_runs=runs), first[0], config["evaluate"]["examples"])


def completed(model: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Simulated rows with the other columns of an evaluation."""
    number = model["id"].str[1:].map(lambda digits: int(digits, 16)).to_numpy()
    dark = (model["group"] == "dark").to_numpy()
    skin_type = np.where(dark, 5, 1) + number % 2
    mse = model["mse"].to_numpy()
    ita = np.where(dark, -10.0, 45.0) + 15 * np.sin(number)
    change = model["dl"].to_numpy()
    others = dict.fromkeys([name for name in MEASURES if name not in model], mse)
    return model.assign(**others).assign(
        condition=model["condition"] + " " + pd.Series(number % SPLIT).astype(str),
        condition_2="inflammatory",
        condition_3="non-neoplastic",
        skin_type=skin_type,
        second_skin_type=skin_type,
        psnr=10 * np.log10(4 / mse),
        ssim=np.exp(-10 * mse),
        decoding_var=0.1 * mse * rng.lognormal(0, 0.3, len(mse)),
        ita_in=ita,
        ita_out=ita + 2 * change,
        ciede2000=np.abs(change) + 1,
        codec_mse=mse * rng.lognormal(0, 0.3, len(mse)),
        codec_bits=1.0,
        codec_quality=10.0,
        codec_side=30.0,
    )


def tones(name: str, share: float, run: int, truth: Truth, rng: np.random.Generator) -> pd.DataFrame:
    """samples.parquet of one model."""
    sizes = {"training": truth.train_size, "posterior": 2 * truth.test_size, "prior": 500}
    parts = [pd.DataFrame({"sample_of": kind, "ita": rng.normal(20, 25, n)}) for kind, n in sizes.items()]
    return pd.concat(parts, ignore_index=True).assign(train_set=name, compared_share=share, run=run, skin_share=0.5)


def pictures(rows: pd.DataFrame, rng: np.random.Generator) -> Pictures:
    """pictures.npz of one model: as many features of each kind as there are test images of a group."""
    ids = {str(group): part["id"].tolist() for group, part in rows.groupby("group")}
    n = min(map(len, ids.values()))
    prior, training, *real = rng.normal(size=(2 + len(ids), n, FEATURES)).astype(np.float32)
    of_groups = dict(zip(ids, real, strict=True))
    return Pictures(
        *(str(rows["train_set"].iloc[0]), float(rows["compared_share"].iloc[0]), "simulated"),
        {"prior": prior, "training": training},
        {"prior": range(n), "training": [f"training {k}" for k in range(n)]},
        of_groups,
        {group: names[:n] for group, names in ids.items()},
        nearest_pictures(prior, of_groups, training, np.resize([*ids], n).tolist()),
    )


def history(epochs: int, rng: np.random.Generator) -> pd.DataFrame:
    """history.csv of one model."""
    falling = 0.1 + np.exp(-np.arange(epochs) / 4) * rng.lognormal(0, 0.02, epochs)
    terms = {"loss": 3 * falling, "mse": falling, "kl": falling, "perceptual": falling}
    return pd.DataFrame({"epoch": np.arange(1, epochs + 1), **terms})


def record(name: str) -> dict[str, Any]:
    """run.json of one model, as far as the report reads it."""
    return {
        "train_set": name,
        "parameters": 56715139,
        "device": "cpu",
        "device_name": "simulated",
        "precision": "fp32",
        "seconds": 1.0,
        "images_per_second": 1.0,
        "peak_memory_mb": 1.0,
        "versions": {},
    }


def write_data(results: Path, design: pd.DataFrame, images: pd.DataFrame, per_group: int) -> None:
    """The small tables of the data stage (one row each where nothing depends on them), and pictures of noise."""
    rng = np.random.default_rng(2)
    dictionary = yaml.safe_load((ROOT / "schemas" / "tables.yaml").read_text())
    for name in (name for name, entry in dictionary.items() if entry.get("$page") == "data"):
        row = {column: WORDS.get(column, 0) for column in dictionary[name] if not column.startswith("$")}
        write_text(as_csv(pd.DataFrame([row])), results / "tables" / f"{name}.csv")
    design = design.assign(requested=1668, planned=1668, mix="834 light, 834 dark")
    write_csv(design, results / "tables" / "design.csv")
    metadata = images.sample(16_577, replace=True, random_state=3).assign(status="ok", url="")
    metadata["id"] = [f"{number:032x}" for number in range(len(metadata))]
    write_csv(metadata, results / "data" / "metadata.csv")
    write_csv(metadata, results / "data" / "availability.csv")
    pairs = images["id"].head(200)
    write_csv(
        pd.DataFrame({"id": pairs, "cluster": (np.arange(200) // 2).astype(str)}),
        results / "data" / "together.csv",
    )
    for path in (results / "data").glob("*.csv"):
        write_checksums([path], path.with_suffix(".sha256"))
    write_json({"synthetic": True}, results / "data" / "images.json")
    write_checksums([results / "data" / "images.json"], results / "data" / "packed.sha256")
    code = {"revision": "", "modified": False, "scripts_sha256": ""}
    parts: dict[str, Any] = {key: {} for key in ("config", "versions", "machine", "study", "files")}
    write_json(parts | {"code": code}, results / "provenance.json")
    by = [("skin_type", -1), *(("skin_type", kind) for kind in range(1, 7)), ("group", "light")]
    by += [("group", "dark"), ("source", "dermaamin"), *(("condition", f"condition {i:02d}") for i in range(12))]
    counts: dict[str, Any] = {"n": 100, "ok": 90, "share_ok": 0.9, "reasons": "missing: 10"}
    write_csv(
        pd.DataFrame(by, columns=["by", "value"]).astype(str).assign(**counts), results / "tables" / "availability.csv"
    )
    quantiles = {
        f"ita_{q}": value for q, value in zip(("05", "25", "50", "75", "95"), (0, 10, 20, 30, 40), strict=True)
    }
    types = pd.DataFrame({"skin_type": [-1, 1, 2, 3, 4, 5, 6], "n": 100, "n_few_skin": 5, "skin_share": 0.5})
    write_csv(types.assign(ita_mean=20.0, ita_sd=10.0, **quantiles), results / "tables" / "tone_by_type.csv")
    chosen = pd.concat([images[images["group"] == group].head(per_group) for group in PAIR])
    shape = (len(chosen), 128, 128, 3)
    pictures = {name: rng.integers(0, 256, shape, dtype=np.uint8) for name in ("input", *design["train_set"])}
    examples = {name if name == "input" else f"reconstruction_{name}": values for name, values in pictures.items()}
    examples |= {
        "id": chosen["id"].to_numpy().astype("S32"),
        "group": chosen["group"].to_numpy().astype("U5"),
    }
    quantile = np.tile((np.arange(per_group) + 0.5) / per_group, 2)
    write_npz(examples | {"quantile": quantile}, results / "examples.npz")


def run_rules(folder: Path, cores: int) -> tuple[pd.DataFrame, float]:
    """Tables, figures and report of the study in `folder`: seconds and MB per script (the largest where it runs more
    than once), and the seconds in all."""
    (folder / "measure").mkdir()
    (folder / "measure" / "sitecustomize.py").write_text(MEASURE)
    environment = os.environ | {
        "PYTHONPATH": str(folder / "measure"),
        "MEASURED": str(folder / "measured.jsonl"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(folder / "study.yaml"), "--workflow-profile", "none", "--cores", str(cores)]
    command += ["--allowed-rules", *rule_names(), "--", *TARGETS]
    started = time.time()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    seconds = time.time() - started
    if done.returncode != 0:
        logs = "\n".join(log.read_text() for log in (folder / "results" / "scale" / "logs").rglob("*.log"))
        raise SystemExit(f"{done.stderr[-4000:]}\n{logs[-4000:]}")
    lines = (folder / "measured.jsonl").read_text().splitlines()
    measured = pd.DataFrame([json.loads(line) for line in lines])
    measured = measured[measured["script"].str.endswith(".py") & (measured["script"] != "__main__.py")]
    page = folder / "results" / "scale" / "report.html"
    print(f"processor time of all scripts: {measured['cpu'].sum():.0f} s; report: {page.stat().st_size / 1e6:.2f} MB")
    return measured.groupby("script").max().round(1), seconds


def rule_names() -> list[str]:
    """The rules that no file of `SIMULATED` holds."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--list"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    text = "".join((ROOT / "rules" / f"{name}.smk").read_text() for name in SIMULATED)
    left_out = {"record_provenance", *re.findall(r"^(?:use rule \w+ as|rule) (\w+)", text, flags=re.MULTILINE)}
    return [line.split()[0] for line in listing.splitlines() if line.strip() and line.split()[0] not in left_out]


def describe(tables: dict[int, pd.DataFrame]) -> str:
    """Processor time and peak memory per script and number of runs, as Markdown."""
    lines = ["# Time and memory of tables, figures and report", ""]
    lines += [(__doc__ or "").split("\n\n")[-1].strip(), ""]
    lines += ["| script | " + " | ".join(f"{runs:,} runs" for runs in tables) + " |", "|---" * (len(tables) + 1) + "|"]
    for script in sorted(set().union(*(table.index for table in tables.values()))):
        cells = [f"{table.loc[script, 'cpu']:.1f} s, {table.loc[script, 'mb']:.0f} MB" for table in tables.values()]
        lines.append(f"| {script} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
