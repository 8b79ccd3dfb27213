"""A study that is not of one piece: half upgraded, or written by a clock that was ahead. And one without network."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stages import products, snakemake_process, without_network
from workflow import ROOT, environment, planned, snakemake

TINY = ("--configfile", "tiny.yaml")
# What makes files of the future older than what is written now, as the README says it.
REPAIR = "find results -newermt now -exec touch -d '1 minute ago' {} +"


def verify(folder: Path) -> tuple[int, str]:
    command = [sys.executable, "workflow_scripts/verify_study.py", "results/tiny"]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def upgrade(folder: Path) -> None:
    """A new version of the code, with other intervals; its verdicts wait while there is a file `hold`."""
    script = folder / "workflow_scripts" / "estimate_gaps.py"
    old = script.read_text()
    script.write_text(old.replace('stats["alpha"], stats["margins"]', '2 * stats["alpha"], stats["margins"]'))
    assert script.read_text() != old
    script = folder / "workflow_scripts" / "judge_claims.py"
    wait = "import os, time\nwhile os.path.exists('hold'):\n    time.sleep(0.1)\n"
    script.write_text(script.read_text().replace("def main(", f"{wait}\n\ndef main(", 1))
    assert "hold" in script.read_text()


def test_an_interrupted_upgrade_ends_as_an_undisturbed_one(
    undisturbed: Path, study: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("matrix", "interrupted upgrade")
    old = products(study)
    upgraded = tmp_path / "upgraded"
    shutil.copytree(study, upgraded)
    upgrade(upgraded)
    snakemake(upgraded, *TINY)
    expected = products(upgraded)
    assert expected["tiny/tables/gaps.csv"] != old["tiny/tables/gaps.csv"]

    upgrade(study)
    (study / "hold").touch()
    process = snakemake_process(study, *TINY)
    assert process.stdout
    assert any("Finished jobid" in line for line in process.stdout)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    (study / "hold").unlink()
    # Half of it is of the old version, half of the new one, and the record does not hide that.
    status, told = verify(study)
    assert status == 1
    assert "scripts and library" in told
    assert "tables/gaps.csv: expected " in told
    snakemake(study, *TINY, "--unlock")
    snakemake(study, *TINY, "--rerun-incomplete")
    assert products(study) == expected
    assert planned(study, *TINY) == {}
    status, told = verify(study)
    assert status == 0, told
    shutil.rmtree(upgraded)


def test_a_clock_that_goes_back_is_told_and_can_be_put_right(
    study: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("matrix", "clock going backwards")
    assert REPAIR in (ROOT / "README.md").read_text()
    before = products(study)
    tomorrow = time.time() + 86400
    for path in (study / "results").rglob("*"):
        os.utime(path, (tomorrow, tomorrow))
    # What is finished stays so. What is written now would be older than what it is made from: Snakemake refuses.
    assert planned(study, "all", *TINY) == {}
    again = ("results/tiny/figures/gaps.svg", *TINY, "--forcerun", "plot_gaps")
    told = snakemake(study, *again, check=False)
    assert "older modification time" in told
    subprocess.run(["bash", "-c", REPAIR], cwd=study, check=True)
    snakemake(study, *TINY, "--rerun-incomplete")
    assert products(study) == before
    assert planned(study, "all", *TINY) == {}


def test_the_line_needs_no_network(undisturbed: Path, record_property: Callable[[str, object], None]) -> None:
    record_property("matrix", "network closed")
    if not without_network():
        pytest.skip("closing the network needs root or user namespaces (unshare --net)")
    # The undisturbed study has run like this:
    probe = "import socket; socket.create_connection(('127.0.0.1', 9), 5)"
    done = subprocess.run(
        [*without_network(), sys.executable, "-c", probe], capture_output=True, text=True, check=False
    )
    assert "unreachable" in done.stderr
    assert (undisturbed / "results" / "tiny" / "report.html").stat().st_size > 100_000
