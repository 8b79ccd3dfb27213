"""The record of what a study was made from, and `make verify`: every change of it is named."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from workflow import environment

from evenhand.workflow.provenance import describe_code, differences, hash_files, read_provenance, versions


def verify(study: Path) -> tuple[int, str]:
    """Exit status and output of the check, as `make verify STUDY=tiny` calls it."""
    done = subprocess.run(
        [sys.executable, "workflow_scripts/verify_study.py", "results/tiny"],
        cwd=study,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@contextmanager
def put_back(*paths: Path) -> Iterator[None]:
    """Give the files their bytes and dates back: other tests ask Snakemake what is out of date in this study."""
    kept = {path: (path.read_bytes(), path.stat()) for path in paths}
    yield
    for path, (content, status) in kept.items():
        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_finished_study_is_as_recorded(finished: Path) -> None:
    status, output = verify(finished)
    assert status == 0, output
    record = json.loads((finished / "results" / "tiny" / "provenance.json").read_text())
    # The defaults are in it, which the study's own file does not name.
    assert record["config"]["train"]["clip_norm"] == 10.0
    assert record["config"]["train"]["epochs"] == 2
    assert record["code"]["revision"] == "unknown, not a git checkout"
    assert {"data/metadata.csv", "data/images.npy", "splits/run1/train_B.csv", "runs/C/run1/model.safetensors"} <= set(
        record["files"]
    )
    assert sum(record["machine"]["models_trained_on"].values()) == 6
    assert str(finished) not in json.dumps(record)


@pytest.mark.parametrize(
    "name",
    [
        *("data/metadata.csv", "data/images.npy", "data/images.json", "splits/run0/test.csv", "tables/claims.csv"),
        *("runs/A/run0/model.safetensors", "runs/A/run0/run.json", "runs/B/run1/evaluation.parquet"),
        "perceptual/vgg19.safetensors",
    ],
)
def test_one_changed_byte_is_named(finished: Path, name: str) -> None:
    path = finished / "results" / "tiny" / name
    before = path.read_bytes()
    with put_back(path):
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]) if path.suffix != ".json" else before + b"\n")
        status, output = verify(finished)
    assert status == 1
    assert f"{name}: expected " in output
    assert "Traceback" not in output


def test_a_missing_file_and_another_setting_are_named(finished: Path) -> None:
    results = finished / "results" / "tiny"
    record = json.loads((results / "provenance.json").read_text())
    record["config"]["train"]["epochs"] = 99
    record["versions"]["numpy"] = "0.1"
    with put_back(results / "splits/run1/train_B.csv", results / "provenance.json"):
        (results / "splits/run1/train_B.csv").unlink()
        (results / "provenance.json").write_text(json.dumps(record))
        status, output = verify(finished)
    assert status == 1
    assert "splits/run1/train_B.csv: expected " in output
    assert "found no such file" in output
    assert '"epochs": 99' in output
    assert f"version of numpy: expected 0.1, found {versions()['numpy']}" in output


def test_edited_code_is_named(study: Path) -> None:
    module = study / "workflow_scripts" / "evenhand" / "data" / "tone.py"
    module.write_text(module.read_text() + "\n# edited\n")
    status, output = verify(study)
    assert status == 1
    assert "scripts and library" in output


def test_a_study_that_is_not_there_is_one_message(finished: Path, tmp_path: Path) -> None:
    script = finished / "workflow_scripts" / "verify_study.py"
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path}/provenance.json: expected")
    (tmp_path / "provenance.json").write_text('{"study": "x"}')
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "expected a record with the parts" in done.stderr


def test_the_revision_is_that_of_the_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        return subprocess.check_output(["git", "-C", tmp_path, *identity, *arguments], text=True).strip()

    scripts = tmp_path / "workflow_scripts"
    module = scripts / "evenhand" / "workflow" / "seeds.py"
    module.parent.mkdir(parents=True)
    module.write_text("x = 1\n")
    (tmp_path / "rules").mkdir()
    git("init", "-q")
    assert describe_code(scripts)["revision"] == "unknown, not a git checkout"  # in a repository, but none of its files
    git("add", ".")
    git("commit", "-qm", "one")
    clean = describe_code(scripts)
    assert (clean["revision"], clean["modified"]) == (git("rev-parse", "HEAD"), False)
    (tmp_path / "notes.txt").write_text("no code")
    assert describe_code(scripts) == clean
    module.write_text("x = 2\n")
    changed = describe_code(scripts)
    assert changed["modified"] is True
    assert changed["scripts_sha256"] != clean["scripts_sha256"]


def test_differences_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    scripts = Path(__file__).parents[1] / "workflow_scripts"
    record = {
        "study": "x",
        "config": {},
        "files": hash_files(tmp_path, ["a"]),
        "code": describe_code(scripts),
        "versions": versions(),
        "machine": {"run_records": {}},
    }
    (tmp_path / "provenance.json").write_text(json.dumps(record))
    assert differences(tmp_path, read_provenance(tmp_path / "provenance.json"), scripts) == []
