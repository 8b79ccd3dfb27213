"""Progress of a job: a bar on a terminal, sparse lines in a log."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

import fairgen.progress
from fairgen.progress import track

SCRIPTS = Path(__file__).parents[1] / "workflow_scripts"
PROGRAM = """
import sys, time
sys.path.insert(0, {scripts!r})
import fairgen.progress
fairgen.progress.SECONDS_BETWEEN_LINES = {seconds}
for _ in fairgen.progress.track(range(40), 40, "packing", "chunks"):
    time.sleep(0.01)
"""


def logged(seconds: float) -> str:
    """What a job of 40 steps and 0.4 s or more writes to a log, at a line every so many seconds."""
    program = PROGRAM.format(scripts=str(SCRIPTS), seconds=seconds)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr


def test_a_log_gets_whole_lines_and_few() -> None:
    text = logged(0.1)
    lines = text.splitlines()
    assert 1 <= len(lines) < 40
    assert text.endswith("\n")
    assert "\r" not in text
    counts = []
    for line in lines:
        found = re.fullmatch(r"packing: (\d+) of 40 chunks after 00:\d\d, about 00:\d\d left", line)
        assert found, line
        counts.append(int(found[1]))
    assert counts == sorted(set(counts))


def test_a_short_job_leaves_its_log_alone() -> None:
    assert logged(60.0) == ""


def test_a_terminal_gets_a_bar() -> None:
    program = PROGRAM.format(scripts=str(SCRIPTS), seconds=60.0)
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
    assert fairgen.progress.SECONDS_BETWEEN_LINES >= 60
    assert capsys.readouterr().err == ""
