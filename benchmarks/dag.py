"""What planning a study costs: `snakemake --dry-run` of evenhand beside a bare workflow of as many jobs and files.

    python benchmarks/dag.py [--runs 10 100 1000] [--shares 11] [--results FILE]

The bare workflow has as many jobs and files: each draw, training, evaluation and probe has the same inputs (sources
among them) and outputs, and what collects all models reads as many files; but no parameters, resources, captions or
configuration. Both are planned one after the other; time is processor time (other work on the machine does not
count), memory the peak of the process.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
# A product of each rule that makes most of the jobs.
TARGETS = {
    "draw_train": "results/scale/splits/run0/train_d00.csv",
    "train_vae": "results/scale/runs/d00/run0/model.safetensors",
    "evaluate_vae": "results/scale/runs/d00/run0/evaluation.parquet",
    "probe_embeddings": "results/scale/probes/vae.d00.run0/folds.csv",
}
DRY_RUN = ["--dry-run", "--workflow-profile", "none", "--cores", "1"]

# One job per model for its draw, training, evaluation and probe, two per run for its test sets and their check, one per
# training set for the ensemble, and the tables over all of them.
BARE = r"""
RUNS = range({runs})
SETS = [f"d{{share:02d}}" for share in range({shares})]
SMALL = range({small})

def sources(number):
    return [f"workflow_scripts/evenhand/module{{index}}.py" for index in range(number)]

def of_all(name):
    return expand("results/scale/runs/{{train_set}}/run{{run}}/" + name, train_set=SETS, run=RUNS)

MODELS = of_all("evaluation.parquet")
PROBES = "results/scale/probes/vae.{{train_set}}.run{{run}}/"

wildcard_constraints:
    train_set="|".join(SETS),
    run=r"\d+",

IMAGES = ["results/scale/data/images.npy", "results/scale/data/images.csv"]
RECORD = "results/scale/data/images.json"
DUPLICATES = "results/scale/data/duplicates.csv"
KINDS = ["csv", "sha256"]
TEST = expand("results/scale/splits/run{{run}}/test.{{kind}}", kind=KINDS, allow_missing=True)
TRAIN = expand("results/scale/splits/run{{run}}/train_{{train_set}}.{{kind}}", kind=KINDS, allow_missing=True)
CHECKED = "results/scale/checks/run{{run}}.txt"
RECORDS = ["results/scale/runs/{{train_set}}/run{{run}}/" + name for name in ("run.json", "model.safetensors")]
FEATURES = "results/scale/perceptual/vgg19.safetensors"
TABLES = expand("results/scale/tables/{{table}}.csv", table=SMALL)

rule all:
    input: TABLES, "results/scale/report.html"

rule data:
    output: IMAGES, RECORD, DUPLICATES, FEATURES
    shell: "touch {{output}}"

rule draw_test:
    input: sources({draw_train}), RECORD, IMAGES[1]
    output: TEST
    log: "results/scale/logs/draw_test/run{{run}}.log"
    benchmark: "results/scale/benchmarks/draw_test/run{{run}}.tsv"
    shell: "touch {{output}}"

rule draw_train:
    input: sources({draw_train}), RECORD, IMAGES[1], TEST[0]
    output: TRAIN
    log: "results/scale/logs/draw_train/{{train_set}}.run{{run}}.log"
    benchmark: "results/scale/benchmarks/draw_train/{{train_set}}.run{{run}}.tsv"
    shell: "touch {{output}}"

rule check_run:
    input: IMAGES[1], TEST[0]
    output: CHECKED
    log: "results/scale/logs/check_run/run{{run}}.log"
    benchmark: "results/scale/benchmarks/check_run/run{{run}}.tsv"
    shell: "touch {{output}}"

rule train_vae:
    input: sources({train_vae}), IMAGES, RECORD, FEATURES, TRAIN, CHECKED
    output:
        "results/scale/runs/{{train_set}}/run{{run}}/model.safetensors",
        "results/scale/runs/{{train_set}}/run{{run}}/history.csv",
        "results/scale/runs/{{train_set}}/run{{run}}/run.json",
    log: "results/scale/logs/train_vae/{{train_set}}.run{{run}}.log"
    benchmark: "results/scale/benchmarks/train_vae/{{train_set}}.run{{run}}.tsv"
    shell: "touch {{output}}"

rule evaluate_vae:
    input:
        sources({evaluate_vae}), IMAGES, RECORD, FEATURES, TEST, TRAIN, RECORDS,
    output:
        "results/scale/runs/{{train_set}}/run{{run}}/evaluation.parquet",
        "results/scale/runs/{{train_set}}/run{{run}}/embeddings.npz",
        "results/scale/runs/{{train_set}}/run{{run}}/samples.parquet",
    log: "results/scale/logs/evaluate_vae/{{train_set}}.run{{run}}.log"
    benchmark: "results/scale/benchmarks/evaluate_vae/{{train_set}}.run{{run}}.tsv"
    shell: "touch {{output}}"

rule probe_embeddings:
    input:
        sources({probe_embeddings}), DUPLICATES,
        "results/scale/runs/{{train_set}}/run{{run}}/evaluation.parquet",
        "results/scale/runs/{{train_set}}/run{{run}}/embeddings.npz",
    output: PROBES + "folds.csv", PROBES + "counts.csv"
    log: "results/scale/logs/probe_embeddings/vae.{{train_set}}.run{{run}}.log"
    benchmark: "results/scale/benchmarks/probe_embeddings/vae.{{train_set}}.run{{run}}.tsv"
    shell: "touch {{output}}"

rule ensemble:
    input:
        sources({evaluate_vae}), IMAGES, RECORD,
        expand(TRAIN + RECORDS, run=RUNS, allow_missing=True),
    output: "results/scale/runs/{{train_set}}/ensemble.parquet"
    shell: "touch {{output}}"

rule ensembles:
    input:
        sources({evaluate_vae}), MODELS,
        expand("results/scale/runs/{{train_set}}/ensemble.parquet", train_set=SETS)
    output: "results/scale/tables/0.csv"
    shell: "touch {{output}}"

rule samples:
    input: sources({evaluate_vae}), MODELS, of_all("samples.parquet")
    output: "results/scale/tables/1.csv"
    shell: "touch {{output}}"

rule curves:
    input: sources({evaluate_vae}), of_all("history.csv")
    output: "results/scale/tables/2.csv"
    shell: "touch {{output}}"

rule probes:
    input: sources({evaluate_vae}), expand(PROBES + "{{name}}.csv", train_set=SETS, run=RUNS, name=["folds", "counts"])
    output: "results/scale/tables/3.csv"
    shell: "touch {{output}}"

rule table:
    input: sources({evaluate_vae}), lambda wildcards: MODELS if int(wildcards.table) <= {wide} + 1 else RECORD
    output: "results/scale/tables/{{table}}.csv"
    wildcard_constraints: table="[4-9]|[1-9][0-9]+"
    shell: "touch {{output}}"

rule page:
    input: of_all("run.json"), TABLES
    output: "results/scale/report.html"
    shell: "touch {{output}}"
"""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--shares", type=int, default=11, help="training sets")
    parser.add_argument("--results", type=Path, help="write the figures as JSON")
    args = parser.parse_args(argv)
    measured = []
    for runs in args.runs:
        with tempfile.TemporaryDirectory() as name:
            row = compare(Path(name), runs, args.shares)
        measured.append(row)
        print(
            f"{runs} runs x {args.shares} shares: {row['jobs']} jobs; evenhand {row['seconds']:.1f} s,"
            f" {row['mb']:.0f} MB; bare ({row['bare_jobs']} jobs) {row['bare_seconds']:.1f} s, {row['bare_mb']:.0f} MB;"
            f" ratios {row['seconds'] / row['bare_seconds']:.2f} and {row['mb'] / row['bare_mb']:.2f}",
            flush=True,
        )
    if args.results:
        args.results.write_text(json.dumps(measured, indent=2) + "\n")


def compare(folder: Path, runs: int, shares: int) -> dict[str, float]:
    """Plan the study of `runs` x `shares` models and its bare twin in `folder`; jobs, seconds (CPU), peak MB."""
    evenhand, bare = folder / "evenhand", folder / "bare"
    evenhand.mkdir()
    for part in ["Snakefile", "rules", "schemas", "workflow_scripts", "envs", "report"]:
        (shutil.copytree if (ROOT / part).is_dir() else shutil.copy)(ROOT / part, evenhand / part)
    sets = [
        {"name": f"d{share:02d}", "mix": {"light": 1 - share / max(shares - 1, 1), "dark": share / max(shares - 1, 1)}}
        for share in range(shares)
    ]
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["study"] = "scale"
    config["splits"].update(runs=runs, train_sets=sets)
    (evenhand / "config.yaml").write_text(yaml.safe_dump(config))
    jobs, seconds, memory = dry_run(evenhand)
    # What surrounds the models: the same number of small jobs, as many of them over all models, as many sources.
    small = jobs - 2 * runs - 4 * runs * shares - shares - 3
    sources = {rule: sources_of(evenhand, rule, target) for rule, target in TARGETS.items()}
    (bare / "workflow_scripts" / "evenhand").mkdir(parents=True)
    for number in range(max(sources.values())):
        (bare / "workflow_scripts" / "evenhand" / f"module{number}.py").touch()
    (bare / "Snakefile").write_text(BARE.format(runs=runs, shares=shares, small=small, wide=wide_rules(), **sources))
    bare_jobs, bare_seconds, bare_memory = dry_run(bare)
    return {
        "runs": runs,
        "shares": shares,
        "jobs": jobs,
        "seconds": seconds,
        "mb": memory,
        "bare_jobs": bare_jobs,
        "bare_seconds": bare_seconds,
        "bare_mb": bare_memory,
    }


def wide_rules() -> int:
    """How many rules of evenhand read the evaluations of all models."""
    text = (ROOT / "rules" / "stats.smk").read_text()
    return text.count(": Summary(") - text.count("models=False")


def sources_of(study: Path, rule: str, target: str) -> int:
    """How many source files `target` of a rule has as inputs: its script and the modules it imports."""
    command = [sys.executable, "-m", "snakemake", *DRY_RUN, "--", target]
    output = subprocess.run(command, cwd=study, capture_output=True, text=True, check=True).stdout
    job = output[output.index(f"rule {rule}:") :]
    inputs = next(line for line in job.splitlines() if line.strip().startswith("input:"))
    return inputs.count("workflow_scripts/")


def dry_run(study: Path) -> tuple[int, float, float]:
    """Number of jobs, processor seconds and peak memory (MB) of one `snakemake --dry-run` in `study`."""
    command = [sys.executable, "-m", "snakemake", *DRY_RUN, "--quiet", "rules"]
    process = subprocess.Popen(command, cwd=study, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)}\n{output}")
    jobs = next(int(line.split()[1]) for line in output.splitlines() if line.startswith("total"))
    return jobs, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
