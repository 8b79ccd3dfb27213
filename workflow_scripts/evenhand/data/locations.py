"""Where the bytes of one image lie, and how they are read: within limits, and only when nothing speaks against it."""

import hashlib
import lzma
import os
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Literal, NamedTuple

MAX_BYTES = 64 * 1024 * 1024  # of one image file; the largest original has 3 MB
# What reading a file or archive member can raise; RuntimeError: an encrypted zip member.
READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


@dataclass(frozen=True)
class ImageSource:
    """A folder or archive of images, read in place."""

    path: Path
    name: str  # as the tables show it
    verify: bool = True  # the bytes of a file must have the checksum that the table gives
    may_be_empty: bool = False  # the folder of downloads is there before the first download is
    rank: int = 0  # among the sources: its place in their list


class Location(NamedTuple):
    """The bytes of one image file: a file, a zip member, or a stretch of a file (offset >= 0).

    Sorted, the most preferred place comes first: by rank of the source, then by name.
    """

    rank: int  # of its source
    path: str
    member: str  # name inside the archive, "" for a file of its own
    offset: int  # where the bytes start, -1: not a stretch
    size: int  # announced, in bytes
    modified: int  # time stamp of the file at `path`
    source: str
    verify: bool
    refused: str  # why the bytes are not to be read, "" when they are

    def __str__(self) -> str:
        name = f"{self.path}:{self.member}" if self.member else self.path
        return name.encode(errors="backslashreplace").decode()  # names on a disk need not be text


class UnreadableError(Exception):
    """An image file is there but cannot be had: `status` is the machine's word for it, the text is the reader's."""

    def __init__(self, status: Literal["refused", "too-large", "unreadable"], detail: str) -> None:
        super().__init__(detail)
        self.status = status


def read_bytes(location: Location, limit: int = MAX_BYTES) -> bytes:
    """The bytes at `location`.

    Raises:
        UnreadableError: refused, larger than `limit` (whatever size was announced), or not readable.
    """
    if location.refused:
        raise UnreadableError("refused", location.refused)
    if location.size > limit:
        raise UnreadableError("too-large", f"{location.size} bytes; the limit is {limit}")
    try:
        if location.offset >= 0:
            with open(location.path, "rb") as file:
                file.seek(location.offset)
                data = file.read(location.size)
            if len(data) < location.size:
                raise EOFError(f"the archive breaks off after {len(data)} of its {location.size} bytes")
        elif location.member:
            with open_zip(location.path, stamp_of(location.path)).open(location.member) as member:
                data = _read(member, location.size, limit)
        elif not os.path.isfile(location.path):  # opening a pipe would wait for ever; pathlib would keep every name
            raise FileNotFoundError("no regular file, or a link to none")
        else:
            with open(location.path, "rb") as file:
                data = _read(file, location.size, limit)
    except READ_ERRORS as error:
        raise UnreadableError("unreadable", f"{type(error).__name__}: {error}") from error
    if len(data) > limit:
        raise UnreadableError("too-large", f"more than {limit} bytes, although {location.size} were announced")
    return data


def _read(file: IO[bytes], expected: int, limit: int) -> bytes:
    """All bytes, if they are at most `limit`, else one more; in one piece when they are as many as expected."""
    data = file.read(expected + 1)
    return data + file.read(limit - expected) if len(data) > expected else data


def mismatch(data: bytes, checksum: str) -> str:
    """Why the bytes are not those of the table, whose `checksum` is an MD5 or a SHA-256; "" where they are."""
    if not checksum:
        return f"the table has no checksum for its {len(data)} bytes"
    name = "MD5" if len(checksum) == 32 else "SHA-256"
    found = hashlib.new(name.replace("-", ""), data, usedforsecurity=False).hexdigest()
    return "" if found == checksum else f"the {name} of its {len(data)} bytes is not {checksum}"


def stamp_of(path: str | Path) -> tuple[int, int]:
    """Size and time of change of a file: when both are the same, its content is taken to be."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=8)
def open_zip(path: str, stamp: tuple[int, int]) -> zipfile.ZipFile:
    """One open handle per archive (zipfile locks it between threads); `stamp` makes a replaced file a new one."""
    return zipfile.ZipFile(path)
