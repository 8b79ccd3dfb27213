"""The stages of the line one by one, as command lines, and folders in which they can be hurt."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from workflow import TINY, environment, snakemake

# Few and short probes: what is tested is that they end with the same bytes.
PROBES = {
    **{"folds": 3, "allow_fewer_folds": True, "fractions": [0, 0.5], "random_draws": 1},
    **{"bottom": False, "shuffled": False, "leace": False, "logistic": False},
    "mlp": {"hidden_small": [8], "max_epochs": 2, "patience": 1},
    "sources": [
        {
            **{"name": "vae", "kind": "vae"},
            "attributes": [
                {"name": "tone", "kind": "binary", "columns": ["group"], "values": {"light": "light", "dark": "dark"}}
            ],
            "diseases": [{"name": "class", "kind": "multiclass", "columns": ["three_partition_label"]}],
        }
    ],
}
# What `all` of the tiny study does not use: files in an archive and behind URLs, and generated embeddings.
LOCAL = {
    "study": "local",
    "data": {
        "metadata": "results/tiny/data/phantom/metadata.csv",
        "metadata_sha256": None,
        "sources": [{"archive": "results/tiny/data/phantom/images.zip"}, {"urls": True}],
        "image_size": 16,
        "download": {"shards": 2},
    },
    "probe": {"lookalike": {"patients": 60, "features": 8}},
}
LOCAL_TARGETS = ["results/local/data/downloads/shard0.csv", "results/local/lookalike/mimic.csv"]
# How long a training took is in its record, and the sum of that in the study's.
MEASURED = {"seconds", "images_per_second", "peak_memory_mb"}


@dataclass(frozen=True)
class Job:
    """One job of the line: the shell command that Snakemake would run and the files that it declares."""

    rule: str
    command: str
    outputs: tuple[str, ...]
    log: str


def jobs(folder: Path, *arguments: str) -> dict[str, Job]:
    """The first job of every rule that a dry run of everything plans."""
    output = snakemake(folder, *arguments, "--dry-run", "--forceall", "--printshellcmds")
    found: dict[str, Job] = {}
    for block in re.split(r"^(?:local)?rule (?=\w+:$)", output, flags=re.MULTILINE)[1:]:
        rule = block.partition(":")[0]
        command = re.search(r"^Shell command: (.*)$", block, flags=re.MULTILINE)
        if rule not in found and command and command[1] != "None":
            outputs, log = (re.search(rf"^    {part}: (.*)$", block, flags=re.MULTILINE) for part in ("output", "log"))
            assert outputs
            assert log
            found[rule] = Job(rule, command[1], tuple(outputs[1].split(", ")), log[1])
    return found


def configure(folder: Path) -> None:
    """Write the settings of the two studies into a copy of the workflow."""
    tiny = yaml.safe_load(TINY.read_text()) | {"report": {"probes": True}, "probe": PROBES}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(tiny))
    (folder / "local.yaml").write_text(yaml.safe_dump(LOCAL))


def start(folder: Path, job: Job, *, command: str, clear: bool = True) -> subprocess.Popen[bytes]:
    """Start a stage's command in a process group of its own, as Snakemake does it but without Snakemake.

    Args:
        folder: a copy of the workflow.
        job: as planned there.
        command: the job's own, with what the test changed in it.
        clear: remove the outputs first, as Snakemake does.
    """
    if clear:
        for output in job.outputs:
            (folder / output).unlink(missing_ok=True)
    return subprocess.Popen(
        [*without_network(), "bash", "-c", f"set -euo pipefail; {command}"],
        cwd=folder,
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def content(path: Path) -> bytes | None:
    """What a product says, without what is measured anew each time; None: it is not there."""
    if not path.exists():
        return None
    if path.name == "run.json":
        record = json.loads(path.read_text())
        return json.dumps({key: value for key, value in record.items() if key not in MEASURED}).encode()
    if path.name == "provenance.json":
        record = json.loads(path.read_text())
        del record["machine"]["run_records"]
        return json.dumps(record).encode()
    return path.read_bytes()


def products(folder: Path) -> dict[str, bytes]:
    """Every product below results/ with its content.

    Left out: logs and benchmarks, which tell times; hidden files, which a stage goes on from; and the page, which
    shows how long trainings took.
    """
    results = folder / "results"
    found = {}
    for path in sorted(results.rglob("*")):
        name = path.relative_to(results)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and not hidden and not {"logs", "benchmarks", "report.html"} & set(name.parts):
            found[str(name)] = content(path) or b""
    return found


@cache
def without_network() -> list[str]:
    """A prefix that closes the network for a command, where this machine lets us; else nothing."""
    closed = ["unshare", "--net"]
    works = shutil.which("unshare") and subprocess.run([*closed, "true"], capture_output=True, check=False)
    return closed if works and works.returncode == 0 else []


def may_mount() -> bool:
    """Whether a file system can be mounted here."""
    probe = "mount -t tmpfs none /mnt"
    command = ["unshare", "--mount", "bash", "-c", probe]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def full_disk(folder: Path) -> Iterator[Path]:
    """A file system at `folder` with no byte left."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    try:
        with open(folder / "filler", "wb", buffering=0) as filler:
            try:
                while filler.write(bytes(4096)):
                    pass
            except OSError:
                pass
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """`folder` as it is, but nobody can write, root included."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def snakemake_process(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Snakemake in a process group of its own, to be killed."""
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/cpu", "--cores", "2", *arguments],
        cwd=folder,
        env=environment(),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
