"""What the machine lacks: each stage says so in one message that tells what to do, and leaves nothing half-written."""

import errno
import os
import shutil
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
from stages import full_disk, jobs, may_mount, products, read_only, snakemake_process, start
from workflow import planned, snakemake

from evenhand.workflow.errors import UserError, run

# One for each way in which products are written.
STAGES = ["fetch_metadata", "pack_images", "draw_train", "train_vae", "evaluate_vae", "estimate_gaps", "plot_gaps"]
NUMBERS = ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "ENOMEM"]
needs_mounts = pytest.mark.skipif(not may_mount(), reason="needs the right to mount")


def message_of(error: BaseException) -> str:
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run(fail)
    return str(ended.value.code)


@pytest.mark.parametrize("name", NUMBERS)
def test_what_the_machine_lacks_is_one_message(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    number = getattr(errno, name)
    message = message_of(OSError(number, os.strerror(number), "results/demo/images.npy"))
    assert message.startswith("error: ")
    assert os.strerror(number) in message
    assert "results/demo/images.npy" in message
    assert "then run the same command again: finished work is kept." in message
    assert "\n" not in message
    assert capsys.readouterr().err == ""


def test_out_of_memory_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    message = message_of(MemoryError("Unable to allocate 9 TiB"))
    assert message.startswith("error: out of memory (Unable to allocate 9 TiB). ")
    assert "mem_mb" in message
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [KeyError("group"), OSError(errno.ENOEXEC, "Exec format error"), ValueError("9 < 8")])
def test_what_nobody_foresaw_shows_its_traceback_first(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    message = message_of(error)
    assert message.startswith(f"error: {type(error).__name__}: {error}. ")
    assert "report it with the lines above" in message
    assert "Traceback" in capsys.readouterr().err


def test_a_mistake_of_the_user_is_its_own_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert message_of(UserError("expected 6 groups, found 5: mend the metadata")) == (
        "error: expected 6 groups, found 5: mend the metadata"
    )
    assert capsys.readouterr().err == ""


@needs_mounts
@pytest.mark.parametrize("rule", STAGES)
def test_a_full_disk_is_told_and_leaves_no_product(rule: str, study: Path) -> None:
    job = jobs(study, "all", "--configfile", "tiny.yaml")[rule]
    folders = sorted({(study / output).parent for output in job.outputs})
    command = job.command
    with ExitStack() as stack:
        # Products go to full file systems, the stage's inputs stay where they are.
        for number, folder in enumerate(folders):
            full = stack.enter_context(full_disk(study / f"full{number}"))
            for output in job.outputs:
                if (study / output).parent == folder:
                    command = command.replace(output, str(full / Path(output).name))
        status = start(study, job, command=command).wait()
        left = [path for path in study.glob("full*/*") if path.name != "filler" and not path.name.startswith(".")]
    assert command != job.command
    assert status != 0
    told = (study / job.log).read_text().strip().splitlines()[-1]
    assert told.startswith("error: ")
    assert "No space left on device" in told
    assert "run" in told
    assert "again" in told  # what to do next
    assert left == []


@needs_mounts
def test_read_only_results_are_told_and_stay_as_they_were(study: Path) -> None:
    job = jobs(study, "all", "--configfile", "tiny.yaml")["plot_gaps"]
    before = products(study)
    log = study / "stage.log"
    with read_only(study / "results"):
        status = start(study, job, command=job.command.replace(job.log, str(log)), clear=False).wait()
    assert status != 0
    told = log.read_text().strip().splitlines()[-1]
    assert told.startswith("error: ")
    assert "Read-only file system" in told
    assert "The results folder has to be writable" in told
    assert products(study) == before


@needs_mounts
def test_a_log_folder_that_cannot_be_written_stops_the_study_and_damages_nothing(study: Path) -> None:
    before = products(study)
    arguments = ["results/tiny/figures/gaps.svg", "--configfile", "tiny.yaml", "--forcerun", "plot_gaps"]
    with read_only(study / "results" / "tiny" / "logs"):
        output = snakemake(study, *arguments, check=False)
    assert "Read-only file system" in output
    snakemake(study, *arguments)
    assert products(study) == before


def test_a_second_snakemake_on_one_study_is_refused(study: Path) -> None:
    before = products(study)
    arguments = ["results/tiny/figures/gaps.svg", "--configfile", "tiny.yaml", "--forcerun", "plot_gaps"]
    first = snakemake_process(study, *arguments)
    assert first.stdout
    assert any("rule plot_gaps:" in line for line in first.stdout)
    os.kill(first.pid, signal.SIGSTOP)  # while the second starts
    output = snakemake(study, *arguments, check=False)
    os.kill(first.pid, signal.SIGCONT)
    first.stdout.read()
    assert "LockException" in output
    assert "Finished jobid" not in output
    assert first.wait() == 0
    assert products(study) == before


def test_a_study_copied_elsewhere_is_finished_there(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    shutil.copytree(undisturbed, folder)
    assert planned(folder, "all", "--configfile", "tiny.yaml") == {}
    assert str(undisturbed) not in "".join(path.read_text() for path in (folder / "results").rglob("*.json"))
