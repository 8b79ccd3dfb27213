# Functions and constants of the rule files, read again by every cluster job (so nothing here imports torch).
import json
import os
from pathlib import Path

from snakemake.settings.enums import Quietness

from evenhand.models.registry import GIVEN, declared
from evenhand.workflow.notices import follow_notices
from evenhand.workflow.planning import (
    content_sums,
    local_folder,
    modules_behind,
    numbers_below,
    start_suffix,
)
from evenhand.workflow.study_progress import follow_study

with open(ROOT / "schemas" / "tables.yaml", encoding="utf-8") as dictionary:
    TABLES = yaml.load(dictionary, yaml.CSafeLoader)  # ten times as fast as the one in Python
GROUPS = config["splits"]["groups"]
TRAIN_SETS = [entry["name"] for entry in config["splits"]["train_sets"]]
RUNS = [str(run) for run in range(config["splits"]["runs"])]
# Models on one training set: what their folders have after the run, nothing for the first.
STARTS = [start_suffix(start) for start in range(config["splits"]["starts"])]
MEMORY_OF_CONTENTS = Path("results") / ".contents.json"
# The packed images. Their record is small and compared by content: packing the same images again changes nothing.
IMAGES = {
    "record": "<results>/data/images.json",
    "images": ancient("<results>/data/images.npy"),
    "index": ancient("<results>/data/images.csv"),
}
FORMATS = config["figures"]["formats"]
FAMILY = declared(config["model"]["family"])
EXTRACTOR = local_folder(config["evaluate"]["extractor"])  # of the user; none: VGG19
LPIPS = [ancient(file) for file in [config["evaluate"]["lpips"]] if file]  # of the user


pathvars:
    results=f"results/{config['study']}",
    logs=f"results/{config['study']}/logs",
    benchmarks=f"results/{config['study']}/benchmarks",


wildcard_constraints:
    train_set="|".join(TRAIN_SETS),
    run=numbers_below(len(RUNS)),
    start=f"(?:{'|'.join(STARTS)})",


def source(name):
    """A file of the repository as an input, relative to the working directory, so moving both reruns nothing."""
    return os.path.relpath(ROOT / name)


def script(name):
    """The command-line script `name`."""
    return source(f"workflow_scripts/{name}")


def code(name, *loaded):
    """Script `name` and the modules behind it, as inputs: an edit reruns exactly the rules that it concerns.

    The modules are read from import statements; `loaded` are those that the script loads by name.
    """
    modules = modules_behind(SCRIPTS / name, SCRIPTS, [SCRIPTS / module for module in loaded])
    return {"script": script(name), "lib": [os.path.relpath(module) for module in modules]}


def model_code(name):
    """As `code`, for a script that makes or loads models: with the file of their family."""
    return code(name, FAMILY.path.absolute() if FAMILY.own else FAMILY.path)


def by_sum(**files):
    """Large files as inputs that are compared by the sums beside them and not by their dates."""
    sums = {f"{name}_sum": f"{path.rpartition('.')[0]}.sha256" for name, path in files.items()}
    return {name: ancient(path) for name, path in files.items()} | sums


def content_of(paths):
    """What is in files of the user: an input that is large is compared by this, as a parameter, and not by its date."""
    return content_sums(paths, MEMORY_OF_CONTENTS)


def as_json(settings):
    """What a job takes of the configuration: the same text for the same settings, in whatever order they are."""
    return json.dumps(settings, sort_keys=True)


def of_models(name, train_set=TRAIN_SETS, run=RUNS, start=STARTS):
    """The file `name` of all models, or of those of one training set, run or start."""
    path = f"<results>/runs/{{train_set}}/run{{run}}{{start}}/{name}"
    return expand(path, train_set=train_set, run=run, start=start)


def manifests(train_set=TRAIN_SETS, run=RUNS):
    """The manifests that all models are trained on, or those of one training set or run, each with its sum."""
    path = "<results>/splits/run{run}/train_{train_set}.{kind}"
    return expand(path, train_set=train_set, run=run, kind=["csv", "sha256"])


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


# What tables and figures may need: photographs of skin, that the ruler is asked for, that models are trained here, several
# starts, what the model family gives.
THERE_IS = {
    "skin": config["data"]["skin"],
    "ruler": config["report"]["ruler"],
    "training": FAMILY.trained,
    "starts": len(STARTS) > 1,
    **{given: given in FAMILY.gives for given in GIVEN},
}


def is_made(name):
    """Whether the study has what the table needs."""
    return all(THERE_IS[need] for need in TABLES[name].get("$needs", ()))


def on_gpu(stage):
    """A GPU, which some jobs share, for each job of the stage `train`, `evaluate` or `probe`; none with `device: cpu`."""
    asked = int(config[stage]["device"] != "cpu")
    return {"gpu": asked, "gpu_slots": config["gpu"]["slots_per_device"]}


def growing(mem_mb, runtime):
    """So much memory and time in the first attempt of a job, twice as much in the second."""
    return {
        "mem_mb": lambda wildcards, attempt: mem_mb * attempt,
        "runtime": lambda wildcards, attempt: runtime * attempt,
    }


def environment(name):
    """The conda environment of a stage, used with --sdm conda."""
    return str(ROOT / "envs" / f"{name}.yaml")


def say_bounds(workflow):
    """On a cluster, that the bound of a workstation does not hold there; Snakemake lists it among the resources."""
    if workflow.non_local_exec and workflow.resource_scopes.is_local("gpu"):
        logger.info(
            "gpu=1 holds for jobs that Snakemake runs itself; as many GPU jobs are submitted as --jobs allows"
        )


def drop_rate_limit(workflow):
    """Take away the bound of 100 jobs a second that Snakemake has where a user gives none.

    For it the scheduler looks for jobs again a second after every time it looked, and once more for each job that ends:
    it looks ever more often.
    """
    limiter = workflow.scheduler.job_rate_limiter
    if limiter and (limiter.max_jobs, limiter.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


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
