"""All photographs of a study in one array, decoded once, by all cores, in bounded memory.

The work is cut into chunks of metadata rows. Workers decode chunks; one writer appends them to the array in the
order of the metadata and notes each in a journal once it is on disk. A run that was killed goes on after the last
noted chunk. Neither the number of workers nor the order in which they finish can change the array. What is said of
the images stays in the journal until it is asked for, so that memory is that of a few chunks for any number of them.
"""

import hashlib
import io
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evenhand.data.decoding import MAX_PIXELS, DecodeError, IccPolicy, decode_square
from evenhand.data.locations import MAX_BYTES, Location, UnreadableError, mismatch, read_bytes
from evenhand.workflow.progress import progress

ARRAY = "images.npy"  # in the work folder, until it is complete
JOURNAL = "journal.jsonl"  # beside it: a line per chunk, with its key and its outcomes
CHUNK_BYTES = 4 * 1024 * 1024  # of pixels in a chunk: with it, memory is the same at every image size
FORMAT = 4  # of the journal and of what decode_square makes; raise it when either changes


@dataclass(frozen=True)
class Settings:
    """How images are read and decoded: everything beside the bytes that the pixels depend on."""

    side: int  # pixels
    icc: IccPolicy = "convert"
    max_pixels: int = MAX_PIXELS
    max_bytes: int = MAX_BYTES


Job = Sequence[tuple[str, Sequence[Location]]]  # checksums of images, each with the places to try


class Outcome(NamedTuple):
    """What became of one metadata row."""

    status: str  # ok, missing, wrong-hash, or the status of an UnreadableError or DecodeError
    found_in: str  # the source of the pixels came from; "" without pixels
    verified: bool
    width: int  # of the photograph as stored, upright, in pixels
    height: int
    detail: str  # what went wrong, place by place


_Chunk = tuple[str, list[npt.NDArray[np.uint8]], list[Outcome]]  # key of the job, pixels, what became of every image


def pack_images(
    checksums: Mapping[str, Sequence[tuple[str]]],
    locations: Mapping[str, Sequence[Location]],
    settings: Settings,
    *,
    work_folder: Path,
    workers: int,
) -> None:
    """Decode every image that can be found into one array, the file `ARRAY` in `work_folder`.

    The first location that yields an image wins; the others are not read. Peak memory is that of a few chunks per
    worker and of the photographs being decoded, whatever the number of images. `read_outcomes` tells
    what became of each.

    Args:
        checksums: id -> what the bytes of the image are compared with, in the order of the metadata.
        locations: id -> places to try in turn, as from `locate_images`.
        work_folder: receives the array, uint8 (n, side, side, 3), in the order of `checksums`, and the journal; a run
            that was killed goes on from them. Left to the caller: moving the array and deleting the folder.
    """
    rows_per_chunk = max(1, CHUNK_BYTES // (settings.side**2 * 3))

    def jobs() -> Iterator[Job]:
        left = iter(checksums)
        while chunk := list(islice(left, rows_per_chunk)):
            yield [(checksums[image_id][0][0], locations.get(image_id, ())) for image_id in chunk]

    work_folder.mkdir(parents=True, exist_ok=True)
    array, journal = work_folder / ARRAY, work_folder / JOURNAL
    before, packed = _written_before(jobs(), settings, array, journal)
    bar = progress(-(-len(checksums) // rows_per_chunk), "packing", "chunks", before=before)
    # Threads: Pillow, MD5 and file reading all let others run.
    with bar, open(array, "r+b") as pixels_file, open(journal, "a") as notes, ThreadPoolExecutor(workers) as pool:
        pixels_file.seek(0, os.SEEK_END)
        work = lambda job: _decode_chunk(job, settings)  # noqa: E731
        for key, pixels, outcomes in _ahead(pool, work, islice(jobs(), before, None), 2 * workers):
            pixels_file.writelines(image.data for image in pixels)
            pixels_file.flush()
            os.fsync(pixels_file.fileno())
            print(json.dumps([key, outcomes]), file=notes, flush=True)
            packed += len(pixels)
            bar.update()
        pixels_file.seek(0)
        pixels_file.write(_header(packed, settings.side))


def read_outcomes(work_folder: Path) -> Iterator[Outcome]:
    """What became of each image, in the order of `pack_images`, once that is done."""
    with open(work_folder / JOURNAL) as lines:
        for line in lines:
            for fields in json.loads(line)[1]:
                yield Outcome(*fields)


def _written_before(jobs: Iterable[Job], settings: Settings, array: Path, journal: Path) -> tuple[int, int]:
    """How many chunks a killed run has written, and how many images; both files are cut after the last of them.

    A chunk counts when those before it do, and when it was made from the same files with the same settings.
    """
    header, image = len(_header(0, settings.side)), settings.side**2 * 3
    chunks, images, end = 0, 0, 0
    with open(array, "ab") as pixels_file, open(journal, "a+b") as notes:
        size = pixels_file.tell()
        notes.seek(0)
        for line, job in zip(notes, jobs, strict=False):
            if not line.endswith(b"\n"):  # the line that was being written when the run was killed
                break
            key, outcomes = json.loads(line)
            after = images + sum(Outcome(*fields).status == "ok" for fields in outcomes)
            if key != _job_key(job, settings) or header + after * image > size:
                break
            chunks, images, end = chunks + 1, after, end + len(line)
        notes.truncate(end)
        pixels_file.truncate(header + images * image)
    return chunks, images


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[Job], _Chunk], jobs: Iterable[Job], window: int
) -> Iterator[_Chunk]:
    """The results of the jobs in their order, with at most `window` of them under way or waiting to be taken."""
    pending: deque[Future[_Chunk]] = deque()
    for job in jobs:
        pending.append(pool.submit(work, job))
        if len(pending) == window:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _decode_chunk(job: Job, settings: Settings) -> _Chunk:
    """The job's key, the pixels of those images that can be had, and the outcomes of all."""
    images = [read_image(checksum, places, settings) for checksum, places in job]
    pixels = [pixels for pixels, _ in images if pixels is not None]
    return _job_key(job, settings), pixels, [outcome for _, outcome in images]


def read_image(
    checksum: str, places: Sequence[Location], settings: Settings
) -> tuple[npt.NDArray[np.uint8] | None, Outcome]:
    """The image from the first of `places` that yields one, and what happened.

    Returns:
        Pixels as from `decode_square`, or None; where nothing works, the outcome has the status of the
        first place and the details of all. Where names alone are trusted, files of one source that are called like the
        same image and differ are none of them taken.
    """
    failures: list[tuple[str, str]] = []
    for place in places:
        try:
            data = read_bytes(place, settings.max_bytes)
            if not place.verify and (other := _another(place, places, data, settings.max_bytes)):
                failures.append(("several-files", f"{place}: {other} goes by the same name and differs"))
                continue
            if place.verify and (wrong := mismatch(data, checksum)):
                failures.append(("wrong-hash", f"{place}: {wrong}"))
                continue
            pixels, (width, height) = decode_square(data, settings.side, settings.icc, settings.max_pixels)
        except (UnreadableError, DecodeError) as error:
            failures.append((error.status, f"{place}: {error}"))
        else:
            detail = "; ".join(text for _, text in failures)
            return pixels, Outcome("ok", place.source, place.verify, width, height, detail)
    status = failures[0][0] if failures else "missing"
    return None, Outcome(status, "", False, 0, 0, "; ".join(text for _, text in failures))


def _another(place: Location, places: Sequence[Location], data: bytes, limit: int) -> Location | None:
    """A file in the same source that is called like the same image and holds other bytes, if there is one."""
    for other in places:
        if other.rank == place.rank and other != place:
            try:
                if read_bytes(other, limit) != data:
                    return other
            except UnreadableError:  # nothing to choose between
                continue
    return None


def _job_key(job: Job, settings: Settings) -> str:
    """A name that changes with everything a chunk depends on."""
    content = json.dumps([FORMAT, asdict(settings), job], sort_keys=True)
    return hashlib.sha256(content.encode(errors="surrogateescape")).hexdigest()[:32]


def _header(n: int, side: int) -> bytes:
    """The header of a .npy file with `n` images; equally long for every `n`, as NumPy leaves room for growth."""
    buffer = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (n, side, side, 3)}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()
