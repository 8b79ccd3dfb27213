"""Where the images may lie: a list of folders and archives of image files, tried in order."""

import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from evenhand.data.archives import in_tar, in_zip, is_tar
from evenhand.data.folders import image_files
from evenhand.data.image_names import Names, image_in
from evenhand.data.locations import Location, Source, stamp_of
from evenhand.data.stored import Stored
from evenhand.workflow.errors import UserError


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


def locate_images(sources: Collection[Source], wanted: Names, spool_folder: str | Path) -> Stored[Location]:
    """Where each wanted image may be found, the most preferred place first.

    Memory does not grow with the number of images, but for 0.7 KB for each member of a zip, whose directory is read
    whole.

    Args:
        sources: in order of preference.
        wanted: what the files of the images are called; each file found is looked up in it.
        spool_folder: takes copies of the members of compressed tars, which cannot be read at random; those that
            are there already are used.

    Returns:
        md5hash -> locations, in order of source and, within one, of name; images found nowhere are absent.

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


def _locations(source: Source, wanted: Names, spool_folder: Path) -> Iterator[tuple[str, Location]]:
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


def _in_folder(source: Source, wanted: Names) -> Iterator[tuple[str, Location]]:
    for path in image_files(source.path):
        md5hash = image_in(path, wanted)
        if md5hash is not None:
            try:
                (size, modified), refused = stamp_of(path), ""
            except OSError as error:  # such as a link to nowhere
                size, modified, refused = 0, 0, f"{type(error).__name__}: {error.strerror}"
            yield md5hash, Location(source.rank, path, "", -1, size, modified, source.name, source.verify, refused)


def _examples(path: Path) -> str:
    """What the images in a folder are called, as a sentence; of an archive, none."""
    if not path.is_dir():
        return ""
    names = sorted(Path(name).name for name in islice(image_files(path), 3))
    return f" It holds {', '.join(names)} ..." if names else " No file in it has the ending of an image."
