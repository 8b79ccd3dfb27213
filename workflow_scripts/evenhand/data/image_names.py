"""Which image of the table a file holds: by the file name that the table gives, else by the image's id.

Standard library only: the rule files import it.
"""

import json
import os
import re
import sqlite3
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from evenhand.data.cells import MD5
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import read_rows

# Endings of the formats that `evenhand.data.decoding` reads; what is in a file decides, not its ending.
ENDING = re.compile(r"\.(?:jpe?g|jpe|jfif|png|webp|gif|bmp|tiff?)", re.IGNORECASE)


def has_image_ending(name: str) -> bool:
    """Whether a file is called like an image."""
    return not name.startswith(".") and stem_of(name) != name


def stem_of(name: str) -> str:
    """The name without the ending of an image."""
    stem, dot, ending = name.rpartition(".")
    return stem if stem and ENDING.fullmatch(dot + ending) else name


def image_files(folder: str | Path) -> Iterator[str]:
    """Every file under `folder` that is called like an image; links to folders are followed.

    Each folder is entered once: no link leads round in a circle, and no image is met twice. An image that lies under
    `folder` has its own name, one behind links the name by the first of them. An absent folder has no images; one that
    may not be read and a link to nothing or to a folder above have none either, and a warning says so.
    """
    above = {_identity(parent) for parent in Path(os.path.realpath(folder)).parents}
    entered = set[tuple[int, int]]()
    folders, links = [str(folder)], set[str]()
    while folders or links:
        if not folders:  # links last and by name, whatever the order on the disk
            folders.append(min(links))
            links.remove(folders[0])
        path = folders.pop()
        identity = _identity(path)
        if identity is None or identity in entered:
            continue
        if identity in above:
            _warn(f"{path} leads back to a folder that holds {folder} and is not followed")
            continue
        entered.add(identity)
        try:
            found = os.scandir(path)
        except OSError as error:
            _warn(str(error))
            continue
        with found as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_symlink() and os.path.isdir(entry.path):  # entry.is_dir fails at a link to itself
                    links.add(entry.path)
                elif has_image_ending(entry.name):
                    yield entry.path
                elif entry.is_symlink() and not os.path.exists(entry.path):
                    _warn(f"{entry.path} is a link to nothing that can be read")


def _identity(path: str | Path) -> tuple[int, int] | None:
    """Device and number of a folder, the same by whatever name it is reached; None where there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        _warn(str(error))
        return None
    return status.st_dev, status.st_ino


def _warn(what: str) -> None:
    warnings.warn(f"{what}: the images behind it, if any, count as missing", stacklevel=3)


T = TypeVar("T", bound=tuple[Any, ...])


class Stored(Mapping[str, list[T]]):
    """The values of each key, sorted; keys in the order in which they came first.

    They lie in a database of SQLite without a name, which the system deletes with the process. Only the thread that
    made it can read it.
    """

    def __init__(self, pairs: Iterable[tuple[str, T]], kind: Callable[..., T]) -> None:
        """Write all pairs of key and value; `kind` makes a value of its fields, which JSON can hold.

        Raises:
            UserError: the disk for temporary files is full or cannot be written.
        """
        self._kind = kind
        self._database = sqlite3.connect("", isolation_level=None)
        rows = ((key, json.dumps(value)) for key, value in pairs)
        try:
            for command in ("PRAGMA journal_mode = OFF", "CREATE TABLE entries (key TEXT, value TEXT)", "BEGIN"):
                self._database.execute(command)
            self._database.executemany("INSERT INTO entries VALUES (?, ?)", rows)
            self._database.execute("COMMIT")
            self._database.execute("CREATE INDEX by_key ON entries (key)")
        except sqlite3.OperationalError as error:
            raise UserError(
                f"a list of the images could not be written among the temporary files ({error}). Free some space "
                "there, or set TMPDIR to a folder on a larger disk."
            ) from error

    def __getitem__(self, key: str) -> list[T]:
        rows = self._database.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchall()
        if not rows:
            raise KeyError(key)
        return sorted(self._kind(*json.loads(value)) for (value,) in rows)

    def __iter__(self) -> Iterator[str]:
        for (key,) in self._database.execute("SELECT key FROM entries GROUP BY key ORDER BY min(rowid)"):
            yield key

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(DISTINCT key) FROM entries").fetchone()[0])


def checksum_of(row: Mapping[str, str]) -> str:
    """What the bytes of an image are compared with: the checksum in its row of the table, else an id that is an MD5."""
    return row["checksum"] or (row["id"] if re.fullmatch(MD5, row["id"]) else "")


def stored_checksums(metadata: str | Path) -> Stored[tuple[str]]:
    """For each id of a checked table, in its order, `checksum_of` its row."""
    return Stored(((row["id"], (checksum_of(row),)) for row in read_rows(metadata)), lambda checksum: (checksum,))


class Name(NamedTuple):
    """What the file of an image is called: a file name, or the end of a path; its ending may be left out."""

    id: str
    path: str


Names = Mapping[str, Sequence[Name]]  # by the last part of `path`, in lower case


def stored_names(metadata: str | Path) -> Stored[Name]:
    """The names of the files of a checked table: its column `file`, else the ids."""
    return Stored(_by_last_part((row["id"], row.get("file", row["id"])) for row in read_rows(metadata)), Name)


def names_of_ids(ids: Iterable[str]) -> dict[str, list[Name]]:
    """As `stored_names`, in memory, of files that are called like their image."""
    return {key: [name] for key, name in _by_last_part((image_id, image_id) for image_id in ids)}


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
            return max(fitting, key=lambda entry: (len(entry.path), entry.id)).id
    return None


def _by_last_part(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Name]]:
    for image_id, path in pairs:
        yield _parts(path)[1], Name(image_id, path)


def _parts(path: str) -> tuple[list[str], str]:
    *folders, name = path.replace("\\", "/").casefold().split("/")
    return folders, name


def _agree(folders: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether two paths of folders end alike, as far as both go."""
    both = min(len(folders), len(wanted))
    return not both or list(folders[-both:]) == list(wanted[-both:])
