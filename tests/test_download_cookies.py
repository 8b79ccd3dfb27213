"""Servers that ask for a cookie before they answer: it is sent back to them, and to nobody else and never again."""

from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from web_server import Server, answer, download, good

seen: list[tuple[str, str]] = []  # path and cookies of each request


def asks(
    handler: BaseHTTPRequestHandler, to: str = "", attributes: str = "", wanted: str = "visited=yes", sets: str = ""
) -> None:
    """Answer who brings the cookie; set it and redirect all others, to the same address unless another is given."""
    cookies = handler.headers["Cookie"] or ""
    seen.append((handler.path, cookies))
    if wanted in cookies:
        good(handler)
    else:
        to = to.format(port=handler.server.server_address[1])  # type: ignore[index]
        answer(handler, b"", 302, Location=to or handler.path, Set_Cookie=(sets or wanted) + attributes)


def renews(handler: BaseHTTPRequestHandler) -> None:
    seen.append((handler.path, handler.headers["Cookie"] or ""))
    answer(handler, b"", 302, Location=handler.path, Set_Cookie=f"visit={len(seen)}")


@pytest.fixture
def asking() -> Iterator[Server]:
    seen.clear()
    server = Server(
        {
            "/same": asks,
            "/domain": partial(asks, attributes="; Domain=127.0.0.1; HttpOnly; Max-Age=60"),
            "/gate": partial(asks, to="/counter"),
            "/counter": partial(asks, to="/gate", wanted="never", sets="visited=yes", attributes="; Path=/"),
            "/never": partial(asks, wanted="never", sets="visited=yes"),
            "/renews": renews,
            "/secure": partial(asks, attributes="; Secure"),
            "/expired": partial(asks, attributes="; Max-Age=0"),
            "/foreign": partial(asks, attributes="; Domain=example.org"),
            "/away": partial(asks, to="http://localhost:{port}/host"),
            "/host": partial(asks, wanted="", attributes="; Path=/"),
        }
    )
    yield server
    server.close()


@pytest.mark.parametrize(
    ("path", "status", "requests"),
    [
        ("/same", "ok", ["", "visited=yes"]),
        ("/domain", "ok", ["", "visited=yes"]),
        ("/gate", "ok", ["", "visited=yes", "visited=yes"]),
        # What is never satisfied ends, however new its cookies.
        ("/never", "redirect-loop", ["", *["visited=yes"] * 5]),
        ("/renews", "redirect-loop", ["", *[f"visit={n}" for n in range(1, 6)]]),
        # Cookies that are for another time, another protocol or another host stay here.
        ("/secure", "redirect-loop", [""] * 6),
        ("/expired", "redirect-loop", [""] * 6),
        ("/foreign", "redirect-loop", [""] * 6),
        ("/away", "ok", ["", ""]),
    ],
)
def test_a_cookie_goes_back_to_the_host_that_set_it(
    asking: Server, tmp_path: Path, path: str, status: str, requests: list[str]
) -> None:
    (outcome,) = download([asking.url + path], tmp_path)
    assert outcome.status == status
    assert [cookies for _, cookies in seen] == requests


def test_no_cookie_outlives_its_file(asking: Server, tmp_path: Path) -> None:
    outcomes = download([asking.url + "/same", asking.url + "/same?another", asking.url + "/host"], tmp_path)
    assert outcomes[0].status == "ok"
    assert sorted(seen) == [
        *(("/host", ""), ("/same", ""), ("/same", "visited=yes"), ("/same?another", "")),
        ("/same?another", "visited=yes"),
    ]
