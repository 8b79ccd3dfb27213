"""Where the bytes of an image may lie: folders and archives of files called `<md5hash>.jpg`.

Archives are never unpacked into the file system: members are read where they are, so a member's name
cannot lead out of a folder. A compressed tar is the exception in form only: the wanted members' bytes
are copied, one behind the other, into a single file of ours.
"""

import hashlib
import lzma
import os
import re
import tarfile
import warnings
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from fairgen.errors import UserError
from fairgen.files import atomic_path
from fairgen.folders import IMAGE_NAME, image_files

MAX_BYTES = 64 * 1024 * 1024  # of one image file; the largest original has 3 MB
MAX_UNPACKED = 500 * 1024**3  # of a compressed tar, wanted or not: beyond that it is taken for a bomb
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
class Source:
    """A folder or archive of images, read in place."""

    path: Path
    name: str  # as the tables show it
    verify: bool = True  # the MD5 of a file's bytes must be the hash in its name
    may_be_empty: bool = False  # the folder of downloads is there before the first download is


class Location(NamedTuple):
    """The bytes of one image file: a file, a zip member, or a stretch of a file (offset >= 0)."""

    path: str
    member: str  # name inside the archive, "" for a file of its own
    offset: int  # where the bytes start, -1: not a stretch
    size: int  # announced, in bytes
    modified: int  # time stamp of the file at `path`
    source: str
    verify: bool
    refused: str  # why the bytes are not to be read, "" when they are

    def __str__(self) -> str:
        return f"{self.path}:{self.member}" if self.member else self.path


class UnreadableError(Exception):
    """An image file is there but cannot be had: `status` is the machine's word for it, the text is the reader's."""

    def __init__(self, status: Literal["refused", "too-large", "unreadable"], detail: str) -> None:
        super().__init__(detail)
        self.status = status


def sources_from(entries: Sequence[dict[str, Any]], downloads: Path) -> list[Source]:
    """The sources that the list `data.sources` of a configuration describes; `downloads` stands for its URLs."""
    sources = []
    for entry in entries:
        if "urls" in entry:
            sources.append(Source(downloads, "urls", may_be_empty=True))
        else:
            path = entry.get("folder") or entry["archive"]
            sources.append(Source(Path(path), path, entry.get("verify", True)))
    return sources


def locate_images(
    sources: Collection[Source], wanted: Collection[str], spool_folder: str | Path
) -> dict[str, list[Location]]:
    """Where each wanted image may be found, the most preferred place first.

    Args:
        sources: in order of preference.
        wanted: md5hashes, lower case.
        spool_folder: takes the members of compressed tars, which cannot be read at random.

    Returns:
        md5hash -> locations, in order of source and, within one, of name; images found nowhere are absent.

    Raises:
        UserError: a source does not exist, cannot be read, or holds none of the wanted images.
    """
    hashes = frozenset(wanted)
    found: dict[str, list[Location]] = defaultdict(list)
    for source in sources:
        count = 0
        for md5hash, location in _locations(source, hashes, Path(spool_folder)):
            found[md5hash].append(location)
            count += 1
        if not count and not source.may_be_empty:
            raise UserError(
                f"{source.path}: none of its files is called <md5hash>.jpg (or .jpeg, .png) with a hash of the "
                "metadata. Check the path; files under other names have to be renamed first."
            )
    return dict(found)


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
            with _open_zip(location.path, _stamp(location.path)).open(location.member) as member:
                data = member.read(limit + 1)
        else:
            with open(location.path, "rb") as file:
                data = file.read(limit + 1)
    except READ_ERRORS as error:
        raise UnreadableError("unreadable", f"{type(error).__name__}: {error}") from error
    if len(data) > limit:
        raise UnreadableError("too-large", f"more than {limit} bytes, although {location.size} were announced")
    return data


def has_hash(data: bytes, md5hash: str) -> bool:
    """Whether the MD5 of `data` is `md5hash` (here a name given by the data set, not a protection)."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest() == md5hash


def _locations(source: Source, wanted: frozenset[str], spool_folder: Path) -> Iterator[tuple[str, Location]]:
    if source.path.is_dir():
        return _in_folder(source, wanted)
    if source.may_be_empty and not source.path.exists():
        return iter(())
    if not source.path.is_file():
        raise UserError(f"{source.path}: expected a folder or archive of images; nothing is there.")
    if zipfile.is_zipfile(source.path):
        return _in_zip(source, wanted)
    if tarfile.is_tarfile(source.path):
        return _in_tar(source, wanted, spool_folder)
    raise UserError(
        f"{source.path}: expected a folder, or a zip or tar archive; found another kind of file, or an archive that is "
        "not complete."
    )


def _in_folder(source: Source, wanted: frozenset[str]) -> Iterator[tuple[str, Location]]:
    for path, md5hash in sorted(image_files(source.path)):
        if md5hash in wanted:
            try:
                (size, modified), refused = _stamp(path), ""
            except OSError as error:  # such as a link to nowhere
                size, modified, refused = 0, 0, f"{type(error).__name__}: {error.strerror}"
            yield md5hash, Location(str(path), "", -1, size, modified, source.name, source.verify, refused)


def _wanted_hash(member: str, wanted: frozenset[str]) -> str | None:
    match = IMAGE_NAME.fullmatch(PurePosixPath(member.replace("\\", "/")).name)
    return match[1].lower() if match and match[1].lower() in wanted else None


def _escapes(member: str) -> str:
    """Why a member's name is refused: it would leave the folder it is unpacked into. "" when it would not."""
    path = PurePosixPath(member.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", member):
        return "its name in the archive leads out of the folder"
    return ""


def _in_zip(source: Source, wanted: frozenset[str]) -> Iterator[tuple[str, Location]]:
    path = str(source.path)
    stamp = _stamp(path)
    try:
        members = _open_zip(path, stamp).infolist()
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: the zip archive cannot be read ({error}). Is the copy complete?") from error
    for member in sorted(members, key=lambda info: info.filename):
        md5hash = _wanted_hash(member.filename, wanted)
        if md5hash is not None:
            yield (
                md5hash,
                Location(
                    path,
                    member.filename,
                    -1,
                    member.file_size,
                    stamp[1],
                    source.name,
                    source.verify,
                    _escapes(member.filename),
                ),
            )


def _in_tar(source: Source, wanted: frozenset[str], spool_folder: Path) -> Iterator[tuple[str, Location]]:
    with open(source.path, "rb") as file:
        plain = _is_plain_tar(file.read(tarfile.BLOCKSIZE))
    if plain:
        with tarfile.open(source.path, "r:") as archive:
            found = [
                (md5hash, _tar_location(member, source, source.path, member.offset_data))
                for member in _members(archive, source.path)
                if (md5hash := _wanted_hash(member.name, wanted)) is not None
            ]
    else:
        found = _spool(source, wanted, spool_folder / f"{source.path.name}.spool")
    yield from sorted(found, key=lambda pair: pair[1].member)


def _members(archive: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """The members of a tar; of one that breaks off, those before the break, with a warning."""
    count = 0
    while True:
        try:
            member = archive.next()
        except (tarfile.TarError, *READ_ERRORS) as error:
            warnings.warn(f"{path}: breaks off after {count} members ({error}); is the copy complete?", stacklevel=2)
            return
        if member is None:
            return
        count += 1
        yield member


def _is_plain_tar(header: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _tar_location(member: tarfile.TarInfo, source: Source, path: Path, offset: int) -> Location:
    """The member's place; `path` and `offset` say where its bytes are, `source.path` which archive it is from."""
    refused = _escapes(member.name)
    if not refused and (not member.isreg() or member.issparse()):
        refused = "it is a link, device or sparse file in the archive"
    modified = _stamp(source.path)[1]
    return Location(str(path), member.name, offset, member.size, modified, source.name, source.verify, refused)


def _spool(source: Source, wanted: frozenset[str], spool: Path) -> list[tuple[str, Location]]:
    """Copy the wanted members of a compressed tar behind one another into one file, reading the archive once."""
    found: list[tuple[str, Location]] = []
    offset = 0
    with atomic_path(spool) as temporary, open(temporary, "wb") as out, tarfile.open(source.path, "r|*") as archive:
        for member in _members(archive, source.path):
            if member.offset_data + member.size > MAX_UNPACKED:
                raise UserError(f"{source.path}: unpacks to more than {MAX_UNPACKED} bytes; refused as a bomb.")
            md5hash = _wanted_hash(member.name, wanted)
            if md5hash is None:
                continue
            location = _tar_location(member, source, spool, offset)
            if not location.refused and member.size <= MAX_BYTES:
                try:
                    content = archive.extractfile(member)
                    offset += out.write(content.read()) if content else 0
                except (tarfile.TarError, *READ_ERRORS) as error:
                    location = location._replace(refused=f"the archive breaks off or is damaged here ({error})")
            found.append((md5hash, location))
    return found


def _stamp(path: str | Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=8)
def _open_zip(path: str, stamp: tuple[int, int]) -> zipfile.ZipFile:
    """One open handle per archive (zipfile locks it between threads); `stamp` makes a replaced file a new one."""
    return zipfile.ZipFile(path)
