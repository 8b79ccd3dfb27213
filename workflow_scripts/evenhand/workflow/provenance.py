"""What a study was made from, as one record, and whether what lies there still is that."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, NamedTuple

from evenhand.workflow.config import training_settings
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import sha256_of
from evenhand.workflow.planning import run_folders

Hashes = dict[str, str]
SHOWN = 12  # digits of a sum that a reader compares


class Difference(NamedTuple):
    """One thing that is not as it was recorded."""

    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.what}: expected {self.expected}, found {self.found}"


def run_records(folder: Path, splits: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The run.json of every model of a design, in `folder`/<train_set>/run<r>; `splits` of the configuration."""
    return [
        json.loads((folder / train_set["name"] / model / "run.json").read_text("utf-8"))
        for train_set in splits["train_sets"]
        for model in run_folders(splits["runs"], splits["starts"])
    ]


def hash_files(folder: Path, names: Sequence[str], workers: int = 1) -> Hashes:
    """The SHA-256 of each file by its name below `folder`, sorted."""
    there = sorted(set(names))
    with ThreadPoolExecutor(workers) as pool:  # hashing lets other threads run
        return dict(zip(there, pool.map(lambda name: sha256_of(folder / name), there), strict=True))


def describe_code(scripts: Path) -> dict[str, str | bool | None]:
    """The git revision of the code, whether it was modified since, and one sum over every script and library module.

    Args:
        scripts: the folder workflow_scripts.
    """
    files = sorted(path.relative_to(scripts).as_posix() for path in scripts.rglob("*") if _is_code(path))
    joined = "\n".join(f"{sha256_of(scripts / name)}  {name}" for name in files)
    revision, modified = _revision(scripts)
    return {"revision": revision, "modified": modified, "scripts_sha256": hashlib.sha256(joined.encode()).hexdigest()}


def versions() -> dict[str, str]:
    """Python and every installed package with its version."""
    installed = {str(package.metadata["Name"]).lower(): package.version for package in distributions()}
    return {"python": platform.python_version(), **dict(sorted(installed.items()))}


def machine(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Where this is running, and on which devices the models of `records` (run.json) were trained."""
    trained = Counter(
        f"{record['device_name']} ({record['device']}, {record['precision']})"
        for record in records
        if "device" in record  # a frozen model was trained on none
    )
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "models_trained_on": dict(sorted(trained.items())),
    }


def read_provenance(path: Path) -> dict[str, Any]:
    """The record at `path`.

    Raises:
        UserError: there is none, or it is not one.
    """
    parts = {"study", "config", "files", "code", "versions", "machine"}
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: expected the record of a finished study; no such file. Run the study to its end, or correct the "
            "name of the study."
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: expected the record of a study as JSON; found: {error}. {_AGAIN}") from error
    if not isinstance(record, dict) or set(record) != parts:
        raise UserError(f"{path}: expected a record with the parts {', '.join(sorted(parts))}. {_AGAIN}")
    return record


def differences(folder: Path, record: Mapping[str, Any], scripts: Path, workers: int = 1) -> list[Difference]:
    """Everything that is not as `record` says: files, code, versions, and what the files say of each other.

    Args:
        folder: results/<study>.
        record: from `read_provenance`.
        scripts: the folder workflow_scripts.
    """
    recorded = record["files"] | record["machine"]["run_records"]
    found = hash_files(folder, [name for name in recorded if (folder / name).is_file()], workers)
    result = [
        Difference(name, expected, found.get(name, "no such file"))
        for name, expected in recorded.items()
        if found.get(name) != expected
    ]
    result += _contradictions(folder, record, found)
    code = describe_code(scripts)["scripts_sha256"]
    if code != record["code"]["scripts_sha256"]:
        what = f"scripts and library (recorded at revision {record['code']['revision']})"
        result.append(Difference(what, record["code"]["scripts_sha256"], str(code)))
    installed = versions()
    for name in sorted(set(installed) | set(record["versions"])):
        expected, now = record["versions"].get(name, "none"), installed.get(name, "none")
        if expected != now:
            result.append(Difference(f"version of {name}", expected, now))
    return result


def origin(record: Mapping[str, Any]) -> dict[str, str]:
    """What a study was made from in a few words, for its report."""
    code, files = record["code"], record["files"]
    short = {"metadata": "data/metadata.csv", "photographs": "data/images.npy"}
    return {
        "code": f"{code['revision']}{', modified since' if code['modified'] else ''}",
        "scripts": str(code["scripts_sha256"])[:SHOWN],
        **{what: files[name][:SHOWN] for what, name in short.items() if name in files},
    }


_AGAIN = "Delete it and run the study again."


def _contradictions(folder: Path, record: Mapping[str, Any], found: Hashes) -> Iterator[Difference]:
    """Where a training's own record names other settings than the study's, and the packed images another sum."""
    images = folder / "data" / "images.json"
    if images.is_file():
        packed = json.loads(images.read_text("utf-8"))["sha256"]
        if found.get("data/images.npy", packed) != packed:
            yield Difference("data/images.npy against data/images.json", packed, found["data/images.npy"])
    models = [name for name in found if name.endswith("/model.safetensors")]
    if models:  # a study of given embeddings trains none
        settings = training_settings(record["config"])
        for name in models:
            run = folder / name.replace("model.safetensors", "run.json")
            trained = json.loads(run.read_text("utf-8"))["config"] if run.is_file() else {}
            for block, value in trained.items():
                wanted = settings.get(block)
                if wanted != value:
                    yield Difference(f"{block} in {run.relative_to(folder)}", json.dumps(wanted), json.dumps(value))


def _is_code(path: Path) -> bool:
    return path.is_file() and path.suffix in (".py", ".j2")


def _revision(folder: Path) -> tuple[str, bool | None]:
    """The commit that holds `folder`, and whether code in it differs from that commit."""

    def git(*arguments: str) -> str:
        # A checkout may belong to somebody else, and then it stays as it is: git writes no new index. Its code has been
        # run already, so it is trusted.
        options = ["-c", "safe.directory=*", "--no-optional-locks", "-C", str(folder)]
        return subprocess.check_output(["git", *options, *arguments], stderr=subprocess.DEVNULL, text=True)

    try:
        git("ls-files", "--error-unmatch", "--", "evenhand")  # a copy inside another repository is none of its files
        revision = git("rev-parse", "HEAD").strip()
        changed = git("status", "--porcelain", "--", ".", "../rules", "../schemas", "../Snakefile")
    except FileNotFoundError:
        return "unknown, git is not installed", None
    except subprocess.CalledProcessError:
        return "unknown, not a git checkout", None
    return revision, bool(changed.strip())


def _processor() -> str:
    """The model of the processor in words, as Linux names it; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or sys.platform
