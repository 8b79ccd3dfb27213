"""All photographs of a study in one array, decoded once, by all cores, in bounded memory.

The work is cut into chunks of metadata rows. Workers decode chunks; one writer appends them to the array in the
order of the metadata and notes each in a journal once it is on disk. A run that was killed goes on after the last
noted chunk. Neither the number of workers nor the order in which they finish can change the array.
"""

import hashlib
import io
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from fairgen.decoding import MAX_PIXELS, DecodeError, IccPolicy, decode_square
from fairgen.files import write_text
from fairgen.locations import MAX_BYTES, Location, UnreadableError, has_hash, read_bytes
from fairgen.metadata import ROW_COLUMNS
from fairgen.progress import progress

ARRAY = "images.npy"  # in the work folder, until it is complete
CHUNK_BYTES = 4 * 1024 * 1024  # of pixels in a chunk: with it, memory is the same at every image size
FORMAT = 2  # of the journal and of what decode_square makes; raise it when either changes


@dataclass(frozen=True)
class Settings:
    """How images are read and decoded: everything beside the bytes that the pixels depend on."""

    side: int  # pixels
    icc: IccPolicy = "convert"
    max_pixels: int = MAX_PIXELS
    max_bytes: int = MAX_BYTES


Job = Sequence[tuple[str, Sequence[Location]]]  # hashes, each with the places to try


class Outcome(NamedTuple):
    """What became of one metadata row."""

    status: str  # ok, missing, wrong-hash, or the status of an UnreadableError or DecodeError
    source: str  # where the pixels came from; "" without pixels
    verified: bool
    width: int  # of the photograph as stored, upright, in pixels
    height: int
    detail: str  # what went wrong, place by place


_Chunk = tuple[list[npt.NDArray[np.uint8]], list[Outcome]]


def pack_images(
    metadata: pd.DataFrame,
    locations: Mapping[str, Sequence[Location]],
    settings: Settings,
    *,
    work_folder: Path,
    workers: int,
) -> pd.DataFrame:
    """Decode every image that can be found into one array, the file `ARRAY` in `work_folder`.

    The first location that yields an image wins; the others are not read. Peak memory is that of a few chunks per
    worker and of the photographs being decoded, whatever the number of images.

    Args:
        metadata: as from `read_metadata`.
        locations: md5hash -> places to try in turn, as from `locate_images`.
        work_folder: receives the array, uint8 (n, side, side, 3), in the order of `metadata`, and the journal; a run
            that was killed goes on from them. Left to the caller: moving the array and deleting the folder.

    Returns:
        One row per metadata row with `Outcome`'s fields as columns, after the metadata's; those with status `ok`
        describe the array, row by row.
    """
    rows_per_chunk = max(1, CHUNK_BYTES // (settings.side**2 * 3))
    hashes = metadata["md5hash"].tolist()
    jobs = [
        [(md5hash, locations.get(md5hash, ())) for md5hash in hashes[start : start + rows_per_chunk]]
        for start in range(0, len(hashes), rows_per_chunk)
    ]
    work_folder.mkdir(parents=True, exist_ok=True)
    array, journal = work_folder / ARRAY, work_folder / "journal.jsonl"
    outcomes = _written_before(jobs, settings, array, journal)
    left = jobs[len(outcomes) :]
    bar = progress(len(jobs), "packing", "chunks", before=len(outcomes))
    # Threads: Pillow, MD5 and file reading all let others run.
    with bar, open(array, "r+b") as pixels_file, open(journal, "a") as notes, ThreadPoolExecutor(workers) as pool:
        pixels_file.seek(0, os.SEEK_END)
        decoded = _ahead(pool, lambda job: _decode_chunk(job, settings), left, 2 * workers)
        for job, (pixels, chunk) in zip(left, decoded, strict=True):
            pixels_file.writelines(image.data for image in pixels)
            pixels_file.flush()
            os.fsync(pixels_file.fileno())
            print(json.dumps([_job_key(job, settings), chunk]), file=notes, flush=True)
            outcomes.append(chunk)
            bar.update()
        rows = [outcome for chunk in outcomes for outcome in chunk]
        pixels_file.seek(0)
        pixels_file.write(_header(sum(outcome.status == "ok" for outcome in rows), settings.side))
    return pd.concat([metadata.reset_index(drop=True), pd.DataFrame(rows, columns=list(Outcome._fields))], axis=1)


def index_of(result: pd.DataFrame) -> pd.DataFrame:
    """The rows of `pack_images`' result that have pixels, numbered as in the array."""
    packed = result.loc[result["status"] == "ok", [*ROW_COLUMNS, "source", "verified", "width", "height"]]
    return packed.reset_index(drop=True).rename_axis("row").reset_index()


def _written_before(jobs: Sequence[Job], settings: Settings, array: Path, journal: Path) -> list[list[Outcome]]:
    """The outcomes of the chunks that a killed run has written; both files are cut after the last of them.

    A chunk counts when those before it do, and when it was made from the same files with the same settings.
    """
    size = array.stat().st_size if array.exists() else 0
    end = len(_header(0, settings.side))
    lines = journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []
    chunks = []
    for line, job in zip(lines, jobs, strict=False):
        try:
            key, fields = json.loads(line)
        except ValueError:  # the line that was being written when the run was killed
            break
        chunk = [Outcome(*values) for values in fields]
        after = end + sum(outcome.status == "ok" for outcome in chunk) * settings.side**2 * 3
        if key != _job_key(job, settings) or after > size:
            break
        chunks.append(chunk)
        end = after
    write_text("".join(f"{line}\n" for line in lines[: len(chunks)]), journal)
    with open(array, "ab") as file:
        file.truncate(end)
    return chunks


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
    """The pixels of those images of a job that can be had, and the outcomes of all."""
    images = [read_image(md5hash, places, settings) for md5hash, places in job]
    return [pixels for pixels, _ in images if pixels is not None], [outcome for _, outcome in images]


def read_image(
    md5hash: str, places: Sequence[Location], settings: Settings
) -> tuple[npt.NDArray[np.uint8] | None, Outcome]:
    """The image from the first of `places` that yields one, and what happened.

    Returns:
        Pixels as from `decode_square`, or None; where nothing works, the outcome has the status of the
        first place and the details of all.
    """
    failures: list[tuple[str, str]] = []
    for place in places:
        try:
            data = read_bytes(place, settings.max_bytes)
            if place.verify and not has_hash(data, md5hash):
                failures.append(("wrong-hash", f"{place}: the MD5 of its {len(data)} bytes is not its name"))
                continue
            pixels, (width, height) = decode_square(data, settings.side, settings.icc, settings.max_pixels)
        except (UnreadableError, DecodeError) as error:
            failures.append((error.status, f"{place}: {error}"))
        else:
            detail = "; ".join(text for _, text in failures)
            return pixels, Outcome("ok", place.source, place.verify, width, height, detail)
    status = failures[0][0] if failures else "missing"
    return None, Outcome(status, "", False, 0, 0, "; ".join(text for _, text in failures))


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
