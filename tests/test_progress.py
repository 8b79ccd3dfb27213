"""Progress of a job: a bar on a terminal, sparse lines in a log."""

import fcntl
import itertools
import os
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

import evenhand.workflow.progress
from evenhand.workflow.progress import track

SCRIPTS = Path(__file__).parents[1] / "workflow_scripts"
# A clock that only the steps move: what is written depends on nothing else.
PROGRAM = """
import sys, time, tqdm.std
sys.path.insert(0, {scripts!r})
now = time.time()
tqdm.std.time = lambda: now
import evenhand.workflow.progress
for _ in evenhand.workflow.progress.track(range(40), 40, "packing", "chunks"):
    now += {seconds}
"""


def logged(seconds: float) -> str:
    """What a job of 40 steps of so many seconds writes to a log."""
    program = PROGRAM.format(scripts=str(SCRIPTS), seconds=seconds)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr


def test_a_log_gets_a_line_a_minute() -> None:
    text = logged(10)
    assert text.endswith("\n")
    assert "\r" not in text
    lines = [
        re.fullmatch(r"packing: (\d+) of 40 chunks after 0(\d):(\d\d), about 0\d:\d\d left", line)
        for line in text.splitlines()
    ]
    told = [(int(line[1]), 60 * int(line[2]) + int(line[3])) for line in lines if line]
    assert len(told) == len(lines) == 6
    assert all(seconds == 10 * chunks for chunks, seconds in told)
    assert all(later[1] - earlier[1] >= 60 for earlier, later in itertools.pairwise(told))


def test_a_short_job_leaves_its_log_alone() -> None:
    assert logged(1) == ""


def test_a_terminal_gets_a_bar() -> None:
    program = PROGRAM.format(scripts=str(SCRIPTS), seconds=0.01)
    terminal, end = os.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))  # rows, columns
    subprocess.run([sys.executable, "-c", program], stderr=end, check=True)
    os.close(end)
    text = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert "\rpacking:" in text
    assert "40/40" in text
    assert "<00:00" in text  # the time left


def test_items_come_as_they_are_and_a_failure_goes_through(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track("abc", 3, "reading", "models")) == ["a", "b", "c"]

    def broken() -> object:
        yield 1
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        list(track(broken(), 2, "reading", "models"))
    assert evenhand.workflow.progress.SECONDS_BETWEEN_LINES >= 60
    assert capsys.readouterr().err == ""
