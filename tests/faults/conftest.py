"""The marker of this suite, and how many cases were tried and survived."""

from collections import Counter
from pathlib import Path

import pytest

TRIED: Counter[str] = Counter()
SURVIVED: Counter[str] = Counter()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("faults")


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
