"""What planning a study costs: `snakemake --dry-run` of fairgen beside a bare workflow of as many jobs and files.

    python benchmarks/dag.py [--runs 10 100 1000] [--shares 11] [--results FILE]

The bare workflow has as many jobs and files: each draw, training and evaluation has the same inputs (sources among
them) and outputs, and what collects all models reads as many files; but no parameters, resources, captions or
configuration. Both are planned one after the other; time is processor time (other work on the machine does not
count), memory the peak of the process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
# A product of each rule that makes most of the jobs.
TARGETS = {
    "make_splits": "results/scale/splits/run0.csv",
    "train_vae": "results/scale/runs/d00/run0/model.safetensors",
    "evaluate_vae": "results/scale/runs/d00/run0/evaluation.parquet",
}
DRY_RUN = ["--dry-run", "--workflow-profile", "none", "--cores", "1"]

# One job per model for training and evaluation, one per run for the draw, one per training set for the ensemble, and
# the tables over all of them.
BARE = r"""
RUNS = range({runs})
SETS = [f"d{{share:02d}}" for share in range({shares})]
SMALL = range({small})

def sources(number):
    return [f"sources/{{index}}.py" for index in range(number)]

def of_all(name):
    return expand("runs/{{train_set}}/run{{run}}/" + name, train_set=SETS, run=RUNS)

MODELS = of_all("evaluation.parquet")

wildcard_constraints:
    train_set="|".join(SETS),
    run=r"\d+",

rule all:
    input: expand("splits/run{{run}}.csv", run=RUNS), expand("tables/{{table}}.csv", table=SMALL), "report.html"

rule data:
    output: "images.npy", "images.csv", "images.json", "features"
    shell: "touch {{output}}"

rule make_splits:
    input: sources({make_splits}), "images.json", "images.csv"
    output: "splits/run{{run}}.csv"
    log: "logs/splits/{{run}}.log"
    benchmark: "benchmarks/splits/{{run}}.tsv"
    shell: "touch {{output}}"

rule train_vae:
    input: sources({train_vae}), "images.npy", "images.csv", "images.json", "features", "splits/run{{run}}.csv"
    output:
        "runs/{{train_set}}/run{{run}}/model.safetensors",
        "runs/{{train_set}}/run{{run}}/history.csv",
        "runs/{{train_set}}/run{{run}}/run.json",
    log: "logs/train/{{train_set}}.{{run}}.log"
    benchmark: "benchmarks/train/{{train_set}}.{{run}}.tsv"
    shell: "touch {{output}}"

rule evaluate_vae:
    input:
        sources({evaluate_vae}), "images.npy", "images.csv", "features", "splits/run{{run}}.csv",
        "runs/{{train_set}}/run{{run}}/model.safetensors",
    output:
        "runs/{{train_set}}/run{{run}}/evaluation.parquet",
        "runs/{{train_set}}/run{{run}}/embeddings.npz",
        "runs/{{train_set}}/run{{run}}/samples.parquet",
    log: "logs/evaluate/{{train_set}}.{{run}}.log"
    benchmark: "benchmarks/evaluate/{{train_set}}.{{run}}.tsv"
    shell: "touch {{output}}"

rule ensemble:
    input:
        sources({evaluate_vae}), "images.npy", "images.csv", expand("splits/run{{run}}.csv", run=RUNS),
        expand("runs/{{train_set}}/run{{run}}/model.safetensors", run=RUNS, allow_missing=True),
    output: "runs/{{train_set}}/ensemble.parquet"
    shell: "touch {{output}}"

rule ensembles:
    input: sources({evaluate_vae}), MODELS, expand("runs/{{train_set}}/ensemble.parquet", train_set=SETS)
    output: "tables/0.csv"
    shell: "touch {{output}}"

rule samples:
    input: sources({evaluate_vae}), MODELS, of_all("samples.parquet")
    output: "tables/1.csv"
    shell: "touch {{output}}"

rule curves:
    input: sources({evaluate_vae}), of_all("history.csv")
    output: "tables/2.csv"
    shell: "touch {{output}}"

rule table:
    input: sources({evaluate_vae}), lambda wildcards: MODELS if int(wildcards.table) < {wide} + 1 else "images.csv"
    output: "tables/{{table}}.csv"
    wildcard_constraints: table="[3-9]|[1-9][0-9]+"
    shell: "touch {{output}}"

rule page:
    input: of_all("run.json"), expand("tables/{{table}}.csv", table=SMALL)
    output: "report.html"
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
            f"{runs} runs x {args.shares} shares: {row['jobs']} jobs; fairgen {row['seconds']:.1f} s,"
            f" {row['mb']:.0f} MB; bare ({row['bare_jobs']} jobs) {row['bare_seconds']:.1f} s, {row['bare_mb']:.0f} MB;"
            f" ratios {row['seconds'] / row['bare_seconds']:.2f} and {row['mb'] / row['bare_mb']:.2f}",
            flush=True,
        )
    if args.results:
        args.results.write_text(json.dumps(measured, indent=2) + "\n")


def compare(folder: Path, runs: int, shares: int) -> dict[str, float]:
    """Plan the study of `runs` x `shares` models and its bare twin in `folder`; jobs, seconds (CPU), peak MB."""
    sets = [{"name": f"d{share:02d}", "dark_share": share / max(shares - 1, 1)} for share in range(shares)]
    study = folder / "study.yaml"
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["study"] = "scale"
    config["splits"].update(runs=runs, train_sets=sets)
    study.write_text(yaml.safe_dump(config))
    (folder / "bare").mkdir()
    snakefile = folder / "bare" / "Snakefile"
    plan = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(study), "--directory", str(folder / "fairgen")]
    jobs, seconds, memory = dry_run(plan)
    # What surrounds the models: the same number of small jobs, as many of them over all models, as many sources.
    small = jobs - runs - 2 * runs * shares - shares - 3
    sources = {rule: sources_of(plan, rule, target) for rule, target in TARGETS.items()}
    (folder / "bare" / "sources").mkdir()
    for number in range(max(sources.values())):
        (folder / "bare" / "sources" / f"{number}.py").touch()
    snakefile.write_text(BARE.format(runs=runs, shares=shares, small=small, wide=wide_rules(), **sources))
    bare_jobs, bare_seconds, bare_memory = dry_run(["--snakefile", str(snakefile), "--directory", str(folder / "bare")])
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
    """How many rules of fairgen read the evaluations of all models."""
    return sum(path.read_text().count("=EVALUATIONS") for path in (ROOT / "rules").glob("stats*.smk"))


def sources_of(plan: list[str], rule: str, target: str) -> int:
    """How many source files `target` of a rule has as inputs: its script and the modules it imports."""
    command = [sys.executable, "-m", "snakemake", *DRY_RUN, *plan]
    output = subprocess.run([*command, "--", target], capture_output=True, text=True, check=True).stdout
    job = output[output.index(f"rule {rule}:") :]
    inputs = next(line for line in job.splitlines() if line.strip().startswith("input:"))
    return inputs.count("workflow_scripts/")


def dry_run(arguments: list[str]) -> tuple[int, float, float]:
    """Number of jobs, processor seconds and peak memory (MB) of one `snakemake --dry-run`."""
    command = [sys.executable, "-m", "snakemake", *DRY_RUN, "--quiet", "rules", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)}\n{output}")
    jobs = next(int(line.split()[1]) for line in output.splitlines() if line.startswith("total"))
    return jobs, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
