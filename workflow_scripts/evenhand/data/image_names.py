"""Which image of the table a file holds: by the file name that the table gives, else by the image's id."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from evenhand.data.folders import has_image_ending, stem_of
from evenhand.data.stored import Stored
from evenhand.workflow.files import read_rows


class Name(NamedTuple):
    """What the file of an image is called: a file name, or the end of a path; its ending may be left out."""

    md5hash: str
    path: str


Names = Mapping[str, Sequence[Name]]  # by the last part of `path`, in lower case


def stored_names(metadata: str | Path) -> Stored[Name]:
    """The names of the files of a table that `read_metadata` checked: its column `file`, else the ids."""
    return Stored(_by_last_part((row["md5hash"], row.get("file", row["md5hash"])) for row in read_rows(metadata)), Name)


def names_of_ids(ids: Iterable[str]) -> dict[str, list[Name]]:
    """As `stored_names`, in memory, of files that are called like their image."""
    return {key: [name] for key, name in _by_last_part((md5hash, md5hash) for md5hash in ids)}


def image_in(path: str, names: Names) -> str | None:
    """The id of the image in the file at `path`, None for a file that no row of the table names.

    Letters may be large or small. A name with an ending stands for that file alone, one without for a file with any
    ending of an image; of a name with folders, those that the path has, too, have to be the same.
    """
    folders, name = _parts(path)
    if not has_image_ending(name):
        return None
    for key in (name, stem_of(name)):
        fitting = [entry for entry in names.get(key, ()) if _agree(folders, _parts(entry.path)[0])]
        if fitting:
            return max(fitting, key=lambda entry: (len(entry.path), entry.md5hash)).md5hash
    return None


def _by_last_part(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Name]]:
    for md5hash, path in pairs:
        yield _parts(path)[1], Name(md5hash, path)


def _parts(path: str) -> tuple[list[str], str]:
    *folders, name = path.replace("\\", "/").casefold().split("/")
    return folders, name


def _agree(folders: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether two paths of folders end alike, as far as both go."""
    both = min(len(folders), len(wanted))
    return not both or list(folders[-both:]) == list(wanted[-both:])
