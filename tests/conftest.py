"""Fixtures shared by the tests of the whole line.

Each imports what it needs: tests/test_cuda.py runs where there is a GPU, but neither Snakemake nor hypothesis.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from web_server import Server

with suppress(ModuleNotFoundError):
    from hypothesis import settings

    # A loaded machine may take its time over an example.
    settings.register_profile("patient", deadline=None)
    settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--dist loadgroup`, a file of tests is one process's, and so is all that looks at the finished study, which
    takes minutes to make."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            shared = "finished" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group("finished" if shared else item.path.stem))


@pytest.fixture
def server() -> Iterator["Server"]:
    """A web server that does everything servers do wrong."""
    from web_server import ROUTES, Server

    served = Server(dict(ROUTES))
    yield served
    served.close()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the workflow without results."""
    from workflow import copy_workflow

    return copy_workflow(tmp_path / "repository")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workflow with the finished tiny study."""
    from workflow import copy_workflow, snakemake

    folder = copy_workflow(tmp_path_factory.mktemp("finished") / "repository")
    snakemake(folder, "--configfile", "tiny.yaml")
    return folder


@pytest.fixture
def study(finished: Path) -> Iterator[Path]:
    """The finished study, put back as it was after the test edited its sources."""
    from workflow import copy_workflow

    yield finished
    copy_workflow(finished)
