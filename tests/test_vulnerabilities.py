"""The check of the locked versions in `make lint`, against a server that answers as osv.dev does, or otherwise."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from workflow import ROOT

Queries = list[dict[str, Any]]
Service = Callable[[Callable[[Queries], bytes], int], str]


@pytest.fixture
def service() -> Iterator[Service]:
    """Starts a server: what it answers to the queries, with which status; its address."""
    servers = []

    def start(answer: Callable[[Queries], bytes], status: int = 200) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                content = answer(body["queries"]) if self.path == "/v1/querybatch" else b""
                self.send_response(status)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def check(address: str) -> tuple[int, str]:
    command = [sys.executable, ROOT / "envs" / "check_vulnerabilities.py", address]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_finding_fails_and_is_named(service: Service) -> None:
    asked = Queries()

    def answer(queries: Queries) -> bytes:
        asked.extend(queries)
        ids = {"numpy": ["GHSA-1", "PYSEC-2"]}
        results = [{"vulns": [{"id": i, "modified": "x"} for i in ids.get(q["package"]["name"], [])]} for q in queries]
        return json.dumps({"results": [result if result["vulns"] else {} for result in results]}).encode()

    status, output = check(service(answer, 200))
    numpy = next(query for query in asked if query["package"]["name"] == "numpy")
    assert status == 1
    assert f"numpy {numpy['version']}: GHSA-1, PYSEC-2" in output
    assert "error: 1 of " in output
    # Every locked package was asked for, PyTorch included.
    assert {"torch", "torchvision", "snakemake"} <= {query["package"]["name"] for query in asked}
    assert len(asked) > 100


def test_without_a_finding_it_passes(service: Service) -> None:
    status, output = check(service(lambda queries: json.dumps({"results": [{}] * len(queries)}).encode(), 200))
    assert status == 0
    assert "none known" in output


@pytest.mark.parametrize(
    ("answer", "code"), [(b"", 503), (b"<html>log in</html>", 200), (b'{"results": []}', 200), (b"[]", 200)]
)
def test_an_answer_that_says_nothing_is_told_and_passes(service: Service, answer: bytes, code: int) -> None:
    status, output = check(service(lambda queries: answer, code))
    assert status == 0
    assert "NOT CHECKED" in output


def test_no_network_is_told_and_passes() -> None:
    status, output = check("http://127.0.0.1:9")
    assert status == 0
    assert "NOT CHECKED" in output
    assert "Traceback" not in output


def test_lint_runs_the_check() -> None:
    assert (
        "envs/check_vulnerabilities.py" in (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    )
