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

INJECT = Path(__file__).parent / "inject"
# Few and short probes: what is tested is that they end with the same bytes.
ASKED = {
    "attributes": [
        {"name": "tone", "kind": "binary", "columns": ["group"], "values": {"light": "light", "dark": "dark"}}
    ],
    "diseases": [{"name": "class", "kind": "multiclass", "columns": ["condition_3"]}],
}
PROBES = {
    **{"folds": 3, "allow_fewer_folds": True, "fractions": [0, 0.5], "random_draws": 1},
    **{"bottom": False, "shuffled": False, "leace": False, "logistic": False},
    "mlp": {"hidden_small": [8], "max_epochs": 2, "patience": 1},
    "sources": [
        {"name": "vae", "kind": "vae", **ASKED},
        {"name": "rest", "kind": "vae", "images": "unseen", **ASKED},
        {"name": "clip", "kind": "openclip", "model": "tiny", **ASKED},  # inject/open_clip.py
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
    "splits": {"test_size": 20, "train_size": 24, "min_train_size": 8},  # what those images can fill
    "probe": {"lookalike": {"patients": 60, "features": 8}},
}
LOCAL_TARGETS = [
    *("results/local/data/downloads/shard0.csv", "results/local/lookalike/mimic.csv"),
    *("results/local/checks/sources.txt", "results/local/data/searched/packed.sha256"),
    "results/local/tables/power.csv",
]
# In place of training a codec is kept as a model; with other images than above, so that no job is an equal one.
FROZEN = {
    **{"study": "frozen", "data": LOCAL["data"] | {"sources": LOCAL["data"]["sources"][:1], "image_size": 24}},
    **{"splits": {"runs": 1, "test_size": 20, "train_sets": []}, "report": {"probes": False}},
    "model": {"family": "codec", "options": {"kind": "WEBP", "quality": 30}},
}
STUDIES = {
    "tiny.yaml": ["all", "metadata", "probe"],
    "local.yaml": LOCAL_TARGETS,
    "frozen.yaml": ["results/frozen/runs/frozen/run0/model.safetensors"],
}
# How long a training took is in its record, and the sum of that in the study's.
MEASURED = {"seconds", "images_per_second", "peak_memory_mb"}


@dataclass(frozen=True)
class Job:
    """One job of the line: the shell command that Snakemake would run, the files it declares and how long it took."""

    rule: str
    command: str
    outputs: tuple[str, ...]
    log: str
    seconds: float


def rules(folder: Path) -> set[str]:
    """The names of all rules of all studies."""
    found: set[str] = set()
    for study in STUDIES:
        listed = subprocess.run(
            [sys.executable, "-m", "snakemake", "--configfile", study, "--list-rules"],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        found |= set(listed.stdout.split())
    return found


def jobs(folder: Path, *arguments: str) -> dict[str, Job]:
    """The first job of every rule that a dry run of everything plans."""
    output = snakemake(folder, *arguments, "--dry-run", "--forceall", "--printshellcmds")
    found: dict[str, Job] = {}
    for block in re.split(r"^(?:local)?rule (?=\w+:$)", output, flags=re.MULTILINE)[1:]:
        rule = block.partition(":")[0]
        command = re.search(r"^Shell command: (.*)$", block, flags=re.MULTILINE)
        if rule not in found and command and command[1] != "None":
            outputs, log, benchmark = (
                re.search(rf"^    {part}: (.*)$", block, flags=re.MULTILINE) for part in ("output", "log", "benchmark")
            )
            assert outputs
            assert log
            assert benchmark
            seconds = float((folder / benchmark[1]).read_text().splitlines()[1].split()[0])
            found[rule] = Job(rule, command[1], tuple(outputs[1].split(", ")), log[1], seconds)
    return found


def configure(folder: Path) -> None:
    """Write the settings of the studies into a copy of the workflow."""
    tiny = yaml.safe_load(TINY.read_text()) | {"report": {"probes": True}, "probe": PROBES}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(tiny))
    (folder / "local.yaml").write_text(yaml.safe_dump(LOCAL))
    (folder / "frozen.yaml").write_text(yaml.safe_dump(FROZEN))


def start(
    folder: Path, job: Job, *prefix: str, command: str = "", clear: bool = True, **variables: str
) -> subprocess.Popen[bytes]:
    """Start a stage's command in a process group of its own, as Snakemake does it but without Snakemake.

    Args:
        folder: a copy of the workflow.
        job: as planned there.
        prefix: a program that runs the command, such as strace with its options.
        command: instead of the job's own.
        clear: remove the outputs first, as Snakemake does.
        variables: for inject/sitecustomize.py.
    """
    if clear:
        for output in job.outputs:
            (folder / output).unlink(missing_ok=True)
    return subprocess.Popen(
        [*without_network(), *prefix, "bash", "-c", f"set -euo pipefail; {command or job.command}"],
        cwd=folder,
        env=environment() | variables,
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
    for closed in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        if (
            shutil.which("unshare")
            and subprocess.run([*closed, "true"], capture_output=True, check=False).returncode == 0
        ):
            return closed
    return []


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
