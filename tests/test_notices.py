"""What a job's log says that a user should know is shown once, however many jobs say it."""

import logging
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from snakemake_interface_logger_plugins.common import LogEvent
from training_job import CONFIG, command, write_data
from workflow import overlay, snakemake

from evenhand.training.devices import choose_precision, device_reason, held_gpus, leased_device
from evenhand.workflow import notices
from evenhand.workflow.notices import Notices

SAID = "on cpu: PyTorch finds no CUDA device: no driver"


@pytest.fixture
def logger(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> logging.Logger:
    """A logger as Snakemake's; what it is told is in `caplog`."""
    monkeypatch.setattr(notices, "FIRST_LOOK", 0.02)
    logger = logging.Logger("snakemake")
    logger.addHandler(caplog.handler)
    logger.addHandler(Notices(logger))
    return logger


def start(logger: logging.Logger, job: int, log: Path) -> None:
    logger.info("", extra={"event": LogEvent.JOB_INFO, "jobid": job, "rule_name": "train", "log": [str(log)]})


def shown(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_it_is_shown_while_the_job_runs_and_once(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    start(logger, 1, tmp_path / "absent.log")
    start(logger, 2, tmp_path / "a.log")
    (tmp_path / "a.log").write_text(f"loading\nnote: training {SAID}\nepoch 1\n")
    end = time.monotonic() + 600
    while not shown(caplog) and time.monotonic() < end:
        time.sleep(0.01)
    (tmp_path / "b.log").write_text(f"note: evaluating {SAID}\n")
    start(logger, 3, tmp_path / "b.log")
    for job in (1, 2, 3):
        logger.info("", extra={"event": LogEvent.JOB_FINISHED, "job_id": job})
    assert shown(caplog) == [f"note: training {SAID} ({tmp_path}/a.log; other jobs may say the same)"]


def test_what_a_short_or_failed_job_said_is_shown_at_its_end(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "a.log").write_text(f"warning: training {SAID}; the job holds a GPU (gpu=1) and does not use it\n")
    (tmp_path / "b.log").write_text("testing on cuda:0 (GPU-a, one of 1)\nnote: on other things\n")
    for job, name in enumerate(("a.log", "b.log")):
        start(logger, job, tmp_path / name)
        logger.info("", extra={"event": LogEvent.JOB_ERROR, "jobid": job})
    (line,) = shown(caplog)
    assert line.startswith(f"warning: training {SAID}; the job holds a GPU")


@pytest.mark.skipif(torch.cuda.is_available(), reason="PyTorch finds a GPU here")
def test_a_training_says_why_it_runs_on_the_cpu(tmp_path: Path) -> None:
    train = {"device": "auto", "precision": "auto", "epochs": 1, "threads": 3}
    arguments = command(write_data(tmp_path / "data"), tmp_path, CONFIG | {"train": {**CONFIG["train"], **train}})  # type: ignore[dict-item]
    done = subprocess.run(arguments, env={"CUDA_VISIBLE_DEVICES": ""}, check=True, capture_output=True, text=True)
    log, record = done.stdout, (tmp_path / "run.json").read_text()
    assert log.startswith("threads: 1, not the 3 of train.threads")
    assert "\nnote: training on cpu: PyTorch finds no CUDA device: " in log
    assert f"torch {torch.__version__}, CUDA_VISIBLE_DEVICES=)" in log
    assert "holds a GPU" not in log
    assert '"device_reason": "PyTorch finds no CUDA device: ' in record
    assert "\nprecision: auto is " in log


@pytest.mark.skipif(torch.cuda.is_available(), reason="PyTorch finds a GPU here")
@pytest.mark.parametrize("device", ["auto", "cpu"])
@pytest.mark.parametrize(
    ("gpus", "name", "value", "held"),
    [
        (1, "CUDA_VISIBLE_DEVICES", "", "gpu=1"),
        (0, "SLURM_JOB_GPUS", "3", "SLURM_JOB_GPUS=3"),
        (0, "CUDA_VISIBLE_DEVICES", "GPU-a", "CUDA_VISIBLE_DEVICES=GPU-a"),
    ],
)
def test_a_gpu_that_is_held_and_not_used_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    device: str,
    gpus: int,
    name: str,
    value: str,
    held: str,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv(name, value)
    with leased_device(device, 1, "probing", gpus) as chosen:
        assert chosen == torch.device("cpu")
    reason = "PyTorch finds no CUDA device: " if device == "auto" else "asked for"
    line = capsys.readouterr().out
    assert line.startswith(f"warning: probing on cpu: {reason}")
    assert line.endswith(f"; the job holds a GPU ({held}) and does not use it\n")


def test_what_holds_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    assert held_gpus(0) == ""
    for value in ("", "-1", "NoDevFiles"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert held_gpus(0) == ""
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "0")
    assert held_gpus(0) == ""


def test_a_device_that_was_asked_for_needs_no_other_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert device_reason("cpu", torch.device("cpu")) == "asked for"
    assert choose_precision("fp32", torch.device("cpu")) == "fp32"
    assert capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="PyTorch finds a GPU here")
def test_a_study_says_it_once(repository: Path) -> None:
    overlay(repository, train={"device": "auto"}, evaluate={"device": "auto"})
    output = snakemake(repository, "evaluate", "--configfile", "tiny.yaml")
    assert output.count("PyTorch finds no CUDA device") == 1
    logs = sorted((repository / "results" / "tiny" / "logs").rglob("*.log"))
    saying = {log.parent.name for log in logs if "PyTorch finds no CUDA device" in log.read_text()}
    assert saying >= {"train_vae", "evaluate_vae", "measure_ensemble"}
    # In the profile of a workstation a job holds a GPU.
    warned = subprocess.run(
        [
            sys.executable,
            "-m",
            "snakemake",
            "train",
            "--cores",
            "2",
            "--configfile",
            "tiny.yaml",
            "--forcerun",
            "train_vae",
        ],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (warned.stdout + warned.stderr).count("the job holds a GPU (gpu=1) and does not use it") == 1


@pytest.mark.parametrize(
    ("on_cpu", "profile", "with_gpu"),
    [
        ([], "default", {"train_vae", "evaluate_vae", "reconstruct_examples", "measure_ensemble", "probe_embeddings"}),
        (["train", "evaluate"], "default", {"probe_embeddings"}),
        (["train", "evaluate", "probe"], "default", set()),
        ([], "cpu", set()),  # it names the rules one by one
    ],
)
def test_jobs_ask_for_a_gpu_unless_the_study_keeps_them_on_the_cpu(
    repository: Path, on_cpu: list[str], profile: str, with_gpu: set[str]
) -> None:
    devices = {stage: {"device": "cpu" if stage in on_cpu else "auto"} for stage in ("train", "evaluate", "probe")}
    overlay(repository, **devices)
    options = ["--dry-run", "--workflow-profile", f"profiles/{profile}", "--configfile", "tiny.yaml"]
    plan = snakemake(repository, "all", "probe", *options)
    asked = {
        rule: int(gpus)
        for rule, gpus in re.findall(r"^rule (\w+):\n(?: .*\n)*?    resources: .*\bgpu=(\d)", plan, flags=re.MULTILINE)
    }
    assert asked.keys() >= {"train_vae", "evaluate_vae", "measure_ensemble", "probe_embeddings"}
    assert {rule for rule, gpus in asked.items() if gpus} == with_gpu
