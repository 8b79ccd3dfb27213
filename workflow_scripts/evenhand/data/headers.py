"""The first line of a table that somebody else made: which columns it names, and what is wrong with it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from evenhand.workflow.errors import UserError

TITLE_LINES = 20  # lines in which a header is looked for, to say where it is
MOST_NAMES = 40  # columns that a message lists


class MissingColumnsError(UserError):
    """A needed column is not in the table."""


def column_names(record: Sequence[str]) -> list[str]:
    """Names without the blanks around them."""
    return [name.strip() for name in record]


def names_all(record: Sequence[str], needed: Sequence[str]) -> bool:
    """Whether a row names all needed columns."""
    return {*needed} <= {*column_names(record)}


def check_names(path: Path, names: Sequence[str]) -> None:
    """Raise a `UserError` if a name appears twice."""
    twice = sorted({name for name in names if name and list(names).count(name) > 1})
    if twice:
        raise UserError(f"{path}: expected every column once; found twice: {', '.join(twice)}")


def missing_columns(path: Path, needed: Sequence[str], names: Sequence[str], where: str) -> MissingColumnsError:
    """The error of a table without all needed columns."""
    absent = [column for column in needed if column not in names]
    shown = ", ".join(map(repr, names[:MOST_NAMES]))
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return MissingColumnsError(
        f"{path}: expected the columns {', '.join(needed)}; missing: {', '.join(absent)}; "
        f"found ({where}): {shown[:2000] or 'nothing'}{more}"
    )


def below_a_title(
    path: Path, needed: Sequence[str], rows: Iterable[tuple[int, Sequence[str]]], unit: str
) -> UserError | None:
    """The error of a table whose header is not its first line but one of those in `rows` (number, cells)."""
    for (number, row), _ in zip(rows, range(TITLE_LINES), strict=False):
        if names_all(row, needed):
            return UserError(
                f"{path}: expected the columns {', '.join(needed)} in the first {unit}; they are in {unit} {number}. "
                "The header has to be the first"
            )
    return None


def cut(text: str) -> str:
    """The first line of a text, quoted, and no more than a message bears."""
    line = (text.lstrip("\ufeff").splitlines() or [""])[0]
    return repr(line if len(line) <= 120 else line[:117] + "...")
