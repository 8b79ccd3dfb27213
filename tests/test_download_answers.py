"""Every kind of answer a server may give, and every kind of URL: each ends, within its limits, and has its word."""

import socket
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from web_server import HASH, HASTY, PHOTOGRAPH, Server, answer, download


@pytest.mark.parametrize(
    ("route", "status", "tries"),
    [
        ("/good", "ok", 1),
        ("/to-good", "ok", 1),
        ("/endless-redirect", "ok", 1),
        ("/404", "http-404", 1),
        ("/403", "http-403", 1),
        ("/204", "http-204", 1),
        ("/500", "http-500", 2),
        ("/html", "not-an-image", 1),
        ("/empty", "not-an-image", 1),
        ("/other", "wrong-hash", 1),
        ("/short", "wrong-hash", 1),
        ("/half", "incomplete", 2),
        ("/10gb", "too-large", 1),
        ("/endless", "too-large", 1),
        ("/endless-chunks", "too-large", 1),
        ("/gzip-bomb", "too-large", 1),
        ("/not-http", "connection-failed", 2),
        ("/hangs-up", "connection-failed", 2),
        ("/loop", "redirect-loop", 6),
        ("/to-file", "refused", 1),
        ("/to-ftp", "refused", 1),
        ("/to-nowhere", "bad-url", 1),
        ("/429-for-a-year", "http-429", 1),
        ("/429-in-words", "http-429", 2),
    ],
)
def test_every_kind_of_answer_ends_and_has_its_word(
    server: Server, tmp_path: Path, route: str, status: str, tries: int
) -> None:
    (outcome,) = download([server.url + route], tmp_path)
    assert outcome.status == status
    assert server.requests[route] == tries
    assert [path.name for path in (tmp_path / "images").iterdir()] == ([f"{HASH}.jpg"] if status == "ok" else [])
    assert (outcome.detail == "") == (status == "ok")


@pytest.mark.parametrize("route", ["/drip", "/hung", "/slow-headers"])
def test_an_answer_without_an_end_is_given_up(server: Server, tmp_path: Path, route: str) -> None:
    (outcome,) = download([server.url + route], tmp_path, HASTY)
    assert outcome.status == "timeout"
    assert server.requests[route] == HASTY.attempts
    assert not list((tmp_path / "images").iterdir())


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("", "no-url"),
        ("file:///etc/passwd", "refused"),
        ("ftp://127.0.0.1/x.jpg", "refused"),
        ("no url at all", "refused"),
        ("http://", "bad-url"),
        ("http://[", "bad-url"),
        ("http://exa mple/", "bad-url"),
        ("http://127.0.0.1:99999/x", "bad-url"),
        ("http://name.invalid/x.jpg", "connection-failed"),
    ],
)
def test_urls_that_lead_nowhere_are_outcomes_too(tmp_path: Path, url: str, status: str) -> None:
    (outcome,) = download([url], tmp_path)
    assert outcome.status == status


def test_a_closed_port_is_a_failed_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    (outcome,) = download([f"http://127.0.0.1:{port}/x"], tmp_path)
    assert (outcome.status, outcome.transient) == ("connection-failed", True)


def test_503_then_fine_is_fine(tmp_path: Path) -> None:
    replies = iter([503, 200])

    def moody(handler: BaseHTTPRequestHandler) -> None:
        code = next(replies)
        answer(handler, PHOTOGRAPH if code == 200 else b"", code)

    moody_server = Server({"/x": moody})
    try:
        (outcome,) = download([moody_server.url + "/x"], tmp_path)
    finally:
        moody_server.close()
    assert outcome.status == "ok"
    assert moody_server.requests["/x"] == 2
