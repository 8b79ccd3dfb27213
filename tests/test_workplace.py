"""Snakemake as people start it: without an activated environment, from another directory, on a checkout of others."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from workflow import ROOT, TINY, jobs_of

from evenhand.workflow.errors import UserError
from evenhand.workflow.planning import command_first, without_shadows

BARE_PATH = os.pathsep.join(("/usr/bin", "/bin"))


def tree(folder: Path) -> dict[str, int]:
    """Every file below a folder, with the time of its last change."""
    return {str(path.relative_to(folder)): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def elsewhere(mine: Path, checkout: Path, *arguments: str, **variables: str) -> str:
    """Run the tiny study of `checkout` in the folder `mine`, with nothing of the caller's environment."""
    mine.mkdir(exist_ok=True)
    shutil.copy(TINY, mine)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", checkout / "Snakefile", "--directory", mine),
            *("--configfile", mine / "tiny.yaml", "--cores", "2", *arguments),
        ],
        cwd=mine.parent,
        env={"PATH": BARE_PATH, "HOME": str(mine)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


@pytest.fixture
def checkout(repository: Path) -> Path:
    """A checkout that may be read only; root can write all the same, so the tests look whether anything is."""
    for path in (repository, *repository.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return repository


def test_the_rules_call_the_python_of_snakemake(checkout: Path, tmp_path: Path) -> None:
    # Another Python comes first on PATH, and packages for yet another one on PYTHONPATH.
    others, packages = tmp_path / "others", tmp_path / "packages"
    (packages / "PIL").mkdir(parents=True)
    (packages / "PIL" / "__init__.py").write_text("raise ImportError('of another environment')")
    others.mkdir()
    (others / "python").write_text("#!/bin/sh\necho another python\nexit 3\n")
    (others / "python").chmod(0o755)
    before = tree(checkout)
    output = elsewhere(
        tmp_path / "mine",
        checkout,
        "results/tiny/data/metadata.csv",
        PATH=os.pathsep.join((str(others), BARE_PATH)),
        PYTHONPATH=str(packages),
    )
    assert (tmp_path / "mine" / "results" / "tiny" / "data" / "metadata.csv").is_file()
    assert f"PYTHONPATH: {packages} is left out, its PIL would replace that of {sys.prefix}" in output
    # Nothing was written beside the code.
    assert tree(checkout) == before


def test_the_configuration_lies_beside_the_snakefile_and_a_folders_own_changes_keys_of_it(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    jobs = jobs_of(elsewhere(mine, ROOT, "--dry-run", "--workflow-profile", "cpu"))
    assert (jobs["train_vae"], jobs["report_page"]) == (6, 1)
    (mine / "config.yaml").write_text(yaml.safe_dump({"splits": {"runs": 5}, "report": {"patient_images": False}}))
    more = jobs_of(elsewhere(mine, ROOT, "--dry-run"))
    # What the overlay of the command line says still comes first.
    assert more["train_vae"] == jobs["train_vae"]
    assert "plot_reconstructions_light" in jobs.keys() - more.keys()


@pytest.mark.slow
def test_a_whole_study_in_another_directory_writes_nothing_beside_the_code(checkout: Path, tmp_path: Path) -> None:
    before = tree(checkout)
    output = elsewhere(tmp_path / "mine", checkout, "--workflow-profile", "cpu", "--verbose")
    assert (tmp_path / "mine" / "results" / "tiny" / "report.html").is_file()
    # The scheduler looks for jobs when one ends, not ever more often as Snakemake has it (`drop_rate_limit`).
    assert output.count("Ready jobs:") <= 2 * sum(jobs_of(output).values())
    elsewhere(tmp_path / "mine", checkout, "--report", str(tmp_path / "report.zip"))
    assert (tmp_path / "report.zip").is_file()
    assert tree(checkout) == before
    assert "Nothing to be done" in elsewhere(tmp_path / "mine", checkout, "--dry-run")


def test_the_running_python_is_the_first_on_the_path() -> None:
    folder = str(Path(sys.executable).parent)
    assert command_first("/a:/b") == f"{folder}:/a:/b"
    assert command_first(f"/a:{folder}:/b") == f"{folder}:/a:/b"


def test_a_python_under_another_name_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    with pytest.raises(UserError, match="the rules call `python`: expected it at"):
        command_first("/usr/bin")


def test_folders_without_packages_of_the_environment_stay_on_pythonpath(tmp_path: Path) -> None:
    (tmp_path / "mine" / "my_tools").mkdir(parents=True)
    kept = f"{tmp_path}/mine:{tmp_path}/absent"
    assert without_shadows(kept) == (kept, [])
    assert without_shadows("") == ("", [])
