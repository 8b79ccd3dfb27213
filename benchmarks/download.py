"""Speed of downloading from a server on this machine, and of finding that everything is there already.

    python benchmarks/download.py

Prints how busy a bounded number of connections keeps a server that takes 50 ms for each answer, as a share of the
most it could do, and the seconds in which 16,577 small files that are all there are recognised.
"""

import argparse
import hashlib
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

from evenhand.data.download import Job, download_images
from evenhand.data.web import Policy

ANSWER_SECONDS = 0.05
CONNECTIONS = 4


class Handler(BaseHTTPRequestHandler):
    """Answers every path with its own last part, after a moment."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        time.sleep(ANSWER_SECONDS)
        body = content(int(self.path.removeprefix("/")))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def content(number: int) -> bytes:
    return str(number).encode() * 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fetched", type=int, default=400, help="files to fetch")
    parser.add_argument("--there", type=int, default=16_577, help="files that are there")
    args = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    hashes = [hashlib.md5(content(i)).hexdigest() for i in range(args.there)]
    jobs = [Job(name, f"{url}/{i}", name) for i, name in enumerate(hashes)]
    with tempfile.TemporaryDirectory() as temporary:
        folder, journal = Path(temporary, "images"), Path(temporary, "failures.jsonl")
        start = time.perf_counter()
        outcomes = download_images(jobs[: args.fetched], folder, journal, Policy(), CONNECTIONS)
        seconds = time.perf_counter() - start
        assert {outcome.status for outcome in outcomes} == {"ok"}
        most = CONNECTIONS / ANSWER_SECONDS
        rate = args.fetched / seconds
        print(
            f"{args.fetched} files over {CONNECTIONS} connections: {rate:.0f}/s of at most {most:.0f}/s "
            f"({rate / most:.0%})"
        )
        for i, job in enumerate(jobs):
            (folder / f"{job.id}.jpg").write_bytes(content(i))
        start = time.perf_counter()
        outcomes = download_images(jobs, folder, journal, Policy(), CONNECTIONS)
        assert {outcome.status for outcome in outcomes} == {"ok"}
        print(f"{args.there} files that are there: {time.perf_counter() - start:.1f} s")
    server.shutdown()


if __name__ == "__main__":
    main()
