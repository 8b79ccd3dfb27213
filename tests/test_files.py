"""Outputs are complete or absent, and equal content gives equal bytes."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evenhand.workflow.files import atomic_path, write_json, write_npz
from evenhand.workflow.tables import write_csv


def test_failure_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")

    def fail_half_way() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half of the n")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fail_half_way()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.csv"]


def write_half(target: Path, then: str) -> "subprocess.Popen[str]":
    code = textwrap.dedent(f"""
        import os, signal
        from evenhand.workflow.files import atomic_path
        with atomic_path({str(target)!r}) as temporary:
            temporary.write_bytes(b"half")
            print("written", flush=True)
            {then}
    """)
    variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "workflow_scripts")}
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "written\n"
    return process


def test_a_killed_writer_leaves_no_product_and_the_next_clears_up(tmp_path: Path) -> None:
    killed, running = tmp_path / "killed.bin", tmp_path / "running.bin"
    elsewhere = tmp_path / ".x.another-machine.1.tmp.bin"
    elsewhere.write_bytes(b"half")
    with write_half(running, "input()") as writer:
        with write_half(killed, "os.kill(os.getpid(), signal.SIGKILL)") as process:
            pass
        assert process.returncode == -signal.SIGKILL
        assert not killed.exists()
        left = {name for name in os.listdir(tmp_path) if ".tmp" in name}
        assert len(left) == 3
        write_json({}, tmp_path / "other.json")
        # What another process is writing stays, and what another machine wrote.
        assert {name.split(".")[1] for name in left & set(os.listdir(tmp_path))} == {"running", "x"}
        writer.communicate("\n")
    assert running.read_bytes() == b"half"
    assert set(os.listdir(tmp_path)) == {elsewhere.name, "running.bin", "other.json"}


def test_json_refuses_numbers_it_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json({"loss": float("nan")}, tmp_path / "run.json")
    assert not (tmp_path / "run.json").exists()


def test_bytes_depend_on_content_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_json({"x": 1, "y": [1, 2]} if name == "a" else {"y": [1, 2], "x": 1}, tmp_path / f"{name}.json")
        write_csv(pd.DataFrame({"x": [0.1 + 0.2]}, index=[7 if name == "a" else 8]), tmp_path / f"{name}.csv")
        write_npz({"x": np.arange(3)}, tmp_path / f"{name}.npz")
    for kind in ("json", "csv", "npz"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert (tmp_path / "a.csv").read_bytes() == b"x\n0.3\n"
