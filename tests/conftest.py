"""Fixtures shared by the tests of the whole line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from web_server import ROUTES, Server
from workflow import copy_workflow, snakemake

# A loaded machine may take its time over an example.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture
def server() -> Iterator[Server]:
    """A web server that does everything servers do wrong."""
    served = Server(dict(ROUTES))
    yield served
    served.close()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the workflow without results."""
    return copy_workflow(tmp_path / "repository")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workflow with the finished tiny study."""
    folder = copy_workflow(tmp_path_factory.mktemp("finished") / "repository")
    snakemake(folder, "--configfile", "tiny.yaml")
    return folder


@pytest.fixture
def study(finished: Path) -> Iterator[Path]:
    """The finished study, put back as it was after the test edited its sources."""
    yield finished
    copy_workflow(finished)
