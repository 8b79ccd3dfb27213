"""All photographs of a study in one array, decoded once, by all cores, in bounded memory.

The work is cut into chunks of metadata rows. A finished chunk is a file; a run that was killed finds
the finished ones again, and the array is the chunks one behind the other. Neither the number of
workers nor the order in which they finish can change it.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from fairgen.decoding import MAX_PIXELS, DecodeError, IccPolicy, decode_square
from fairgen.files import atomic_path, write_csv, write_text
from fairgen.metadata import ROW_COLUMNS
from fairgen.sources import MAX_BYTES, Location, UnreadableError, has_hash, read_bytes

CHUNK_BYTES = 16 * 1024 * 1024  # of pixels in a chunk: with it, memory is the same at every image size
FORMAT = 1  # of the chunk files and of what decode_square makes; raise it when either changes


@dataclass(frozen=True)
class Settings:
    """How images are read and decoded: everything beside the bytes that the pixels depend on."""

    side: int  # pixels
    icc: IccPolicy = "convert"
    max_pixels: int = MAX_PIXELS
    max_bytes: int = MAX_BYTES


class Outcome(NamedTuple):
    """What became of one metadata row."""

    status: str  # ok, missing, wrong-hash, or the status of an UnreadableError or DecodeError
    source: str  # where the pixels came from; "" without pixels
    verified: bool
    width: int  # of the photograph as stored, upright, in pixels
    height: int
    detail: str  # what went wrong, place by place


def pack_images(
    metadata: pd.DataFrame,
    locations: Mapping[str, Sequence[Location]],
    settings: Settings,
    *,
    array_path: str | Path,
    index_path: str | Path,
    work_folder: str | Path,
    workers: int,
) -> pd.DataFrame:
    """Decode every image that can be found into one array and write it with its index.

    The first location that yields an image wins; the others are not read. Peak memory is that of
    `workers` chunks and decoded photographs, whatever the number of images.

    Args:
        metadata: as from `read_metadata`.
        locations: md5hash -> places to try in turn, as from `locate_images`.
        array_path: written: uint8 (n, side, side, 3), in the order of `metadata`.
        index_path: written: row i describes array[i].
        work_folder: holds finished chunks until the array is written; a killed run goes on from it.

    Returns:
        One row per metadata row with `Outcome`'s fields as columns, after the metadata's.
    """
    rows_per_chunk = max(1, CHUNK_BYTES // (settings.side**2 * 3))
    hashes = metadata["md5hash"].tolist()
    jobs = [
        [(md5hash, locations.get(md5hash, ())) for md5hash in hashes[start : start + rows_per_chunk]]
        for start in range(0, len(hashes), rows_per_chunk)
    ]
    chunk_folder = Path(work_folder) / "chunks"
    chunk_folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(workers) as pool:  # Pillow, MD5 and file reading all let other threads run
        done = pool.map(lambda job: _pack_chunk(job, settings, chunk_folder), jobs)
        chunks = list(tqdm(done, total=len(jobs), desc="packing", unit="chunk", disable=None))
    outcomes = [outcome for chunk in chunks for outcome in _chunk_outcomes(chunk)]
    result = pd.concat([metadata.reset_index(drop=True), pd.DataFrame(outcomes, columns=list(Outcome._fields))], axis=1)
    packed = result[result["status"] == "ok"].reset_index(drop=True)
    _join_arrays(chunks, (len(packed), settings.side, settings.side, 3), array_path)
    index = packed[[*ROW_COLUMNS, "source", "verified", "width", "height"]]
    write_csv(index.rename_axis("row").reset_index(), index_path)
    shutil.rmtree(chunk_folder)
    return result


def _pack_chunk(job: Sequence[tuple[str, Sequence[Location]]], settings: Settings, folder: Path) -> Path:
    """Decode the images of one job into the file whose path is returned, unless it is there already."""
    path = folder / f"{_job_key(job, settings)}.npy"
    if path.with_suffix(".json").exists():
        return path
    outcomes = []
    pixels = np.empty((len(job), settings.side, settings.side, 3), np.uint8)
    count = 0
    for md5hash, places in job:
        image, outcome = read_image(md5hash, places, settings)
        outcomes.append(outcome)
        if image is not None:
            pixels[count] = image
            count += 1
    with atomic_path(path) as temporary:
        np.save(temporary, pixels[:count])
    # Written last: a chunk is finished when its outcomes are there.
    write_text(json.dumps(outcomes), path.with_suffix(".json"))
    return path


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


def _job_key(job: Sequence[tuple[str, Sequence[Location]]], settings: Settings) -> str:
    """A name that changes with everything a chunk depends on."""
    content = json.dumps([FORMAT, asdict(settings), job], sort_keys=True)
    return hashlib.sha256(content.encode(errors="surrogateescape")).hexdigest()[:32]


def _chunk_outcomes(chunk: Path) -> Iterator[Outcome]:
    for fields in json.loads(chunk.with_suffix(".json").read_text(encoding="utf-8")):
        yield Outcome(*fields)


def _join_arrays(chunks: Sequence[Path], shape: tuple[int, ...], path: str | Path) -> None:
    """Write the chunks' images one behind the other as one .npy file."""
    with atomic_path(path) as temporary, open(temporary, "wb") as out:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(out, header)
        for chunk in chunks:
            with open(chunk, "rb") as file:
                _skip_header(file)
                shutil.copyfileobj(file, out, 1 << 20)


def _skip_header(file: BinaryIO) -> None:
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
