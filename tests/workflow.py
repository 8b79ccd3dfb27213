"""Runs the workflow in copies of the repository; for the tests of the whole line."""

import contextlib
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml
from snakemake.cli import main as snakemake_main

ROOT = Path(__file__).parents[1]
PARTS = ["Snakefile", "config.yaml", "rules", "schemas", "studies", "workflow_scripts", "envs", "report", "profiles"]
TINY = ROOT / "tests" / "tiny.yaml"
PROFILE = ["--workflow-profile", "profiles/cpu", "--cores", "2"]


def environment() -> dict[str, str]:
    """Variables for commands that call `python` themselves: the one that runs the tests. The rules find it alone."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def snakemake(folder: Path, *arguments: str, check: bool = True) -> str:
    """Run snakemake in `folder` as a user would; its output."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *PROFILE, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert not check or done.returncode == 0, output
    return output


def planned(folder: Path, *arguments: str) -> dict[str, int]:
    """How many jobs of each rule a dry run plans."""
    return jobs_of(snakemake(folder, "--dry-run", *arguments))


def jobs_of(output: str) -> dict[str, int]:
    """How many jobs of each rule a dry run has planned, from what it printed."""
    jobs = {name: int(count) for name, count in re.findall(r"^([a-z_0-9]+) +(\d+)$", output, flags=re.MULTILINE)}
    assert jobs or "Nothing to be done" in output, output
    return {name: count for name, count in jobs.items() if name not in ("total", "all")}


def dry_runs(calls: Iterable[tuple[Path, Sequence[str]]]) -> list[str]:
    """What a dry run with these arguments in this folder prints, for each of `calls`.

    Each is made by a process of its own, forked from one that has imported Snakemake: that takes half of their time.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["snakemake.cli"])
    with context.Pool(maxtasksperchild=1) as pool:
        return pool.starmap(_dry_run, calls, chunksize=1)


def _dry_run(folder: Path, arguments: Sequence[str]) -> str:
    os.chdir(folder)
    with tempfile.TemporaryFile("w+") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
        with contextlib.suppress(SystemExit):
            snakemake_main(["--dry-run", *PROFILE, *arguments])
        output.seek(0)
        return output.read()


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


def described_columns(entry: dict[str, object]) -> list[str]:
    """The columns of a table in schemas/tables.yaml; `$other` stands for those that the configuration names."""
    return [name for name in entry if not name.startswith("$") or name == "$other"]
