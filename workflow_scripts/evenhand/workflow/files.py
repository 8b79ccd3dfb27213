"""Files that are either complete or absent, whose bytes depend on their content alone, with their sums beside them."""

import csv
import hashlib
import json
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evenhand.workflow.errors import UserError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success flush it to disk and rename it, on failure remove it.

    The reader of `path` therefore sees the old file, the new one or none, never half of one,
    also after a power loss: the data is on disk before the name is. What killed writers left in the folder goes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent)
    # The suffix stays last: several writers choose the format by it.
    temporary = path.with_name(f".{path.stem}.{platform.node()}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        move_into_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@cache  # once in a process: a folder may hold every photograph
def _remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of processes of this machine that are no more; of others nobody here can know."""
    ours = re.compile(rf"\..+\.{re.escape(platform.node())}\.(\d+)\.tmp(\..*)?")
    for entry in os.scandir(folder):
        match = ours.fullmatch(entry.name)
        if match and not _is_running(int(match[1])):
            with suppress(FileNotFoundError):  # another process was faster
                os.unlink(entry)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True


def move_into_place(source: str | Path, path: str | Path) -> None:
    """Give a finished file its name, once its bytes are on disk. Both names are on one file system."""
    with open(source, "rb") as written:
        os.fsync(written.fileno())
    os.replace(source, path)
    directory = os.open(Path(path).parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def write_bytes(content: bytes, path: str | Path) -> None:
    """Write `content` as it is."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(text: str, path: str | Path) -> None:
    """Write `text` as UTF-8 with the newlines it has."""
    write_bytes(text.encode(), path)


def write_json(value: object, path: str | Path) -> None:
    """Write `value` as indented JSON with sorted keys, so that equal values give equal bytes.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot hold.
    """
    write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n", path)


def read_header(path: str | Path) -> list[str]:
    """The columns of a CSV table in the form of `workflow.tables`."""
    with open(path, encoding="utf-8", newline="") as file:
        return next(csv.reader(file), [])


def read_rows(path: str | Path, delimiter: str = ",") -> Iterator[dict[str, str]]:
    """The rows of a CSV table that one of these functions wrote, as text, without holding more than one."""
    csv.field_size_limit(2**31 - 1)  # the module's own would refuse a long remark
    with open(path, encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file, delimiter=delimiter)


@contextmanager
def row_writer(path: str | Path, columns: Sequence[str]) -> Iterator[Callable[[Mapping[str, object]], None]]:
    """Yield a function that adds a row to a CSV table, as in `workflow.tables`; other columns are left out."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        plain, quoted = (
            csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n", quoting=quoting)
            for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
        )
        plain.writeheader()

        def write(row: Mapping[str, object]) -> None:
            # Readers take a carriage return for the end of a row, unless it is in quotes.
            (quoted if any("\r" in str(row.get(name)) for name in columns) else plain).writerow(row)

        yield write


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_npz(arrays: Mapping[str, NDArray[Any]], path: str | Path) -> None:
    """Write named arrays (no Python objects) as an uncompressed npz file; its bytes depend on the arrays alone."""
    with atomic_path(path) as temporary:
        np.savez(temporary, allow_pickle=False, **arrays)


def write_checksums(files: Sequence[str | Path], sums: str | Path | None) -> None:
    """Write the SHA-256 of each of `files` to the file `sums`, in the form of `sha256sum`; nothing without one."""
    if sums is not None:
        write_text("".join(f"{sha256_of(path)}  {Path(path).name}\n" for path in files), sums)


def verify_checksum(path: str | Path) -> None:
    """Raise a `UserError` unless the manifest x.csv at `path` is the one whose sum is in x.sha256."""
    path = Path(path)
    remedy = (
        "To have it drawn again, delete it and run Snakemake. Where your own manifest is meant, write its sum: "
        f"(cd {path.parent} && sha256sum {path.name} > {path.stem}.sha256), which makes it yours and not the design's."
    )
    try:
        expected = path.with_suffix(".sha256").read_text("ascii").split()[0]
        found = sha256_of(path)
    except (OSError, ValueError, IndexError) as error:
        raise UserError(
            f"{path}: expected the manifest and its sum in {path.stem}.sha256; found: {error}. {remedy}"
        ) from error
    if found != expected:
        raise UserError(
            f"{path}: expected SHA-256 {expected}, found {found}: it was changed since it was drawn. {remedy}"
        )
