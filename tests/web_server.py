"""A web server on this machine that does everything servers do wrong, for the tests of downloading."""

import functools
import gzip
import hashlib
import io
import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from PIL import Image

from evenhand.data.download import Job, Outcome, download_images
from evenhand.data.web import Policy

# Patient enough for the busiest machine, wherever an answer comes. HASTY is for those that never end.
POLICY = Policy(60.0, read_timeout=60.0, deadline=120.0, attempts=2, backoff=0.01, max_wait=3, max_bytes=50_000)
HASTY = replace(POLICY, read_timeout=0.3, deadline=0.6)


def photograph(width: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40 + width, 30), "brown").save(buffer, "JPEG")
    return buffer.getvalue()


PHOTOGRAPH = photograph(0)
HASH = hashlib.md5(PHOTOGRAPH).hexdigest()


def answer(
    handler: BaseHTTPRequestHandler, body: bytes = b"", code: int = 200, length: int | None = None, **headers: str
) -> None:
    handler.send_response(code)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


gone = functools.partial(answer, body=b"<html>gone</html>", code=404)


class Server:
    """Serves `routes`: path -> function of the request handler; counts requests, connections and how many at once.

    No more than the first `hold_after` requests are answered before the event `released` is set.
    """

    def __init__(
        self, routes: dict[str, Callable[[BaseHTTPRequestHandler], None]], hold_after: float = math.inf
    ) -> None:
        self.released = threading.Event()
        self.requests: Counter[str] = Counter()
        self.times: list[float] = []
        self.agents: set[str] = set()
        self.connections = self.now = self.most_at_once = 0
        lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                with lock:
                    server.connections += 1

            def do_GET(self) -> None:
                with lock:
                    server.requests[self.path] += 1
                    server.times.append(time.monotonic())
                    server.agents.add(self.headers["User-Agent"])
                    server.now += 1
                    server.most_at_once = max(server.most_at_once, server.now)
                    held = server.requests.total() > hold_after
                try:
                    if held:
                        server.released.wait()
                    routes.get(self.path.split("?")[0], gone)(self)
                except (BrokenPipeError, ConnectionResetError):  # the client had enough, as it should
                    self.close_connection = True
                finally:
                    with lock:
                        server.now -= 1

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def good(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, PHOTOGRAPH, Content_Type="image/jpeg")


def redirect(handler: BaseHTTPRequestHandler, to: str) -> None:
    answer(handler, b"moved", 302, Location=to)


def half_sent(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, PHOTOGRAPH[:100], length=len(PHOTOGRAPH))
    handler.close_connection = True


def announces_10_gb(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, PHOTOGRAPH, length=10 * 1024**3)
    handler.close_connection = True


def endless(
    handler: BaseHTTPRequestHandler, pause: float = 0.0, piece: bytes = b"x" * 4096, code: int = 200, **headers: str
) -> None:
    handler.send_response(code)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    while True:
        handler.wfile.write(piece)
        handler.wfile.flush()
        time.sleep(pause)


def endless_chunks(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")


def hung(_: BaseHTTPRequestHandler) -> None:
    threading.Event().wait()


def trickling_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.1)


def not_http(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x00\xff garbage \r\n\r\n")
    handler.close_connection = True


def hangs_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def gzip_bomb(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, gzip.compress(b"\0" * 10_000_000), Content_Encoding="gzip")


ROUTES: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {
    "/good": good,
    "/403": functools.partial(answer, code=403),
    "/500": functools.partial(answer, code=500),
    "/204": functools.partial(answer, code=204),
    "/html": functools.partial(answer, body=b"<!DOCTYPE html><p>parked", Content_Type="image/jpeg"),
    "/other": functools.partial(answer, body=photograph(9)),
    "/empty": functools.partial(answer, body=b""),
    "/half": half_sent,
    "/short": functools.partial(answer, body=PHOTOGRAPH, length=100),
    "/10gb": announces_10_gb,
    "/endless": endless,
    "/endless-chunks": endless_chunks,
    "/drip": functools.partial(endless, pause=0.1, piece=b"x"),
    "/hung": hung,
    "/slow-headers": trickling_headers,
    "/not-http": not_http,
    "/hangs-up": hangs_up,
    "/gzip-bomb": gzip_bomb,
    "/loop": functools.partial(redirect, to="/loop"),
    "/to-file": functools.partial(redirect, to="file:///etc/passwd"),
    "/to-ftp": functools.partial(redirect, to="ftp://127.0.0.1/x"),
    "/to-nowhere": functools.partial(redirect, to="http://["),
    "/to-good": functools.partial(redirect, to="/good"),
    "/endless-redirect": functools.partial(endless, code=302, Location="/good"),
    "/429-for-a-year": functools.partial(answer, code=429, Retry_After="31536000"),
    "/429-in-words": functools.partial(answer, code=429, Retry_After="soon"),
}


def download(urls: list[str], path: Path, policy: Policy = POLICY, **options: float) -> list[Outcome]:
    """Fetch each URL as if it were the photograph; images beyond the first have made-up hashes."""
    hashes = [HASH, *(f"{i:032x}" for i in range(1, len(urls)))]
    jobs = [Job(name, url, name) for name, url in zip(hashes, urls, strict=True)]
    return download_images(jobs, path / "images", path / "journal", policy, **options)  # type: ignore[arg-type]
