"""Tables as text: their encoding, their separator, their rows, and the first line that names their columns."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from evenhand.workflow.errors import UserError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
SAVE_AS = "Save it as CSV in UTF-8, as Parquet or as .xlsx"
# Byte order marks; that of UTF-32 begins with that of UTF-16.
MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


def read_text(path: Path, content: bytes, needed: Sequence[str]) -> tuple[list[str], list[list[str]], list[int], str]:
    """Names of the columns, rows below them, the first line of each row, and in words how they were read.

    Raises:
        UserError: the encoding is none of UTF-8, UTF-16, UTF-32 and Windows-1252, no separator or more than one finds
            the columns `needed` in the first line, or quotes do not end.
    """
    text, encoding = decode(path, content)
    headers = {separator: _header(text, separator) for separator in SEPARATORS}
    # A first line without any separator is the same with each of them.
    fitting = {tuple(names): separator for separator, names in reversed(headers.items()) if names_all(names, needed)}
    if len(fitting) > 1:
        both = " and ".join(SEPARATORS[separator] for separator in fitting.values())
        raise UserError(f"{path}: the first line has the needed columns with {both} as separator: {cut(text)}")
    if not fitting:
        raise _not_found(path, text, headers, needed)
    ((names, separator),) = fitting.items()
    rows, lines = [], []
    try:
        for line, row in _rows(text, separator):
            rows.append(row)
            lines.append(line)
    except csv.Error as error:
        raise UserError(
            f"{path}: a quote that does not begin or end a cell, in the row after that of line {lines[-1]} ({error})"
        ) from error
    found = f"text separated by {SEPARATORS[separator]}, {encoding}"
    broken = sum(any("\n" in cell or "\r" in cell for cell in row) for row in rows)
    if broken:
        found += f", {broken} rows with a line break within a cell"
    return list(names), rows[1:], lines[1:], found


def decode(path: Path, content: bytes) -> tuple[str, str]:
    """The text of a file, and its encoding in words."""
    marked = next((encoding for mark, encoding in MARKS.items() if content.startswith(mark)), None)
    second = content[1:200:2]
    if marked is None and second.count(0) > len(second) / 2:
        marked = "utf-16-le"  # as some programs write it, without a mark
    try:
        text = content.decode(marked or "utf-8")
        encoding = "UTF-8" if marked in (None, "utf-8-sig") else str(marked).upper()
    except UnicodeDecodeError as error:
        at = 1 + content[: error.start].count(b"\n")
        if marked:
            raise UserError(f"{path}: begins as {marked.upper()} and is not in line {at}. {SAVE_AS}") from error
        text = _decode_older(path, content, at, content[error.start])
        word = re.search(r"\w*[^\x00-\x7f]\w*", text)
        encoding = f"Windows-1252 as it is not UTF-8; the first such word is {word[0] if word else ''!r} in line {at}"
    if "\0" in text:
        at = 1 + text[: text.index("\0")].count("\n")
        raise UserError(f"{path}: expected a table; it holds a zero byte in line {at} and is no text. {SAVE_AS}")
    return text, encoding


def _decode_older(path: Path, content: bytes, at: int, byte: int) -> str:
    # Two bytes that are one character of UTF-8 hardly ever follow each other in Windows-1252.
    utf8 = re.search(rb"[\xc2-\xdf][\x80-\xbf]", content)
    try:
        if utf8 is None:
            return content.decode("cp1252")
    except UnicodeDecodeError:
        pass
    elsewhere = f", and line {1 + content[: utf8.start()].count(10)} is in UTF-8" if utf8 else ""
    raise UserError(
        f"{path}: expected UTF-8 or Windows-1252; found 0x{byte:02x}, which is not UTF-8, in line {at}{elsewhere}. "
        f"{SAVE_AS}"
    )


def _rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The rows, each with its first line."""
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    begin = 1
    for row in reader:
        yield begin, row
        begin = reader.line_num + 1


def _first_rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """As `_rows`, up to the first that cannot be read."""
    try:
        yield from _rows(text, separator)
    except csv.Error:
        return


def _header(text: str, separator: str) -> list[str]:
    return [name for _, row in islice(_first_rows(text, separator), 1) for name in column_names(row)]


def _not_found(path: Path, text: str, headers: dict[str, list[str]], needed: Sequence[str]) -> UserError:
    for separator in SEPARATORS:
        error = below_a_title(path, needed, _first_rows(text, separator), "line")
        if error:
            return error
    best = max(headers, key=lambda separator: (len({*needed} & {*headers[separator]}), len(headers[separator])))
    how = SEPARATORS[best] if len(headers[best]) > 1 else "no comma, semicolon, tab or vertical bar"
    return missing_columns(path, needed, headers[best], f"first line, separated by {how}")


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
