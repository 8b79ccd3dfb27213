"""Image files in zip and tar archives.

Archives are never unpacked into the file system: members are read where they are, so a member's name cannot lead out
of a folder. A compressed tar is the exception in form only: the wanted members' bytes are copied, one behind the
other, into a single file of ours.
"""

import hashlib
import json
import re
import tarfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from fairgen.errors import UserError
from fairgen.files import atomic_path, write_text
from fairgen.folders import IMAGE_NAME
from fairgen.locations import MAX_BYTES, READ_ERRORS, Location, Source, open_zip, stamp_of

MAX_UNPACKED = 500 * 1024**3  # of a compressed tar, wanted or not: beyond that it is taken for a bomb


def in_zip(source: Source, wanted: frozenset[str]) -> Iterator[tuple[str, Location]]:
    """The wanted members of a zip, by name, each with its md5hash."""
    path = str(source.path)
    stamp = stamp_of(path)
    try:
        members = open_zip(path, stamp).infolist()
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


def in_tar(source: Source, wanted: frozenset[str], spool_folder: Path) -> Iterator[tuple[str, Location]]:
    """The wanted members of a tar, by name, each with its md5hash; of one that breaks off, those before the break."""
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
        found = [
            (md5hash, place._replace(source=source.name, verify=source.verify))
            for md5hash, place in _spooled(source, wanted, spool_folder)
        ]
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
    modified = stamp_of(source.path)[1]
    return Location(str(path), member.name, offset, member.size, modified, source.name, source.verify, refused)


def _spooled(source: Source, wanted: frozenset[str], folder: Path) -> list[tuple[str, Location]]:
    """The wanted members of a compressed tar, from copies of their bytes; made now, or by an earlier stage or run."""
    path = str(source.path.resolve())
    key = json.dumps([path, stamp_of(path), sorted(wanted)]).encode(errors="surrogateescape")
    spool = folder / f"{hashlib.sha256(key).hexdigest()[:32]}.spool"
    contents = spool.with_suffix(".json")
    if not contents.exists():
        # Written last: the copies are complete when their list is there.
        write_text(json.dumps(_spool(source, wanted, spool)), contents)
    return [(md5hash, Location(*fields)) for md5hash, fields in json.loads(contents.read_text(encoding="utf-8"))]


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


def _wanted_hash(member: str, wanted: frozenset[str]) -> str | None:
    match = IMAGE_NAME.fullmatch(PurePosixPath(member.replace("\\", "/")).name)
    return match[1].lower() if match and match[1].lower() in wanted else None


def _escapes(member: str) -> str:
    """Why a member's name is refused: it would leave the folder it is unpacked into. "" when it would not."""
    path = PurePosixPath(member.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", member):
        return "its name in the archive leads out of the folder"
    return ""
