"""Lists of values by key in a temporary file: what is said of every image takes no memory, however many there are."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from evenhand.workflow.errors import UserError
from evenhand.workflow.files import read_rows

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


def stored_hashes(metadata: str | Path) -> Stored[tuple[()]]:
    """The md5hashes of a table that `read_metadata` checked, as keys in its order; their values say nothing."""
    return Stored(((row["md5hash"], ()) for row in read_rows(metadata)), lambda: ())
