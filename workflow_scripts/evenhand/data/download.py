"""Photographs from their URLs: what is there is kept, what is not is told apart, and nothing is fetched twice."""

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from evenhand.data.decoding import DecodeError, identify
from evenhand.data.locations import Location, UnreadableError, mismatch, read_bytes
from evenhand.data.web import FetchError, Host, Policy, fetch, open_session
from evenhand.workflow.files import atomic_path
from evenhand.workflow.progress import progress

HOSTS_AT_ONCE = 8


class Job(NamedTuple):
    """An image to fetch."""

    id: str
    url: str
    checksum: str


class Outcome(NamedTuple):
    """What became of a job."""

    job: Job
    status: str  # ok, no-url, not-an-image, wrong-hash, or a FetchError's status
    detail: str
    transient: bool = False  # trying again another day may help


def is_held(checksum: str, places: Sequence[Location]) -> bool:
    """Whether one of the places holds the image: the bytes there have its checksum.

    Where the source is declared unverified, it is enough that they begin like an image.
    """
    return any(_is_usable(place, checksum) for place in places)


def download_images(
    jobs: Sequence[Job],
    folder: Path,
    journal: Path,
    policy: Policy,
    connections: int = 2,
    interval: float = 0.0,
) -> list[Outcome]:
    """Fetch images into `folder`, each as `<id>.jpg` once its checksum is right.

    A file that is there with its checksum is not fetched. Failures that another try would not change, such as 404,
    are noted in `journal` as they happen: nobody asks for them again until it is deleted. Folder and journal may be
    shared by several processes, also with the same jobs: what killed ones left is removed by `atomic_path`.

    Args:
        jobs: the images; one without a URL is an outcome, too.
        connections: requests at a time to one host.
        interval: seconds between the starts of two requests to one host.

    Returns:
        One outcome per job, in the order of `jobs`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = _known_outcomes(jobs, folder, journal)
    by_host: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        if job not in known:
            by_host[_host_name(job.url)].append(job)
    hosts = {name: Host(interval) for name in by_host}
    bar = progress(len(jobs), "downloading", "images", before=len(known))

    def fetch_host(name: str) -> list[Outcome]:
        with open_session(policy, connections) as session, ThreadPoolExecutor(connections) as pool:

            def fetch_one(job: Job) -> Outcome:
                outcome = _download(job, folder, lambda: fetch(session, job.url, policy, hosts[name]))
                note(outcome)
                bar.update()
                return outcome

            return list(pool.map(fetch_one, by_host[name]))

    with _journal(journal) as note, bar, ThreadPoolExecutor(HOSTS_AT_ONCE) as pool:
        try:
            fetched = [outcome for outcomes in pool.map(fetch_host, by_host) for outcome in outcomes]
        except BaseException:  # such as Ctrl-C: do not wait for everything that is still queued
            for host in hosts.values():
                host.give_up()
            raise
    outcomes = known | {outcome.job: outcome for outcome in fetched}
    return [outcomes[job] for job in jobs]


def _download(job: Job, folder: Path, get: Callable[[], bytes]) -> Outcome:
    try:
        data = get()
    except FetchError as error:
        return Outcome(job, error.status, str(error), error.transient)
    wrong = mismatch(data, job.checksum)
    if wrong:
        try:
            identify(data)
        except DecodeError as error:
            if error.status == "not-an-image":  # a page that says sorry is another matter than another picture
                return Outcome(job, error.status, str(error))
        return Outcome(job, "wrong-hash", wrong)
    with atomic_path(_cache_path(folder, job)) as temporary:
        temporary.write_bytes(data)
    return Outcome(job, "ok", "")


def _cache_path(folder: Path, job: Job) -> Path:
    return folder / f"{job.id}.jpg"


def _known_outcomes(jobs: Sequence[Job], folder: Path, journal: Path) -> dict[Job, Outcome]:
    """What need not be asked for: images that are there, failures noted before, rows without URL."""
    known = {job: Outcome(job, "no-url", "the metadata gives none") for job in jobs if not job.url}
    noted = {(checksum, url): (status, detail) for checksum, url, status, detail in _read_journal(journal)}
    known |= {job: Outcome(job, *noted[key]) for job in jobs if (key := (job.checksum, job.url)) in noted}

    def is_there(job: Job) -> bool:
        try:
            return not mismatch(_cache_path(folder, job).read_bytes(), job.checksum)
        except FileNotFoundError:
            return False

    with ThreadPoolExecutor() as pool:
        there = pool.map(is_there, jobs)
        return known | {job: Outcome(job, "ok", "") for job, found in zip(jobs, there, strict=True) if found}


def _read_journal(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """Failures: checksum and URL of the image, status and detail."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            checksum, url, status, detail = json.loads(line)
        except ValueError:  # the line that was being written when the run was killed
            continue
        yield checksum, url, status, detail


@contextmanager
def _journal(path: Path) -> Iterator[Callable[[Outcome], None]]:
    """A function that notes an outcome, if it is one that another try would not change."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = threading.Lock()
    with open(path, "a", encoding="utf-8") as file:
        # A line cut short by a kill must not swallow the next one.
        print(file=file, flush=True)

        def note(outcome: Outcome) -> None:
            if outcome.status != "ok" and not outcome.transient:
                with lock:
                    file.write(
                        json.dumps([outcome.job.checksum, outcome.job.url, outcome.status, outcome.detail]) + "\n"
                    )
                    file.flush()

        yield note


def _is_usable(place: Location, checksum: str) -> bool:
    try:
        data = read_bytes(place)
        if place.verify:
            return not mismatch(data, checksum)
        identify(data)
    except (UnreadableError, DecodeError):
        return False
    return True


def _host_name(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""
