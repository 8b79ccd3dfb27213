"""Tables that users bring: text, Parquet or a spreadsheet, read as the text that a person sees in them.

Nothing is guessed: the separator is the one that finds the needed columns in the first line, an encoding other than
UTF-8 is said, and what would shift or hide a row is refused with its line.
"""

import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from evenhand.data.spreadsheets import cell_text, read_sheet
from evenhand.data.text_tables import SAVE_AS, check_names, column_names, cut, missing_columns, names_all, read_text
from evenhand.workflow.errors import UserError

# What else is called a table, by its first bytes.
OTHERS = {
    b"PK\x03\x04": "a zip archive that is no .xlsx workbook",
    b"\xd0\xcf\x11\xe0": "a workbook of the old kind (.xls) or one with a password",
    b"BZh": "a file compressed by bzip2",
    b"\xfd7zXZ": "a file compressed by xz",
    b"\x28\xb5\x2f\xfd": "a file compressed by zstd",
    b"%PDF": "a PDF",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
}


@dataclass(frozen=True)
class ForeignTable:
    """Cells as text, blanks at the ends included, "" where there is nothing; and in words how they were read.

    The index is the line of the file (named "line"), or the row of a sheet or of Parquet (named "row"), for messages.
    """

    cells: pd.DataFrame
    found: str


def read_foreign(path: str | Path, needed: Sequence[str]) -> ForeignTable:
    """Read a table that holds the columns `needed`, one at least: they tell the separator and the sheet.

    Text may be separated by comma, semicolon, tab or vertical bar, in UTF-8, UTF-16 or Windows-1252 (Latin-1 with more
    characters), and compressed by gzip. In Parquet and .xlsx whole numbers have no decimals, dates are those of
    ISO 8601, and true values are True and False. Columns without a name are left out, as are empty rows at the end.

    Raises:
        UserError: the file is none of these, a needed column is missing, a name appears twice, a row is empty or not
            as long as the header, quotes do not end; see also `read_sheet`.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: expected a table here; no such file")
    content, packed = path.read_bytes(), ""
    if content.startswith(b"\x1f\x8b"):
        try:
            content, packed = gzip.decompress(content), "gzip, "
        except (OSError, EOFError) as error:
            raise UserError(f"{path}: a gzip file that is damaged or incomplete: {error}") from error
    if not content.strip():
        raise UserError(f"{path}: expected a table; the file is empty")
    if content.startswith(b"PAR1"):
        table = _read_parquet(path, content, needed)
    elif _is_workbook(content):
        table = _checked(path, *read_sheet(path, content, needed), "row")
    else:
        for mark, what in OTHERS.items():
            if content.startswith(mark):
                raise UserError(f"{path}: expected a table, found {what}. {SAVE_AS}")
        table = _checked(path, *read_text(path, content, needed), "line")
    if table.cells.empty:
        raise UserError(f"{path}: the table has a header but no rows ({packed}{table.found})")
    return ForeignTable(table.cells, f"{packed}{table.found}, {len(table.cells):,} rows")


def _read_parquet(path: Path, content: bytes, needed: Sequence[str]) -> ForeignTable:
    try:
        stored = pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: a Parquet file that cannot be read: {error}") from error
    names = column_names(stored.column_names)
    check_names(path, names)
    columns = {}
    for name, column in zip(names, stored.columns, strict=True):
        if pa.types.is_nested(column.type):
            if name in needed:
                raise UserError(f"{path}: column {name} holds {column.type} and no single values")
            continue
        values: list[object] = column.to_pylist()
        if pa.types.is_float32(column.type):
            # The shortest number that is this one in single precision: 0.1, not 0.10000000149011612.
            values = [None if value is None else float(str(value)) for value in column.to_numpy()]
        columns[name] = [cell_text(value) for value in values]
    if not names_all(list(columns), needed):
        raise missing_columns(path, needed, names, "Parquet")
    index = pd.RangeIndex(1, stored.num_rows + 1, name="row")
    return ForeignTable(pd.DataFrame(columns, index=index, dtype="str"), "Parquet")


def _checked(
    path: Path, names: list[str], rows: list[list[str]], places: list[int], found: str, unit: str
) -> ForeignTable:
    """The table, once every row is as long as the header and none between others is empty."""
    check_names(path, names)
    while rows and not any(cell.strip() for cell in rows[-1]):
        rows.pop()
    places = places[: len(rows)]
    for place, row in zip(places, rows, strict=True):
        if not any(cell.strip() for cell in row):
            raise UserError(f"{path}: {unit} {place} is empty and others follow ({found})")
        if len(row) != len(names):
            raise UserError(
                f"{path}: {unit} {place} has {len(row)} cells and the header {len(names)} ({found}): {cut(str(row))}"
            )
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names) if name}
    return ForeignTable(pd.DataFrame(columns, index=pd.Index(places, name=unit, dtype="int64"), dtype="str"), found)


def _is_workbook(content: bytes) -> bool:
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except (BadZipFile, ValueError):
        return False
