"""The data stage as a user runs it: folders and URLs together, what reruns, what a kill costs."""

import functools
import hashlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from web_server import Server, answer, gone, photograph
from workflow import TINY, copy_workflow, environment, planned, snakemake

PHOTOGRAPHS = {hashlib.md5(data).hexdigest(): data for data in map(photograph, range(40))}
HASHES = sorted(PHOTOGRAPHS)
LOCAL, GONE = HASHES[:10], HASHES[30:]  # in the folder; behind dead links


@pytest.fixture(params=[math.inf])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Serves the photographs; the parameter is the number of requests after which it waits to be released."""
    routes = {f"/{h}": gone if h in GONE else functools.partial(answer, body=PHOTOGRAPHS[h]) for h in HASHES}
    served = Server(routes, hold_after=request.param)
    yield served
    served.close()


@pytest.fixture
def project(tmp_path: Path, server: Server) -> Path:
    """A copy of the workflow, ten photographs in a folder and thirty behind URLs, of which ten are dead."""
    folder = copy_workflow(tmp_path / "project")
    (folder / "photographs").mkdir()
    for image_id in LOCAL:
        (folder / "photographs" / f"{image_id}.jpg").write_bytes(PHOTOGRAPHS[image_id])
    table = pd.DataFrame({"md5hash": HASHES})
    table["fitzpatrick_scale"] = [1, 2, 5, 6] * 10
    table["label"] = table["nine_partition_label"] = table["three_partition_label"] = "acne"
    table["url"] = [f"{server.url}/{image_id}" for image_id in HASHES]
    table.to_csv(folder / "metadata.csv", index=False)
    configure(folder, min_available=0.5)
    return folder


def configure(folder: Path, **changes: object) -> None:
    config = yaml.safe_load(TINY.read_text())
    download = {"shards": 2, "connections": 1, "interval": 0, "timeout": 60, "attempts": 2}
    config["data"] = {
        "duplicates": {"method": "hash"},
        "metadata": "metadata.csv",
        "metadata_sha256": None,
        "sources": [{"folder": "photographs"}, {"urls": True}],
        "download": download,
        "image_size": 16,
        "synthetic": None,
        **changes,
    }
    config["splits"] |= {"test_size": 10, "train_size": 10}  # of the 20 images of each group
    (folder / "study.yaml").write_text(yaml.safe_dump(config))


def statuses(folder: Path) -> dict[str, str]:
    table = pd.read_csv(folder / "results" / "tiny" / "data" / "availability.csv")
    return dict(zip(table["id"], table["status"], strict=True))


@pytest.mark.slow
def test_nothing_is_fetched_or_done_twice(project: Path, server: Server) -> None:
    snakemake(project, "data", "--configfile", "study.yaml")
    assert statuses(project) == {h: "http-404" if h in GONE else "ok" for h in HASHES}
    assert server.requests == {f"/{h}": 1 for h in HASHES[10:]}
    record = (project / "results" / "tiny" / "data" / "images.json").read_bytes()

    for path in [project / "metadata.csv", *(project / "photographs").iterdir()]:
        os.utime(path)
    assert planned(project, "data", "--configfile", "study.yaml") == {}

    # One of the lost photographs turns up: it is taken in, and no server hears of it.
    (project / "photographs" / f"{GONE[0]}.jpg").write_bytes(PHOTOGRAPHS[GONE[0]])
    snakemake(project, "data", "--configfile", "study.yaml")
    assert statuses(project) == {h: "http-404" if h in GONE[1:] else "ok" for h in HASHES}
    assert sum(server.requests.values()) == 30
    assert (project / "results" / "tiny" / "data" / "images.json").read_bytes() != record

    # Asking for more than there is stops at the gate, with what is missing and why; the table of what is missing stays.
    configure(project, min_available=0.9)
    assert set(planned(project, "data", "--configfile", "study.yaml")) >= {"check_images"}
    assert "pack_images" not in planned(project, "data", "--configfile", "study.yaml")
    output = snakemake(project, "data", "--configfile", "study.yaml", check=False)
    assert "too few photographs" in output
    assert "(http-404: 9)" in output
    assert statuses(project)


@pytest.mark.slow
@pytest.mark.parametrize("server", [11], indirect=True)
def test_kill_9_of_the_whole_workflow_costs_little(project: Path, server: Server) -> None:
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/cpu", "--cores", "2"]
    process = subprocess.Popen(
        [*command, "data", "--configfile", "study.yaml"],
        cwd=project,
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while server.requests.total() < 12 and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert 12 <= server.requests.total() <= 13  # one connection each of two jobs waited
    server.released.set()
    snakemake(project, "--configfile", "study.yaml", "--unlock")
    snakemake(project, "data", "--configfile", "study.yaml")
    assert statuses(project) == {h: "http-404" if h in GONE else "ok" for h in HASHES}
    repeated = sum(count - 1 for count in server.requests.values())
    assert repeated <= 2  # what was in flight: two jobs of one connection each
    assert set(server.requests) == {f"/{h}" for h in HASHES[10:]}
