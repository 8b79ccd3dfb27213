"""Downloading from a real server on this machine: pace, patience, nothing twice, and what a kill costs."""

import functools
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pandas as pd
import pytest
from web_server import HASH, PHOTOGRAPH, POLICY, Server, answer, download, gone, good, photograph

import evenhand
from download_shard import main as download_shard
from evenhand.data.download import Job, download_images
from evenhand.data.metadata import COLUMNS
from evenhand.data.web import Policy, fetch_pinned
from evenhand.workflow.errors import UserError
from evenhand.workflow.tables import read_table, write_csv
from list_downloads import main as list_downloads


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured_and_holds_for_the_whole_host(tmp_path: Path, form: str) -> None:
    first = threading.Event()

    def asks_once(handler: BaseHTTPRequestHandler) -> None:
        if first.is_set():
            answer(handler, PHOTOGRAPH)
        else:
            first.set()
            answer(
                handler, b"", 429, Retry_After="1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
            )

    server = Server({"/x": asks_once, "/y": good})
    try:
        jobs = [server.url + "/x", *[server.url + "/y"] * 3]
        outcomes = download(jobs, tmp_path, connections=1)
    finally:
        server.close()
    assert outcomes[0].status == "ok"
    assert server.times[1] - server.times[0] > 0.9  # a date has whole seconds
    assert server.times[2] >= server.times[1]


def test_connections_are_bounded_reused_and_kept_busy(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def answers_four_at_a_time(handler: BaseHTTPRequestHandler) -> None:
        together.wait()  # for ever, unless there are four
        answer(handler, b"<html>", 404)

    server = Server({"/x": answers_four_at_a_time})
    try:
        download([f"{server.url}/x?{i}" for i in range(100)], tmp_path, connections=4)
    finally:
        server.close()
    assert server.most_at_once == 4
    assert server.connections <= 4  # 404 or not, each one serves many requests


def test_the_pace_is_kept(tmp_path: Path) -> None:
    server = Server({"/x": functools.partial(answer, code=404)})
    started = time.monotonic()
    try:
        download([f"{server.url}/x?{i}" for i in range(6)], tmp_path, connections=6, interval=0.1)
    finally:
        server.close()
    # A busy machine can only make a request later than its turn.
    assert all(arrived - started >= 0.1 * turn for turn, arrived in enumerate(sorted(server.times)))


def test_the_user_agent_is_truthful_and_carries_the_contact(server: Server, tmp_path: Path) -> None:
    download([server.url + "/good"], tmp_path, Policy(contact="mailto:a@b.org"))
    (agent,) = server.agents
    assert agent.startswith("evenhand/")
    assert "mailto:a@b.org" in agent
    assert "Mozilla" not in agent


def test_a_dead_host_is_given_up_and_another_is_not_held_up(server: Server, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    dead = [f"http://127.0.0.1:{port}/{i}" for i in range(200)]
    outcomes = download([server.url + "/good", *dead], tmp_path)
    counts = Counter(outcome.status for outcome in outcomes)
    assert outcomes[0].status == "ok"
    assert counts["connection-failed"] < 20
    assert counts["host-down"] == 200 - counts["connection-failed"]


def test_nothing_that_is_there_is_fetched_again_unless_it_is_damaged(server: Server, tmp_path: Path) -> None:
    jobs = [server.url + "/good"]
    download(jobs, tmp_path)
    assert download(jobs, tmp_path)[0].status == "ok"
    assert server.requests["/good"] == 1
    (tmp_path / "images" / f"{HASH}.jpg").write_bytes(PHOTOGRAPH[:50])
    assert download(jobs, tmp_path)[0].status == "ok"
    assert server.requests["/good"] == 2
    assert (tmp_path / "images" / f"{HASH}.jpg").read_bytes() == PHOTOGRAPH


def test_a_dead_link_is_asked_once_until_its_note_is_deleted_a_passing_failure_each_time(
    server: Server, tmp_path: Path
) -> None:
    for _ in range(2):
        assert [o.status for o in download([server.url + r for r in ("/404", "/500")], tmp_path)] == [
            "http-404",
            "http-500",
        ]
    assert server.requests == {"/404": 1, "/500": 2 * POLICY.attempts}
    (tmp_path / "journal").write_text((tmp_path / "journal").read_text()[:-9])  # the last line cut short
    for _ in range(2):
        download([server.url + "/404"], tmp_path)
    assert server.requests["/404"] == 2
    (tmp_path / "journal").unlink()
    download([server.url + "/404"], tmp_path)
    assert server.requests["/404"] == 3


def write_metadata(path: Path, hashes: list[str], urls: list[str]) -> None:
    table = pd.DataFrame({"id": hashes, "url": urls})
    table["skin_type"] = table["second_skin_type"] = 1
    table["checksum"] = ""
    write_csv(table.reindex(columns=COLUMNS, fill_value="x"), path)


def list_jobs(path: Path, sources: list[dict[str, object]]) -> None:
    named = {"--metadata": path / "metadata.csv", "--work": path / "work", "--output": path / "jobs.csv"}
    paths = [str(text) for option in named.items() for text in option]
    list_downloads([*paths, "--sources", json.dumps(sources)])


def shard_arguments(path: Path, shard: int, shards: int, timeout: int = 60) -> list[str]:
    settings = {"connections": 2, "interval": 0, "timeout": timeout, "attempts": 2, "max_megabytes": 1, "contact": None}
    named = {"--jobs": path / "jobs.csv", "--folder": path / "images", "--output": path / f"shard{shard}.csv"}
    named |= {
        "--failures": path / "failures.jsonl",
        "--shard": shard,
        "--shards": shards,
        "--settings": json.dumps(settings),
    }
    return [str(text) for option in named.items() for text in option]


def test_kill_9_loses_no_file_and_repeats_no_answer(tmp_path: Path) -> None:
    photographs = [photograph(width) for width in range(60)]
    hashes = [hashlib.md5(data).hexdigest() for data in photographs]

    routes = {
        f"/{i}": functools.partial(answer, body=data) if i % 3 else gone  # every third one is gone
        for i, data in enumerate(photographs)
    }
    server = Server(routes, hold_after=24)
    try:
        write_metadata(tmp_path / "metadata.csv", hashes, [f"{server.url}/{i}" for i in range(60)])
        list_jobs(tmp_path, [{"urls": True}])
        script = Path(evenhand.__file__).parents[1] / "download_shard.py"
        process = subprocess.Popen([sys.executable, str(script), *shard_arguments(tmp_path, 0, 1)])
        while server.requests.total() < 26 and process.poll() is None:  # then both connections wait
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = Counter(server.requests)
        server.released.set()
        assert not (tmp_path / "shard0.csv").exists()
        download_shard(shard_arguments(tmp_path, 0, 1))
    finally:
        server.close()
    table = pd.read_csv(tmp_path / "shard0.csv", keep_default_na=False)
    assert table["status"].tolist() == ["http-404" if i % 3 == 0 else "ok" for i in range(60)]
    repeated = [path for path, count in server.requests.items() if count > 1]
    assert before.total() == 26
    assert len(repeated) <= 2  # at most what was in flight on the two connections
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == sorted(
        f"{image_id}.jpg" for i, image_id in enumerate(hashes) if i % 3
    )


def test_shards_divide_the_work_and_only_what_no_folder_holds_is_asked_for(tmp_path: Path) -> None:
    photographs = {hashlib.md5(data).hexdigest(): data for data in map(photograph, range(20))}
    hashes = list(photographs)
    local = tmp_path / "local"
    local.mkdir()
    for image_id in hashes[:5]:
        (local / f"{image_id}.jpg").write_bytes(photographs[image_id])
    (local / f"{hashes[5]}.jpg").write_bytes(b"damaged")  # is there, but not what it says
    server = Server({f"/{h}": functools.partial(answer, body=photographs[h]) for h in hashes})
    try:
        write_metadata(tmp_path / "metadata.csv", hashes, [f"{server.url}/{h}" for h in hashes])
        list_jobs(tmp_path, [{"urls": True}, {"folder": str(local)}])
        for shard in range(3):
            download_shard(shard_arguments(tmp_path, shard, 3))
    finally:
        server.close()
    tables = [pd.read_csv(tmp_path / f"shard{shard}.csv") for shard in range(3)]
    assert sorted(pd.concat(tables)["id"]) == sorted(hashes[5:])
    assert all(0 < len(table) < 15 for table in tables)
    assert set(server.requests) == {f"/{image_id}" for image_id in hashes[5:]}


def test_files_with_a_sha256_in_the_table_need_no_hash_for_an_id(tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.mkdir()
    content = {f"picture {number}": photograph(number) for number in range(5)}
    (local / "picture 0.jpg").write_bytes(content["picture 0"])
    (local / "picture 1.jpg").write_bytes(b"damaged")
    routes = {f"/{name[-1]}": functools.partial(answer, body=data) for name, data in content.items()}
    server = Server(routes | {"/4": functools.partial(answer, body=photograph(99))})
    try:
        table = pd.DataFrame({"id": list(content), "url": [f"{server.url}/{number}" for number in range(5)]})
        table["checksum"] = [hashlib.sha256(data).hexdigest() for data in content.values()]
        table["skin_type"] = table["second_skin_type"] = 1
        write_csv(table.reindex(columns=COLUMNS, fill_value="x"), tmp_path / "metadata.csv")
        list_jobs(tmp_path, [{"folder": str(local)}, {"urls": True}])
        for _ in range(2):  # the second time, from what is there and what is noted
            download_shard(shard_arguments(tmp_path, 0, 1))
    finally:
        server.close()
    assert server.requests == {f"/{number}": 1 for number in range(1, 5)}
    found = read_table(tmp_path / "shard0.csv").set_index("id")
    assert found["status"].to_dict() == {f"picture {n}": "ok" if n < 4 else "wrong-hash" for n in range(1, 5)}
    assert f"is not {table['checksum'][4]}" in found["detail"]["picture 4"]
    assert "SHA-256" in found["detail"]["picture 4"]
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == [f"picture {n}.jpg" for n in range(1, 4)]


def test_a_pinned_table_is_fetched_once_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    server = Server({"/table.csv": functools.partial(answer, body=b"a,b\n")})
    try:
        url, digest = server.url + "/table.csv", hashlib.sha256(b"a,b\n").hexdigest()
        for _ in range(2):
            assert fetch_pinned(url, tmp_path, digest).read_bytes() == b"a,b\n"
        assert server.requests["/table.csv"] == 1
        with pytest.raises(UserError, match=f"expected SHA-256 {'0' * 64}; found {digest}"):
            fetch_pinned(url, tmp_path / "new", "0" * 64)
        assert not list((tmp_path / "new").iterdir())
        with pytest.raises(UserError, match=r"http-404.*give its path"):
            fetch_pinned(server.url + "/none", tmp_path, None)
    finally:
        server.close()


def test_interrupting_does_not_wait_for_the_queue(server: Server, tmp_path: Path) -> None:
    write_csv(
        pd.DataFrame(
            [(f"{i:032x}", f"{server.url}/hung?{i}", f"{i:032x}") for i in range(2000)],
            columns=["id", "url", "checksum"],
        ),
        tmp_path / "jobs.csv",
    )
    script = Path(evenhand.__file__).parents[1] / "download_shard.py"
    # A shell that runs the tests in the background has them, and so this process, ignore the signal.
    heed = "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); del sys.argv[0]; "
    heed += f"sys.path.insert(0, {str(script.parent)!r}); runpy.run_path(sys.argv[0], run_name='__main__')"
    process = subprocess.Popen(
        [sys.executable, "-c", heed, str(script), *shard_arguments(tmp_path, 0, 1, timeout=2)],
        stderr=subprocess.DEVNULL,
    )
    while not server.requests and process.poll() is None:
        time.sleep(0.01)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=600) != 0  # the queue alone would take more than half an hour
    assert os.path.exists(tmp_path / "jobs.csv")


def test_another_study_that_writes_the_same_photograph_is_left_to_finish(tmp_path: Path) -> None:
    """The folder is shared: here another process has half of the file when this one starts and ends."""
    writer = """
import sys
from pathlib import Path
from evenhand.workflow.files import atomic_path
path, content = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
with atomic_path(path) as temporary:
    temporary.write_bytes(content[:100])
    print("half", flush=True)
    sys.stdin.readline()
    temporary.write_bytes(content)
"""
    (tmp_path / "photograph").write_bytes(PHOTOGRAPH)
    folder = tmp_path / "images"
    other = subprocess.Popen(
        [sys.executable, "-c", writer, folder / f"{HASH}.jpg", tmp_path / "photograph"],
        cwd=Path(evenhand.__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "half\n"
    server = Server({"/x": good})
    try:
        (outcome,) = download_images([Job(HASH, server.url + "/x", HASH)], folder, tmp_path / "failures.jsonl", POLICY)
    finally:
        server.close()
    assert outcome.status == "ok"
    _, errors = other.communicate("go on\n", timeout=600)
    assert other.returncode == 0, errors
    assert {path.name for path in folder.iterdir()} == {f"{HASH}.jpg"}
    assert (folder / f"{HASH}.jpg").read_bytes() == PHOTOGRAPH
