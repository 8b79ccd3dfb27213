"""Where the images may lie: a list of folders and archives of image files, tried in order."""

import hashlib
import json
import re
import tarfile
import warnings
import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from evenhand.data.image_names import Names, Stored, image_files, image_in
from evenhand.data.locations import MAX_BYTES, READ_ERRORS, ImageSource, Location, open_zip, stamp_of
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import atomic_path

MAX_UNPACKED = 500 * 1024**3  # of a compressed tar, wanted or not: beyond that it is taken for a bomb
MAX_HEADER = 1024**2  # of what a tar says of a member beside its first 512 bytes, such as a long name
HEADERS = (*(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK), *(tarfile.XHDTYPE, tarfile.XGLTYPE, b"X"))


class BoundedTarInfo(tarfile.TarInfo):
    """Header of a member. The library reads what it is continued by whole, be it 10 GB; here that is damage."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in HEADERS and self.size > MAX_HEADER:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]


def in_zip(source: ImageSource, wanted: Names) -> Iterator[tuple[str, Location]]:
    """The wanted members of a zip, each with its id."""
    path = str(source.path)
    stamp = stamp_of(path)
    try:
        members = open_zip(path, stamp).infolist()
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: the zip archive cannot be read ({error}). Is the copy complete?") from error
    for member in members:
        image_id = image_in(member.filename, wanted)
        if image_id is not None:
            yield (
                image_id,
                Location(
                    source.rank,
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


def is_tar(path: Path) -> bool:
    """Whether the file begins like a tar, compressed or not."""
    try:
        tarfile.open(path, tarinfo=BoundedTarInfo).close()
    except tarfile.TarError:
        return False
    return True


def in_tar(source: ImageSource, wanted: Names, spool_folder: Path) -> Iterator[tuple[str, Location]]:
    """The wanted members of a tar, each with its id; of one that breaks off, those before the break."""
    with open(source.path, "rb") as file:
        plain = _is_plain_tar(file.read(tarfile.BLOCKSIZE))
    if plain:
        with tarfile.open(source.path, "r:", tarinfo=BoundedTarInfo) as archive:
            for member in _members(archive, source.path):
                image_id = image_in(member.name, wanted)
                if image_id is not None:
                    yield image_id, _tar_location(member, source, source.path, member.offset_data)
    else:
        for image_id, place in _spooled(source, wanted, spool_folder):
            yield image_id, place._replace(rank=source.rank, source=source.name, verify=source.verify)


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
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep all it has seen
        yield member


def _is_plain_tar(header: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _tar_location(member: tarfile.TarInfo, source: ImageSource, path: Path, offset: int) -> Location:
    """The member's place; `path` and `offset` say where its bytes are, `source.path` which archive it is from."""
    refused = _escapes(member.name)
    if not refused and (not member.isreg() or member.issparse()):
        refused = "it is a link, device or sparse file in the archive"
    modified = stamp_of(source.path)[1]
    return Location(
        source.rank, str(path), member.name, offset, member.size, modified, source.name, source.verify, refused
    )


def _spooled(source: ImageSource, wanted: Names, folder: Path) -> Iterator[tuple[str, Location]]:
    """The wanted members of a compressed tar, from copies of their bytes; made now, or by an earlier stage or run."""
    path = str(source.path.resolve())
    key = hashlib.sha256(json.dumps([path, stamp_of(path)]).encode())
    for names in wanted.values():
        key.update(json.dumps(names).encode())
    spool = folder / f"{key.hexdigest()[:32]}.spool"
    contents = spool.with_suffix(".jsonl")
    if not contents.exists():
        # Gets its name last: the copies are complete when their list is there.
        with atomic_path(contents) as temporary, open(temporary, "w") as lines:
            lines.writelines(f"{json.dumps(pair)}\n" for pair in _spool(source, wanted, spool))
    with open(contents) as lines:
        for line in lines:
            image_id, fields = json.loads(line)
            yield image_id, Location(*fields)


def _spool(source: ImageSource, wanted: Names, spool: Path) -> Iterator[tuple[str, Location]]:
    """Copy the wanted members of a compressed tar behind one another into one file, reading the archive once."""
    offset = 0
    with (
        atomic_path(spool) as temporary,
        open(temporary, "wb") as out,
        tarfile.open(source.path, "r|*", tarinfo=BoundedTarInfo) as archive,
    ):
        for member in _members(archive, source.path):
            if member.offset_data + member.size > MAX_UNPACKED:
                raise UserError(f"{source.path}: unpacks to more than {MAX_UNPACKED} bytes; refused as a bomb.")
            image_id = image_in(member.name, wanted)
            if image_id is None:
                continue
            location = _tar_location(member, source, spool, offset)
            if not location.refused and member.size <= MAX_BYTES:
                try:
                    content = archive.extractfile(member)
                    offset += out.write(content.read()) if content else 0
                except (tarfile.TarError, *READ_ERRORS) as error:
                    location = location._replace(refused=f"the archive breaks off or is damaged here ({error})")
            yield image_id, location


def _escapes(member: str) -> str:
    """Why a member's name is refused: it would leave the folder it is unpacked into. "" when it would not."""
    path = PurePosixPath(member.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", member):
        return "its name in the archive leads out of the folder"
    return ""


def sources_from(entries: Sequence[dict[str, Any]], downloads: Path) -> list[ImageSource]:
    """The sources that the list `data.sources` of a configuration describes; `downloads` stands for its URLs."""
    sources = []
    for entry in entries:
        if "urls" in entry:
            sources.append(ImageSource(downloads, "urls", may_be_empty=True))
        else:
            path = entry.get("folder") or entry["archive"]
            sources.append(ImageSource(Path(path), path, entry.get("verify", True)))
    return sources


def locate_images(sources: Collection[ImageSource], wanted: Names, spool_folder: str | Path) -> Stored[Location]:
    """Where each wanted image may be found, the most preferred place first.

    Memory does not grow with the number of images, but for 0.7 KB for each member of a zip, whose directory is read
    whole.

    Args:
        sources: in order of preference.
        wanted: what the files of the images are called; each file found is looked up in it.
        spool_folder: takes copies of the members of compressed tars, which cannot be read at random; those that
            are there already are used.

    Returns:
        id -> locations, in order of source and, within one, of name; images found nowhere are absent.

    Raises:
        UserError: a source does not exist, cannot be read, or holds none of the wanted images.
    """

    def found() -> Iterator[tuple[str, Location]]:
        for rank, source in enumerate(sources):
            places = _locations(replace(source, rank=rank), wanted, Path(spool_folder))
            first = next(places, None)
            if first:
                yield first
                yield from places
            elif not source.may_be_empty:
                raise UserError(
                    f"{source.path}: none of its files belongs to a row of the table.{_examples(source.path)} The "
                    f"table asks for {', '.join(names[0].path for names in islice(wanted.values(), 3))} ... Files are "
                    "called like the ids, with any ending, or as in the column that data.columns.file names."
                )

    return Stored(found(), Location)


def _locations(source: ImageSource, wanted: Names, spool_folder: Path) -> Iterator[tuple[str, Location]]:
    if source.path.is_dir():
        return _in_folder(source, wanted)
    if source.may_be_empty and not source.path.exists():
        return iter(())
    if not source.path.is_file():
        raise UserError(f"{source.path}: expected a folder or archive of images; nothing is there.")
    if zipfile.is_zipfile(source.path):
        return in_zip(source, wanted)
    if is_tar(source.path):
        return in_tar(source, wanted, spool_folder)
    raise UserError(
        f"{source.path}: expected a folder, or a zip or tar archive; found another kind of file, or an archive that is "
        "not complete."
    )


def _in_folder(source: ImageSource, wanted: Names) -> Iterator[tuple[str, Location]]:
    for path in image_files(source.path):
        image_id = image_in(path, wanted)
        if image_id is not None:
            try:
                (size, modified), refused = stamp_of(path), ""
            except OSError as error:  # such as a link to nowhere
                size, modified, refused = 0, 0, f"{type(error).__name__}: {error.strerror}"
            yield image_id, Location(source.rank, path, "", -1, size, modified, source.name, source.verify, refused)


def _examples(path: Path) -> str:
    """What the images in a folder are called, as a sentence; of an archive, none."""
    if not path.is_dir():
        return ""
    names = sorted(Path(name).name for name in islice(image_files(path), 3))
    return f" It holds {', '.join(names)} ..." if names else " No file in it has the ending of an image."
