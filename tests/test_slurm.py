"""The tiny study on a Slurm of this host, and what goes wrong on clusters: memory, time, lost jobs and daemons."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from workflow import ROOT, copy_workflow, environment, overlay, planned, snakemake

pytestmark = pytest.mark.slurm

CLUSTER = ROOT / "tests" / "slurm" / "cluster"
LAUNCHER = ROOT / "tests" / "slurm" / "snakemake_polling_often.py"
CANNOT = 3  # exit status of `cluster start` where it cannot
MODEL = "results/tiny/runs/B/run0"
TRAINED = f"{MODEL}/model.safetensors"
EVALUATED = f"{MODEL}/evaluation.parquet"
# Long enough to be halted after its first checkpoint, on any machine: waiting looks twenty times a second.
EPOCHS = 200
LONG = {"loss": {"feature_scale": 0}, "train": {"epochs": EPOCHS, "device": "auto"}}
# Far more than anything takes: whoever waits this long waits for what will not happen.
LIMIT = 900


class Study:
    """A copy of the study, and the Snakemakes that were started in it; their output is in slurm.log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "slurm.log"
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Snakemake with the Slurm profile."""
        options = ["--workflow-profile", "profiles/slurm", "--configfile", "tiny.yaml", *arguments]
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [sys.executable, LAUNCHER, *options],
                cwd=self.folder,
                env=environment() | {"OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def kill(self) -> None:
        """Kill each Snakemake; jobs in the queue go on."""
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def finish(self, process: subprocess.Popen[str], success: bool = True) -> str:
        """Wait for the end of a Snakemake; all output so far."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LIMIT)
        output = self.log.read_text()
        assert process.returncode is not None, f"has not ended:\n{output}"
        assert (process.returncode == 0) == success, output
        return output

    def jobs(self, kind: str = "group_model") -> list[str]:
        """The numbers of the jobs that were submitted (to train), first to last."""
        return re.findall(rf"submitted with SLURM jobid (\d+) \(log: \S*/{kind}", self.log.read_text())

    def queue(self) -> list[str]:
        """The jobs that wait or run."""
        command = ["squeue", "--noheader", "--states=PENDING,RUNNING", "--format=%i"]
        listed = subprocess.run(command, capture_output=True, text=True, check=True)
        return [job for job in self.jobs("") if job in listed.stdout.split()]

    def training_log(self) -> str:
        """The log of the training; Snakemake removes it before the job starts again."""
        log = self.folder / "results/tiny/logs/train_vae/B.run0.log"
        return log.read_text() if log.exists() else ""

    def trainings(self) -> list[int]:
        """The processes that train here."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # ended meanwhile
                arguments = (process / "cmdline").read_bytes().split(b"\0")
                if b"workflow_scripts/train_vae.py" in arguments and (process / "cwd").resolve() == self.folder:
                    # Not the shell that started it, whose command line is one argument.
                    found.append(int(process.name))
        return found

    def halt(self) -> list[int]:
        """Halt the training after its first checkpoint; its processes."""
        self.wait_for((self.folder / MODEL / ".checkpoint.safetensors").exists)
        halted = self.trainings()
        assert halted, f"the training has ended before it could be halted:\n{self.training_log()}"
        for training in halted:
            os.kill(training, signal.SIGSTOP)
        return halted

    def wait_for(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < end, f"did not happen:\n{self.log.read_text()}"
            time.sleep(0.05)

    def assert_resumed(self) -> None:
        """The training went on from its checkpoint, and has every epoch once."""
        assert int(re.findall(r"continuing after epoch (\d+)", self.training_log())[0]) > 0
        assert self.epochs() == list(range(1, EPOCHS + 1))

    def epochs(self) -> list[int]:
        return list(pd.read_csv(self.folder / MODEL / "history.csv")["epoch"])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """The folder of a running Slurm with two GPUs."""
    # A short path, since sockets lie there, and open to others, which munged insists on.
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    folder.chmod(0o755)
    started = subprocess.run([CLUSTER, "start", folder], capture_output=True, text=True, check=False)
    if started.returncode == CANNOT:
        shutil.rmtree(folder)
        pytest.skip(started.stderr.strip())
    try:
        assert started.returncode == 0, started.stderr
        # Stops the cluster even if these tests are killed.
        watch = f"tail --pid={os.getpid()} --follow /dev/null; {CLUSTER} stop {folder}"
        subprocess.Popen(["bash", "-c", watch], start_new_session=True)
        yield folder
    finally:
        subprocess.run([CLUSTER, "stop", folder], check=True)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study up to its trainings, which are made long and save every epoch; made without Slurm."""
    folder = copy_workflow(tmp_path_factory.mktemp("prepared") / "project")
    overlay(folder, **LONG)
    rule = folder / "rules" / "train.smk"
    often = rule.read_text().replace("--threads {threads}", "--threads {threads} --checkpoint-seconds 0")
    assert often != rule.read_text()
    rule.write_text(often)
    needed = ["splits", "results/tiny/checks/run0.txt", "results/tiny/perceptual/vgg19.safetensors"]
    snakemake(folder, "--configfile", "tiny.yaml", "--", *needed)
    return folder


@contextlib.contextmanager
def ending(folder: Path) -> Iterator[Study]:
    """The study in `folder`; what it leaves running or in the queue is ended."""
    study = Study(folder)
    try:
        yield study
    finally:
        study.kill()
        if left := study.queue():
            subprocess.run(["scancel", *left], check=True)
            study.wait_for(lambda: not study.queue())


@pytest.fixture
def study(cluster: Path, prepared: Path, tmp_path: Path) -> Iterator[Study]:
    """A copy of the prepared study."""
    with ending(shutil.copytree(prepared, tmp_path / "project")) as copy:
        yield copy


@pytest.fixture(scope="module")
def out_of_time(cluster: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A training that is halted until Slurm ends it for its time: a minute at least, in which other tests run."""
    with ending(shutil.copytree(prepared, tmp_path_factory.mktemp("time") / "project")) as copy:
        options = ["train_vae:runtime=1 if attempt == 1 else 30", "evaluate_vae:runtime=0"]
        copy.start("--set-resources", *options, "--", EVALUATED)
        copy.halt()
        yield copy


def state_of(cluster: Path, job: str) -> str:
    """The final state of a job, such as COMPLETED or TIMEOUT."""
    found = re.findall(rf"^JobId={job} .*? JobState=(\S+) ", (cluster / "log" / "jobs.txt").read_text(), re.MULTILINE)
    return found[-1] if found else ""


@pytest.fixture
def whole(cluster: Path, tmp_path: Path) -> Iterator[Study]:
    """The tiny study; its models may use a GPU."""
    folder = copy_workflow(tmp_path / "project")
    overlay(folder, train={"device": "auto"}, evaluate={"device": "auto"})
    with ending(folder) as study:
        yield study


def test_the_study_ends_and_gpus_bound_the_trainings(whole: Study) -> None:
    process = whole.start()
    command = ["squeue", "--noheader", "--states=RUNNING", "--Format=tres-per-job:40"]
    most = 0
    while process.poll() is None:
        running = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        most = max(most, running.count("gpu"))
        time.sleep(0.3)
    output = whole.finish(process)
    assert (whole.folder / "results/tiny/report.html").exists()
    # Six trainings are ready at once and there is memory and processors for all of them: two GPUs, two jobs.
    assert most == 2
    # One job per model, in which the evaluation follows the training.
    assert len(whole.jobs()) == 6
    # Downloads, small tables and plots stay off the compute nodes.
    rules = set(re.findall(r"/rule_([a-z0-9_]+)/", output))
    assert not {rule for rule in rules if rule.startswith(("plot_", "download_", "fetch_", "report_"))}
    assert planned(whole.folder, "--configfile", "tiny.yaml") == {}


# Lines of the profile that a site uncomments, and what Slurm then knows of a training: default-resources; set-resources
# with one of the two ways to name a type of GPU.
LONGER = {"Partition": "gpu-long", "TimeLimit": "03:50:00"}
SITES = [
    (r"^  # (- )", {"Partition": "gpu", "Account": "lab", "TresPerJob": "gres:gpu:1"}),
    (r"^# (set-resources:|  - (?!.*(gres|gpu=)))", {**LONGER, "TresPerJob": "gres:gpu:a100:1"}),
    (r"^# (set-resources:|  - (?!.*gpu_model))", {**LONGER, "TresPerNode": "gres:gpu:a100:1"}),
]


def first_job(study: Study) -> dict[str, str]:
    """What Slurm knows of the training that a call of Snakemake submits."""
    study.start("--", EVALUATED)
    study.wait_for(study.jobs)
    (job,) = study.jobs()
    shown = subprocess.check_output(["scontrol", "show", "job", job], text=True)
    return dict(re.findall(r"(\w+)=(\S*)", shown))


@pytest.mark.usefixtures("out_of_time")  # from here on
@pytest.mark.parametrize(("commented", "expected"), SITES)
def test_what_a_site_edits_in_the_profile_reaches_slurm(study: Study, commented: str, expected: dict[str, str]) -> None:
    profile = study.folder / "profiles" / "slurm" / "profile.yaml"
    indent = "  " if commented.startswith("^  ") else ""
    profile.write_text(re.sub(commented, rf"{indent}\1", profile.read_text(), flags=re.MULTILINE))
    known = first_job(study)
    assert {key: known.get(key) for key in expected} == expected


def test_a_model_for_the_processor_asks_for_no_gpu(study: Study) -> None:
    on_cpu = {"device": "cpu"}
    overlay(study.folder, loss=LONG["loss"], train={**LONG["train"], **on_cpu}, evaluate=on_cpu)
    assert not {"TresPerJob", "TresPerNode"} & first_job(study).keys()


def test_a_job_killed_for_memory_gets_more(cluster: Path, study: Study) -> None:
    little = "260 if attempt == 1 else 4000"
    study.finish(study.start("--set-resources", f"train_vae:mem_mb={little}", "--", TRAINED))
    first, second = study.jobs()
    assert (state_of(cluster, first), state_of(cluster, second)) == ("FAILED", "COMPLETED")
    assert "memory" in (cluster / "log" / "slurmd.log").read_text()


def test_a_cancelled_training_resumes_in_the_next_call(study: Study) -> None:
    process = study.start("--retries", "0", "--", TRAINED)
    study.halt()
    subprocess.run(["scancel", *study.jobs()], check=True)
    study.finish(process, success=False)
    study.finish(study.start("--retries", "0", "--", TRAINED))
    study.assert_resumed()


def test_a_restarted_controller_loses_no_job(cluster: Path, study: Study) -> None:
    process = study.start("--retries", "0", "--", TRAINED)
    halted = study.halt()
    subprocess.run([CLUSTER, "restart", cluster], check=True)
    for training in halted:
        os.kill(training, signal.SIGCONT)
    study.finish(process)
    assert len(study.jobs()) == 1
    assert "continuing" not in study.training_log()
    assert len(study.epochs()) == EPOCHS


def start_again(study: Study) -> subprocess.Popen[str]:
    """Start Snakemake after it was killed; the folder is locked and says so."""
    assert "--unlock" in study.finish(study.start("--", EVALUATED), success=False)
    snakemake(study.folder, "--configfile", "tiny.yaml", "--unlock")
    return study.start("--", EVALUATED)


def test_a_killed_snakemake_takes_over_what_still_trains(study: Study) -> None:
    study.start("--", EVALUATED)
    halted = study.halt()
    study.kill()
    process = start_again(study)
    study.wait_for(lambda: "the same training is running already" in study.training_log())
    for training in halted:
        os.kill(training, signal.SIGCONT)
    study.finish(process)
    assert "this has been done before" in study.training_log()
    assert len(study.epochs()) == EPOCHS
    # Both jobs have ended, and neither took from the other what it had made.
    study.wait_for(lambda: not study.queue())
    assert planned(study.folder, "--configfile", "tiny.yaml", "--", EVALUATED) == {}


def test_a_killed_snakemake_believes_what_has_trained(cluster: Path, study: Study) -> None:
    study.start("--", EVALUATED)
    study.wait_for(study.queue)
    study.kill()
    study.wait_for(lambda: not study.queue())
    assert state_of(cluster, study.jobs()[0]) == "COMPLETED"
    record = (study.folder / MODEL / "run.json").read_bytes()
    study.finish(start_again(study))
    # The record holds the seconds of the training: another one would have others.
    assert (study.folder / MODEL / "run.json").read_bytes() == record
    assert planned(study.folder, "--configfile", "tiny.yaml", "--", EVALUATED) == {}


def test_a_job_killed_for_time_resumes_with_more(cluster: Path, out_of_time: Study) -> None:
    out_of_time.finish(out_of_time.started[0])
    first, second = out_of_time.jobs()
    assert (state_of(cluster, first), state_of(cluster, second)) == ("TIMEOUT", "COMPLETED")
    out_of_time.assert_resumed()
