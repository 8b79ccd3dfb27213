# Functions and constants of the rule files, read again by every cluster job (so nothing here imports torch).
import ast
import functools
import json
import os
import re
import sys
from pathlib import Path

import yaml
from snakemake.settings.enums import Quietness

ROOT = Path(str(workflow.current_basedir)).parent
SCRIPTS = ROOT / "workflow_scripts"
sys.path.insert(0, str(SCRIPTS))

from fairgen.config import check_config, read_as_yaml, training_settings
from fairgen.errors import UserError
from fairgen.study_progress import follow_study

read_as_yaml(config, workflow.config_settings.config)
try:
    check_config(config, yaml.safe_load((ROOT / "schemas" / "config.schema.yaml").read_text()))
except UserError as error:
    raise WorkflowError(str(error)) from None

TRAIN_SETS = [train_set["name"] for train_set in config["splits"]["train_sets"]]
# The clusters of near-duplicates, where they decide on the draws.
ISOLATED = "<results>/data/duplicates.csv" if config["splits"]["leakage"] == "isolate" else []
RUNS = [str(run) for run in range(config["splits"]["runs"])]


pathvars:
    results=f"results/{config['study']}",
    logs=f"results/{config['study']}/logs",
    benchmarks=f"results/{config['study']}/benchmarks",


def numbers_below(count):
    """A regular expression for 0, 1, ... `count` - 1, as long as the number and not as the list.

    Snakemake writes constraints into the name of every output: with a thousand names in them, planning is slow.
    """
    top = str(count - 1)
    patterns = [
        "[1-9]" * (length > 1) + "[0-9]" * (length - (length > 1)) for length in range(1, len(top))
    ]
    for place, digit in enumerate(top):
        first = 1 if place == 0 and len(top) > 1 else 0
        if int(digit) > first:
            rest = "[0-9]" * (len(top) - place - 1)
            patterns.append(f"{top[:place]}[{first}-{int(digit) - 1}]{rest}")
    return "|".join(patterns + [top])


wildcard_constraints:
    train_set="|".join(TRAIN_SETS),
    run=numbers_below(len(RUNS)),


def source(name):
    """A file of the repository as an input, relative to the working directory, so moving both reruns nothing."""
    return os.path.relpath(ROOT / name)


def script(name):
    """The command-line script `name`."""
    return source(f"workflow_scripts/{name}")


def imports(name):
    """The library modules that script `name` imports, directly or not, read from its import statements.

    They are inputs of the rule, so an edit reruns exactly the rules whose scripts import the edited module. Import
    statements inside functions count as well.
    """
    found = set()
    queue = [SCRIPTS / name]
    while queue:
        for module in imported_modules(queue.pop()):
            if module not in found:
                found.add(module)
                queue.append(module)
    return sorted(os.path.relpath(module) for module in found)


@functools.cache
def imported_modules(path):
    """The files of the library that the import statements of the file at `path` name."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    files = set()
    for name in names:
        parts = name.split(".")
        # Importing a.b.c runs the __init__.py of a and of a.b as well.
        for depth in range(1, len(parts) + 1):
            stem = SCRIPTS.joinpath(*parts[:depth])
            files.update((stem / "__init__.py", stem.with_suffix(".py")))
    return {file for file in files if file.is_file()}


def as_json(*blocks):
    """The named blocks of the configuration as JSON text: a rule that takes it reruns when they change, only then."""
    return json.dumps({block: config[block] for block in blocks}, sort_keys=True)


def train_json():
    """The configuration that decides on the weights of a model, as JSON text."""
    return json.dumps(training_settings(config), sort_keys=True)


def table(name, label, category="Results"):
    """The table `name` as an output, shown in Snakemake's report as `label`."""
    return report(
        f"<results>/tables/{name}.csv",
        caption=f"../report/{name}.rst",
        category=category,
        labels={"table": label},
    )


def growing(amount):
    """So much memory or time in the first attempt of a job, twice as much in the second."""
    return lambda wildcards, attempt: amount * attempt


def environment(name):
    """The conda environment of a stage, used with --sdm conda."""
    return str(ROOT / "envs" / f"{name}.yaml")


def design_json(**changes):
    """The configuration that decides on the draws, as JSON text, without the lists of runs and of training sets.

    What is drawn for one training set and run does not depend on which others are in the design, so jobs
    name only their own: adding a run or a training set leaves all other jobs alone.
    """
    splits = {
        key: value for key, value in config["splits"].items() if key not in ("runs", "train_sets")
    }
    return json.dumps({"seed": config["seed"], "splits": splits | changes}, sort_keys=True)


def dark_share(train_set):
    """The fraction of dark images in the training set of that name."""
    return {entry["name"]: entry["dark_share"] for entry in config["splits"]["train_sets"]}[
        train_set
    ]


def evaluate_json():
    """The configuration that decides on the measures of a test image, as JSON text."""
    return json.dumps(
        {
            "seed": config["seed"],
            "loss": {"perceptual_normalize": config["loss"]["perceptual_normalize"]},
            "evaluate": {
                key: config["evaluate"][key]
                for key in ("batch_size", "samples", "prior_samples", "device")
            }
            | {
                "full_latents": any(
                    full_latents(entry) and not of_unseen_images(entry)
                    for entry in config["probe"]["sources"]
                )
            },
        },
        sort_keys=True,
    )


def full_latents(entry):
    """Whether a source of the probes takes every latent of the VAE, not their means over space."""
    return entry.get("latents") == "full"


def of_unseen_images(entry):
    """Whether a source of the probes takes all images that a VAE was not trained on, not its test sets alone."""
    return entry.get("images") == "unseen"


@functools.cache
def probe_members():
    """For each embedding to probe, by name: the source it belongs to, and what the tables call it."""
    members = []
    for entry in config["probe"]["sources"]:
        dataset = entry.get("dataset", config["study"])
        vae = (
            "VAE"
            + ", all latents" * full_latents(entry)
            + ", unseen images" * of_unseen_images(entry)
        )
        base = {
            "source": entry["name"],
            "dataset": dataset,
            "model": entry.get("model", vae),
            "unseen": of_unseen_images(entry),
        }
        if entry["kind"] == "vae":
            members += [
                base
                | {
                    "member": f"{entry['name']}.{name}.run{number}",
                    "train_set": name,
                    "run": int(number),
                }
                for name in TRAIN_SETS
                for number in RUNS
            ]
        else:
            members.append(base | {"member": entry["name"], "train_set": "", "run": 0})
    return {member["member"]: member for member in members}


def member_pattern(source):
    """A regular expression for the names of the embeddings of one source."""
    name = re.escape(source["name"])
    if source["kind"] != "vae":
        return name
    return rf"{name}\.(?:{'|'.join(TRAIN_SETS)})\.run(?:{numbers_below(len(RUNS))})"


def probe_source(member):
    """The entry of `probe.sources` and the entry of `probe_members` for the embedding of that name."""
    found = probe_members()[member]
    return (
        next(entry for entry in config["probe"]["sources"] if entry["name"] == found["source"]),
        found,
    )


def probe_inputs(wildcards):
    """Embeddings and metadata of one embedding to probe."""
    entry, found = probe_source(wildcards.member)
    if entry["kind"] == "file":
        files = {part: entry[part] for part in ("embeddings", "metadata")}
        return files | {"checked": "<results>/checks/sources.txt"}
    if entry["kind"] == "openclip" or of_unseen_images(entry):
        return {
            "embeddings": f"<results>/probes/{wildcards.member}/embeddings.npz",
            "metadata": f"<results>/probes/{wildcards.member}/metadata.csv",
            "clusters": "<results>/data/duplicates.csv",
        }
    folder = f"<results>/runs/{found['train_set']}/run{found['run']}"
    return {
        "embeddings": f"{folder}/embeddings.npz",
        "metadata": f"{folder}/evaluation.parquet",
        "clusters": "<results>/data/duplicates.csv",
    }


def probe_json(member):
    """What the job of one embedding needs of the configuration, as JSON text; other sources do not touch it."""
    entry, _ = probe_source(member)
    images = {
        "id": "md5hash",
        "group": None,
        "array": ("mu" if full_latents(entry) else "mu_pooled") if entry["kind"] == "vae" else None,
    }
    probe = {
        key: value
        for key, value in config["probe"].items()
        if key not in ("sources", "lookalike", "margin")
    }
    source = images | {
        key: entry[key]
        for key in ("id", "group", "array", "attributes", "diseases")
        if key in entry
    }
    return json.dumps({"seed": config["seed"], "probe": probe, "source": source}, sort_keys=True)


def probe_rules_json():
    """What the tables and verdicts of the probes need of the configuration, as JSON text."""
    attributes = [entry for source in config["probe"]["sources"] for entry in source["attributes"]]
    rules = {
        "fractions": config["probe"]["fractions"],
        "margin": config["probe"]["margin"],
        "controls": sorted({entry["name"] for entry in attributes if entry.get("control")}),
        "alpha": config["stats"]["alpha"],
        "min_runs": config["stats"]["min_runs"],
    }
    return json.dumps(rules, sort_keys=True)


def follow_jobs(workflow):
    """Show how far the jobs are and how long they will take, unless --quiet asks for silence."""
    if not {Quietness.ALL, Quietness.PROGRESS} & set(workflow.output_settings.quiet or ()):
        _, planned = workflow.dag.stats()
        # A target such as `all` does nothing itself, and has no benchmark either.
        jobs = {
            r.name: planned[r.name] for r in workflow.rules if r.benchmark and r.name in planned
        }
        follow_study(logger, jobs, Path("results") / config["study"] / "benchmarks")
