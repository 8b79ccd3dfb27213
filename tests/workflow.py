"""Runs the workflow in copies of the repository; for the tests of the whole line."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PARTS = ["Snakefile", "config.yaml", "rules", "schemas", "studies", "workflow_scripts", "envs", "report", "profiles"]
TINY = ROOT / "tests" / "tiny.yaml"


def environment() -> dict[str, str]:
    """The rules call `python`: the one that runs the tests."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def snakemake(folder: Path, *arguments: str, check: bool = True) -> str:
    """Run snakemake in `folder` as a user would; its output."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/cpu", "--cores", "2", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert not check or done.returncode == 0, output
    return output


def planned(folder: Path, *arguments: str) -> dict[str, int]:
    """How many jobs of each rule a dry run plans."""
    output = snakemake(folder, "--dry-run", *arguments)
    jobs = {name: int(count) for name, count in re.findall(r"^([a-z_0-9]+) +(\d+)$", output, flags=re.MULTILINE)}
    if not jobs:
        assert "Nothing to be done" in output
    return {name: count for name, count in jobs.items() if name not in ("total", "all")}


def copy_workflow(folder: Path) -> Path:
    """A copy of the workflow without results, and of the tiny study."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.rmtree(folder / part, ignore_errors=True)
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, folder / part)
    shutil.copy(TINY, folder / "tiny.yaml")
    return folder


def overlay(study: Path, **changes: object) -> None:
    """Change keys of the study's configuration; of blocks, those that are given."""
    config = yaml.safe_load(TINY.read_text())
    for key, value in changes.items():
        config[key] = {**config.get(key, {}), **value} if isinstance(value, dict) else value
    (study / "tiny.yaml").write_text(yaml.safe_dump(config))
