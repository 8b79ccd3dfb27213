# Functions and constants of the rule files, read again by every cluster job (so nothing here imports torch).
import functools
import json
import os
import re
from pathlib import Path

from snakemake.settings.enums import Quietness

from evenhand.workflow.config import training_settings
from evenhand.workflow.contents import content_sums
from evenhand.workflow.imports import imported_modules
from evenhand.workflow.notices import follow_notices
from evenhand.workflow.patterns import numbers_below
from evenhand.probes.configuration import with_text_cells
from evenhand.workflow.study_progress import follow_study

with open(ROOT / "schemas" / "tables.yaml", encoding="utf-8") as dictionary:
    TABLES = yaml.load(dictionary, yaml.CSafeLoader)  # ten times as fast as the one in Python
TRAIN_SETS = [train_set["name"] for train_set in config["splits"]["train_sets"]]
# The clusters of near-duplicates, where they decide on the draws.
ISOLATED = "<results>/data/duplicates.csv" if config["splits"]["leakage"] == "isolate" else []
MEMORY_OF_CONTENTS = Path("results") / ".contents.json"
RUNS = [str(run) for run in range(config["splits"]["runs"])]


pathvars:
    results=f"results/{config['study']}",
    logs=f"results/{config['study']}/logs",
    benchmarks=f"results/{config['study']}/benchmarks",


wildcard_constraints:
    train_set="|".join(TRAIN_SETS),
    run=numbers_below(len(RUNS)),


def source(name):
    """A file of the repository as an input, relative to the working directory, so moving both reruns nothing."""
    return os.path.relpath(ROOT / name)


def script(name):
    """The command-line script `name`."""
    return source(f"workflow_scripts/{name}")


def imports(name, *modules):
    """The library modules that script `name` imports, directly or not, read from its import statements.

    They are inputs of the rule, so an edit reruns exactly the rules whose scripts import the edited module. Import
    statements inside functions count as well. `modules` are those that the script loads by name.
    """
    found = {SCRIPTS / module for module in modules}
    queue = [SCRIPTS / name, *found]
    while queue:
        for module in imported_modules(queue.pop(), SCRIPTS):
            if module not in found:
                found.add(module)
                queue.append(module)
    return sorted(os.path.relpath(module) for module in found)


def content_of(paths):
    """What is in files of the user: an input that is large is compared by this, as a parameter, and not by its date."""
    return content_sums(paths, MEMORY_OF_CONTENTS)


def as_json(*blocks):
    """The named blocks of the configuration as JSON text: a rule that takes it reruns when they change, only then."""
    return json.dumps({block: config[block] for block in blocks}, sort_keys=True)


def train_json():
    """The configuration that decides on the weights of a model, as JSON text."""
    return json.dumps(training_settings(config), sort_keys=True)


def table(name):
    """The table `name` as an output, shown in Snakemake's report as schemas/tables.yaml says."""
    entry = TABLES[name]
    path = f"<results>/tables/{name}.csv"
    if "$label" not in entry:
        return path
    return report(
        path,
        caption="../report/table.rst",
        category=entry["$category"],
        labels={"table": entry["$label"], "about": entry["$about"]},
    )


def tables_of(page):
    """The tables on a page or in a part of it, in its order."""
    return [name for name, entry in TABLES.items() if entry.get("$page") == page]


def growing(amount):
    """So much memory or time in the first attempt of a job, twice as much in the second."""
    return lambda wildcards, attempt: amount * attempt


def environment(name):
    """The conda environment of a stage, used with --sdm conda."""
    return str(ROOT / "envs" / f"{name}.yaml")


def design_json():
    """The configuration that decides on the draws, as JSON text, without the lists of runs and of training sets.

    What is drawn for one training set and run does not depend on which others are in the design, so jobs
    name only their own: adding a run or a training set leaves all other jobs alone.
    """
    splits = {
        key: value for key, value in config["splits"].items() if key not in ("runs", "train_sets")
    }
    return json.dumps({"seed": config["seed"], "splits": splits}, sort_keys=True)


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
        return {
            "embeddings": ancient(entry["embeddings"]),
            "metadata": ancient(entry["metadata"]),
            "sums": lookalike_sums(entry),
            "checked": "<results>/checks/sources.txt",
        }
    if entry["kind"] == "openclip" or of_unseen_images(entry):
        folder = f"<results>/probes/{wildcards.member}"
        metadata, sums = "metadata.csv", "embeddings.sha256"
    else:
        folder = f"<results>/runs/{found['train_set']}/run{found['run']}"
        metadata, sums = "evaluation.parquet", "evaluation.sha256"
    return {
        "embeddings": ancient(f"{folder}/embeddings.npz"),
        "metadata": ancient(f"{folder}/{metadata}"),
        "sums": f"{folder}/{sums}",
        "clusters": "<results>/data/duplicates.csv",
    }


def lookalike_sums(entry):
    """The sums of the generated embeddings that a source of kind `file` names; of the user's own files there are none."""
    folder, _, name = entry["embeddings"].rpartition("/")
    generated = config["probe"]["lookalike"] and folder == f"results/{config['study']}/lookalike"
    return f"{folder}/{name.partition('.')[0]}.sha256" if generated else []


def given_embeddings(member):
    """The content of the files of the user that hold an embedding and its metadata."""
    entry, _ = probe_source(member)
    given = entry["kind"] == "file" and not lookalike_sums(entry)
    return content_of([entry["embeddings"], entry["metadata"]]) if given else []


def duplicates_option(wildcards, input):
    """The option of a script that draws or checks, as `clusters_option`."""
    return f"--duplicates {input.duplicates}" if input.duplicates else ""


def clusters_option(wildcards, input):
    """The option of a script that names the clusters of near-duplicates, where the job takes them."""
    return f"--clusters {input.clusters}" if input.get("clusters") else ""


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
        key: entry[key] for key in ("id", "ids", "group", "array", "unmatched") if key in entry
    }
    for role in ("attributes", "diseases"):
        source[role] = [with_text_cells(target) for target in entry[role]]
    return json.dumps({"seed": config["seed"], "probe": probe, "source": source}, sort_keys=True)


def probes_json():
    """What the tables and verdicts of the probes need to know, as JSON text: every embedding, and the rules."""
    attributes = [entry for source in config["probe"]["sources"] for entry in source["attributes"]]
    rules = {
        "fractions": config["probe"]["fractions"],
        "margin": config["probe"]["margin"],
        "controls": sorted({entry["name"] for entry in attributes if entry.get("control")}),
        "alpha": config["stats"]["alpha"],
        "min_runs": config["stats"]["min_runs"],
    }
    return json.dumps(
        {"embeddings": list(probe_members().values()), "rules": rules}, sort_keys=True
    )


def say_bounds(workflow):
    """On a cluster, that the bound of a workstation does not hold there; Snakemake lists it among the resources."""
    if workflow.non_local_exec and workflow.resource_scopes.is_local("gpu"):
        logger.info(
            "gpu=1 holds for jobs that Snakemake runs itself; as many GPU jobs are submitted as --jobs allows"
        )


def follow_jobs(workflow):
    """Show what jobs have to say, how far they are and how long they will take, unless --quiet asks for silence."""
    quiet = set(workflow.output_settings.quiet or ())
    if Quietness.ALL not in quiet:
        follow_notices(logger)
    if not {Quietness.ALL, Quietness.PROGRESS} & quiet:
        _, planned = workflow.dag.stats()
        # A target such as `all` does nothing itself, and has no benchmark either.
        jobs = {
            r.name: planned[r.name] for r in workflow.rules if r.benchmark and r.name in planned
        }
        follow_study(logger, jobs, Path("results") / config["study"] / "benchmarks")
