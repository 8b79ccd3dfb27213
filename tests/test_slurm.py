"""The tiny study on a Slurm of this host, and what goes wrong on clusters: memory, time, lost jobs and daemons."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from workflow import ROOT, copy_workflow, environment, overlay, planned, snakemake

pytestmark = pytest.mark.slurm

CLUSTER = ROOT / "tests" / "slurm" / "cluster"
LAUNCHER = ROOT / "tests" / "slurm" / "snakemake_polling_often.py"
SLURM_PROGRAMS = ("munged", "slurmctld", "slurmd")
SEARCH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
MODEL = "results/tiny/runs/B/run0"
ONE_MODEL = f"{MODEL}/evaluation.parquet"
# Long enough to be interrupted after its first checkpoint: without the perceptual loss an epoch takes some ten
# milliseconds.
LONG: dict[str, dict[str, int]] = {"loss": {"feature_scale": 0}, "train": {"epochs": 600}}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a running Slurm with two GPUs."""
    if os.getuid() != 0 or any(shutil.which(program, path=SEARCH) is None for program in SLURM_PROGRAMS):
        pytest.skip("needs root and the Debian packages slurm-wlm and munge")
    folder = tmp_path_factory.mktemp("slurm")
    # pytest's folders are closed to others, which munged refuses for its socket.
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    subprocess.run([CLUSTER, "start", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run([CLUSTER, "stop", folder], check=True)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study up to its trainings, which are made long and save a checkpoint every second; made without Slurm."""
    folder = copy_workflow(tmp_path_factory.mktemp("prepared") / "project")
    overlay(folder, **LONG)
    rule = folder / "rules" / "train.smk"
    often = rule.read_text().replace("--threads {threads}", "--threads {threads} --checkpoint-seconds 1")
    assert often != rule.read_text()
    rule.write_text(often)
    snakemake(folder, "--configfile", "tiny.yaml", "--", "splits", "results/tiny/perceptual/vgg19.safetensors")
    return folder


@pytest.fixture
def project(cluster: Path, prepared: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the prepared study; what it leaves in the queue is cancelled."""
    yield shutil.copytree(prepared, tmp_path / "project")
    subprocess.run(["scancel", "--user", "root"], check=True)
    wait_for(lambda: not queue(), 30)


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start Snakemake with the Slurm profile; its output goes to slurm.log in `project`."""
    with (project / "slurm.log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, LAUNCHER, "--workflow-profile", "profiles/slurm", "--configfile", "tiny.yaml", *arguments],
            cwd=project,
            env=environment() | {"OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def finish(project: Path, process: subprocess.Popen[str], seconds: float = 600) -> str:
    """Wait for Snakemake's success; its output."""
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        code = -1
    output = (project / "slurm.log").read_text()
    assert code == 0, output
    return output


def queue() -> list[tuple[str, str, str]]:
    """(job number, state, comment: rule and wildcards) of each job in the queue."""
    lines = subprocess.run(["squeue", "--noheader", "--format=%i|%T|%k"], capture_output=True, text=True, check=True)
    return [(number, state, comment) for number, state, comment in (row.split("|") for row in lines.stdout.split())]


def wait_for(condition: Callable[[], object], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.3)


def submitted(project: Path) -> list[str]:
    """The numbers of the jobs that train."""
    return re.findall(r"submitted with SLURM jobid (\d+) \(log: \S*/group_model_", (project / "slurm.log").read_text())


def state_of(cluster: Path, job: str) -> str:
    """The final state of a job, such as COMPLETED or TIMEOUT."""
    found = re.findall(rf"^JobId={job} .*? JobState=(\S+) ", (cluster / "log" / "jobs.txt").read_text(), re.MULTILINE)
    return found[-1] if found else ""


def training_log(project: Path) -> str:
    return (project / "results/tiny/logs/train_vae/B.run0.log").read_text()


def wait_for_checkpoint(project: Path) -> None:
    wait_for((project / MODEL / ".checkpoint.safetensors").exists)


def trainings(project: Path) -> list[int]:
    """The processes that train in `project`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            arguments = (process / "cmdline").read_bytes().split(b"\0")
            if b"workflow_scripts/train_vae.py" in arguments and (process / "cwd").resolve() == project:
                found.append(int(process.name))
    return found


def assert_resumed(project: Path) -> None:
    """The training went on from its checkpoint, and has every epoch once."""
    assert int(re.findall(r"continuing after epoch (\d+)", training_log(project))[0]) > 0
    epochs = pd.read_csv(project / MODEL / "history.csv")["epoch"]
    assert list(epochs) == list(range(1, LONG["train"]["epochs"] + 1))


def test_the_study_ends_and_gpus_bound_the_trainings(cluster: Path, tmp_path: Path) -> None:
    project = copy_workflow(tmp_path / "project")
    process = start(project)
    most = 0
    while process.poll() is None:
        gpu_jobs = subprocess.run(
            ["squeue", "--noheader", "--states=RUNNING", "--Format=tres-per-job:40"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        most = max(most, gpu_jobs.count("gpu"))
        time.sleep(0.3)
    output = finish(project, process)
    assert (project / "results/tiny/report.html").exists()
    # Six trainings are ready at once and there is memory and processors for all of them: two GPUs, two jobs.
    assert most == 2
    # One job per model, in which the evaluation follows the training.
    assert len(submitted(project)) == 6
    # Downloads, small tables and plots stay off the compute nodes.
    rules = set(re.findall(r"/rule_([a-z0-9_]+)/", output))
    assert not {rule for rule in rules if rule.startswith(("plot_", "download_", "fetch_", "report_"))}
    assert planned(project, "--configfile", "tiny.yaml") == {}


# Lines of the profile that a site uncomments (default-resources, set-resources), and what Slurm then knows of a job.
SITES = [
    (r"^  # (- )", {"Partition": "gpu", "Account": "lab", "TresPerJob": "gres:gpu:a100:1"}),
    (r"^# (set-resources:|  - )", {"Partition": "gpu-long", "TimeLimit": "03:50:00", "TresPerNode": "gres:gpu:a100:1"}),
]


@pytest.mark.parametrize(("commented", "expected"), SITES)
def test_what_a_site_edits_in_the_profile_reaches_slurm(
    cluster: Path, project: Path, commented: str, expected: dict[str, str]
) -> None:
    profile = project / "profiles" / "slurm" / "profile.yaml"
    indent = "  " if commented.startswith("^  ") else ""
    profile.write_text(re.sub(commented, rf"{indent}\1", profile.read_text(), flags=re.MULTILINE))
    process = start(project, "--", ONE_MODEL)
    wait_for(lambda: submitted(project))
    (job,) = submitted(project)
    shown = subprocess.check_output(["scontrol", "show", "job", job], text=True)
    known = dict(re.findall(r"(\w+)=(\S*)", shown))
    assert {key: known.get(key) for key in expected} == expected
    os.killpg(process.pid, signal.SIGKILL)


def test_a_job_killed_for_memory_gets_more(cluster: Path, project: Path) -> None:
    little = "260 if attempt == 1 else 4000"
    options = ["--set-resources", f"train_vae:mem_mb={little}", f"evaluate_vae:mem_mb={little}"]
    finish(project, start(project, *options, "--", ONE_MODEL))
    first, second = submitted(project)
    assert (state_of(cluster, first), state_of(cluster, second)) == ("FAILED", "COMPLETED")
    assert "memory" in (cluster / "log" / "slurmd.log").read_text()


def test_a_job_killed_for_time_resumes_with_more(cluster: Path, project: Path) -> None:
    # Slurm's shortest limit is a minute, enforced every thirty seconds; the training is halted until then.
    options = ["--set-resources", "train_vae:runtime=1 if attempt == 1 else 30", "evaluate_vae:runtime=0"]
    process = start(project, *options, "--", ONE_MODEL)
    wait_for_checkpoint(project)
    for training in trainings(project):
        os.kill(training, signal.SIGSTOP)
    finish(project, process)
    first, second = submitted(project)
    assert (state_of(cluster, first), state_of(cluster, second)) == ("TIMEOUT", "COMPLETED")
    assert_resumed(project)


def test_a_cancelled_training_resumes_in_the_next_call(cluster: Path, project: Path) -> None:
    process = start(project, "--retries", "0", "--", ONE_MODEL)
    wait_for_checkpoint(project)
    subprocess.run(["scancel", *submitted(project)], check=True)
    assert process.wait(60) != 0
    finish(project, start(project, "--retries", "0", "--", ONE_MODEL))
    assert_resumed(project)


def test_a_restarted_controller_loses_no_job(cluster: Path, project: Path) -> None:
    process = start(project, "--retries", "0", "--", ONE_MODEL)
    wait_for_checkpoint(project)
    subprocess.run([CLUSTER, "restart", cluster], check=True)
    finish(project, process)
    assert len(submitted(project)) == 1
    assert "continuing" not in training_log(project)


def kill_and_start_again(project: Path, process: subprocess.Popen[str], meanwhile: Callable[[], None]) -> None:
    """Kill Snakemake while its job trains, and start it again after `meanwhile`; the folder is locked and says so."""
    wait_for_checkpoint(project)
    os.killpg(process.pid, signal.SIGKILL)
    meanwhile()
    assert start(project, "--", ONE_MODEL).wait(60) != 0
    assert "--unlock" in (project / "slurm.log").read_text()
    snakemake(project, "--configfile", "tiny.yaml", "--unlock")
    finish(project, start(project, "--", ONE_MODEL))
    wait_for(lambda: not queue(), 60)
    assert len(pd.read_csv(project / MODEL / "history.csv")) == LONG["train"]["epochs"]
    assert planned(project, "--configfile", "tiny.yaml", "--", ONE_MODEL) == {}


def test_a_killed_snakemake_takes_over_what_still_trains(cluster: Path, project: Path) -> None:
    kill_and_start_again(project, start(project, "--", ONE_MODEL), meanwhile=lambda: None)
    assert "this training has ended before" in training_log(project)
    assert "epoch 1/" not in training_log(project)


def test_a_killed_snakemake_believes_what_has_trained(cluster: Path, project: Path) -> None:
    record = project / MODEL / "run.json"
    kept = []

    def until_it_ends() -> None:
        wait_for(lambda: not queue(), 300)
        assert state_of(cluster, submitted(project)[0]) == "COMPLETED"
        kept.append(record.read_bytes())

    kill_and_start_again(project, start(project, "--", ONE_MODEL), until_it_ends)
    # The record holds the seconds of the training: another one would have others.
    assert [record.read_bytes()] == kept
