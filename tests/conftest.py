"""Fixtures shared by the tests of the whole line.

Each imports what it needs: tests/test_cuda.py runs where there is a GPU, but neither Snakemake nor hypothesis.
"""

import fcntl
import os
import shutil
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
    """A copy of the workflow with the finished tiny study: one for each process that runs tests, made by the first."""
    from workflow import copy_workflow, snakemake

    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with (shared / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "finished").exists():
            folder = copy_workflow(own / "unfinished")
            snakemake(folder, "--configfile", "tiny.yaml")
            folder.rename(shared / "finished")
    return shutil.copytree(shared / "finished", tmp_path_factory.mktemp("study") / "repository", symlinks=True)


@pytest.fixture
def study(finished: Path) -> Iterator[Path]:
    """The finished study, put back as it was after the test edited its sources."""
    from workflow import copy_workflow

    yield finished
    copy_workflow(finished)
