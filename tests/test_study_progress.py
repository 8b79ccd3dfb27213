"""How far a study is and how long it will take: the estimate, and the line that a user of Snakemake sees."""

import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from snakemake_interface_logger_plugins.common import LogEvent
from workflow import environment

from evenhand.workflow.study_progress import (
    CLEAR,
    SECONDS_BETWEEN_LINES,
    Estimate,
    duration,
    follow_study,
    seconds_by_rule,
)


def test_the_time_left_counts_what_jobs_of_a_rule_took() -> None:
    # Two plots of 1 s and three trainings; a training took 10 s, another has run for 4 s, one is to come.
    jobs = Estimate({"train": 3, "plot": 2}, {}, start=0.0)
    jobs.started(1, "train", 0.0)
    jobs.finished(1, 10.0)
    jobs.started(2, "train", 10.0)
    seconds, all_known = jobs.left(14.0)
    assert seconds == pytest.approx(6 + 10)
    assert not all_known  # no plot has been timed: it takes longer than that
    assert jobs.line(14.0) == "1 of 5 jobs, 14 s; more than 16 s left; running: train (1)"
    known = Estimate({"train": 3, "plot": 2}, {"plot": 1.0}, start=0.0)
    known.started(1, "train", 0.0)
    known.finished(1, 10.0)
    known.started(2, "train", 10.0)
    assert known.left(14.0) == (pytest.approx(6 + 10 + 2 * 1), True)


def test_jobs_side_by_side_share_the_work() -> None:
    jobs = Estimate({"train": 6}, {"train": 10.0}, start=0.0)
    for number in (1, 2):
        jobs.started(number, "train", 0.0)
    assert jobs.left(5.0) == (pytest.approx((5 + 5 + 4 * 10) / 2), True)


def test_a_job_that_runs_longer_than_others_did_has_no_negative_time_left() -> None:
    jobs = Estimate({"train": 1}, {"train": 10.0}, start=0.0)
    jobs.started(1, "train", 0.0)
    assert jobs.left(25.0) == (0.0, True)
    assert jobs.line(25.0) == "0 of 1 jobs, 25 s; running: train (1)"


def test_a_failed_job_waits_again_and_targets_do_not_count() -> None:
    jobs = Estimate({"train": 2}, {"train": 10.0}, start=0.0)
    jobs.started(1, "train", 0.0)
    jobs.failed(1)
    jobs.started(7, "all", 0.0)
    jobs.finished(7, 1.0)
    assert (jobs.done, jobs.total) == (0, 2)
    assert jobs.left(1.0) == (pytest.approx(20.0), True)


def test_earlier_runs_are_read_from_their_benchmarks(tmp_path: Path) -> None:
    (tmp_path / "train_vae").mkdir()
    for run, seconds in enumerate((4.0, 8.0)):
        (tmp_path / "train_vae" / f"A.run{run}.tsv").write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:04\t7\n")
    (tmp_path / "plot_gaps.tsv").write_text("s\th:m:s\n1.5\t0:00:01\n")
    assert seconds_by_rule(tmp_path) == {"train_vae": 6.0, "plot_gaps": 1.5}
    assert seconds_by_rule(tmp_path / "absent") == {}


def test_durations_in_words() -> None:
    assert [duration(s) for s in (0.4, 59, 61, 3599, 12_000)] == ["0 s", "59 s", "1 min", "1 h 00 min", "3 h 20 min"]


def test_a_log_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.Logger("snakemake")
    follow_study(logger, {"train": 2}, Path("absent"), seconds_between_lines=0.05)
    logger.info("", extra={"event": LogEvent.JOB_INFO, "jobid": 3, "rule_name": "train"})
    text = ""
    while "running" not in text:
        time.sleep(0.05)
        text += capsys.readouterr().err
    (progress,) = logger.handlers
    progress.close()
    assert re.search(r"^0 of 2 jobs, \d+ \w+; running: train \(1\)\n", text, re.MULTILINE)
    assert "\r" not in text
    assert SECONDS_BETWEEN_LINES >= 60


COMMAND = [
    *(sys.executable, "-m", "snakemake", "results/tiny/data/metadata.csv", "--workflow-profile", "profiles/cpu"),
    *("--configfile", "tiny.yaml", "--forceall"),
]


def on_a_terminal(folder: Path, *options: str) -> str:
    """What a run of the first two rules of the study writes to a terminal."""
    terminal, end = os.openpty()
    with subprocess.Popen(
        [*COMMAND, *options], cwd=folder, env=environment(), stdout=end, stderr=end, stdin=end
    ) as run:
        os.close(end)
        parts = []
        while True:
            try:
                parts.append(os.read(terminal, 65536))
            except OSError:  # the other end was closed: the run is over
                break
        assert run.wait() == 0, b"".join(parts).decode()
    os.close(terminal)
    return b"".join(parts).decode()


def test_a_terminal_shows_a_line_and_a_log_does_not(repository: Path) -> None:
    shown = on_a_terminal(repository)
    assert f"{CLEAR}0 of 2 jobs, " in shown
    assert "; running: make_phantom (1)" in shown
    # Below what Snakemake says, never in it: each of its lines starts on an empty one.
    assert all(line.startswith((CLEAR, "\x1b[")) for line in shown.splitlines() if "steps (" in line)
    assert shown.endswith(CLEAR)
    assert " jobs, " not in on_a_terminal(repository, "--quiet", "progress")
    start = time.monotonic()
    logged = subprocess.run(COMMAND, cwd=repository, env=environment(), capture_output=True, text=True, check=True)
    assert "2 of 2 steps (100%) done" in logged.stderr
    assert "\r" not in logged.stderr
    assert logged.stderr.count(" of 2 jobs, ") <= (time.monotonic() - start) / SECONDS_BETWEEN_LINES
