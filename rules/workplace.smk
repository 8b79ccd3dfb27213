# Where the study runs: the code, the Python of its jobs, the configuration, what a workstation bears.
# Read before all other rule files, and again by every cluster job (so nothing here imports torch).
import os
import sys
from pathlib import Path

import yaml

ROOT = Path(str(workflow.current_basedir)).parent
SCRIPTS = ROOT / "workflow_scripts"
sys.path.insert(0, str(SCRIPTS))
if Path.cwd() != ROOT.resolve():
    # A checkout that others share stays as it is: no compiled modules, neither from here nor from the jobs.
    sys.dont_write_bytecode = True
    os.environ.update(PYTHONDONTWRITEBYTECODE="1")

from evenhand.models.registry import check_family, check_packages, declared, without_training
from evenhand.probes.configuration import name_groups
from evenhand.workflow.config import check_config, read_as_yaml
from evenhand.workflow.errors import UserError
from evenhand.workflow.planning import activate
from evenhand.workflow.planning import expand_paths

try:
    # The rules call `python`: the one that runs Snakemake, unless they have an environment of their own.
    same_python = not workflow.deployment_settings.deployment_method
    for line in activate(os.environ) if same_python else []:
        logger.warning(line)
    read_as_yaml(config, workflow.config_settings.config)
    # The loader in C: ten times as fast as the one in Python.
    schema, defaults = (
        yaml.load((ROOT / name).read_text(), yaml.CSafeLoader)
        for name in ("schemas/config.schema.yaml", "config.yaml")
    )
    check_config(config, schema)
    expand_paths(config, os.environ)
    check_family(config, defaults)
    if same_python:
        check_packages(config["model"]["family"])
    if not declared(config["model"]["family"]).trained:
        without_training(config)
    name_groups(config["probe"]["sources"], config["splits"]["groups"])
except UserError as error:
    raise WorkflowError(str(error)) from None

if "gpu_model" in (workflow.resource_settings.default_resources or {}):
    # Slurm's plugin reads a type without a number as a request for one.
    raise WorkflowError(
        "gpu_model among the default resources asks for a GPU in every job, also in those that use none. Give it with"
        " set-resources to the rules that use one; profiles/slurm/profile.yaml has the lines."
    )

# What is bounded where --resources says nothing. Not in a profile: the list of the profile that applies by itself would
# replace the one in a user's own.
if workflow.is_main_process and workflow.modifier.is_main_snakefile():
    workflow.global_resources.setdefault("http", 4)
    if "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", 1)

        # One GPU where Snakemake runs the jobs itself; of a cluster's jobs each has its own, as many as there are.
        resource_scopes:
            gpu="local",
