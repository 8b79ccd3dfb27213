"""The marker of this suite, the undisturbed study that everything is compared with, and the counts at the end."""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from stages import INJECT, STUDIES, configure, without_network
from workflow import copy_workflow, environment

TRIED: Counter[str] = Counter()
SURVIVED: Counter[str] = Counter()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("faults")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the workflow with all studies finished, run with the network closed where this machine can do so."""
    folder = copy_workflow(tmp_path_factory.mktemp("undisturbed") / "project")
    configure(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(INJECT))
        for study, targets in STUDIES.items():
            done = subprocess.run(
                [
                    *(*without_network(), sys.executable, "-m", "snakemake"),
                    *("--workflow-profile", "profiles/cpu", "--cores", "2", *targets, "--configfile", study),
                ],
                cwd=folder,
                env=environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        yield folder


@pytest.fixture
def study(undisturbed: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the finished studies that a test may hurt."""
    folder = tmp_path / "project"
    shutil.copytree(undisturbed, folder)
    yield folder
    shutil.rmtree(folder)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """One test is one case, unless it says by its properties how many it tried and how many were survived."""
    if report.when != "call" or report.skipped or "faults" not in report.keywords:
        return
    told = dict(report.user_properties)
    matrix = str(told.get("matrix", Path(report.fspath).stem.removeprefix("test_")))
    TRIED[matrix] += int(told.get("tried", 1))  # type: ignore[call-overload]
    SURVIVED[matrix] += int(told.get("survived", told.get("tried", 1) if report.passed else 0))  # type: ignore[call-overload]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TRIED:
        terminalreporter.section("faults: cases tried and survived")
        for matrix in TRIED:
            terminalreporter.write_line(f"{matrix}: {TRIED[matrix]} tried, {SURVIVED[matrix]} survived")
