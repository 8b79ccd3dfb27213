"""Tables that users bring: text, Parquet or a spreadsheet, read as the text that a person sees in them.

Nothing is guessed: the separator is the one that finds the needed columns in the first line, an encoding other than
UTF-8 is said, and what would shift or hide a row is refused with its line.
"""

import gzip
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from evenhand.data.text_tables import (
    SAVE_AS,
    below_a_title,
    check_names,
    column_names,
    cut,
    missing_columns,
    names_all,
    read_text,
)
from evenhand.workflow.errors import UserError

EXACT_DIGITS = 15  # of a number in a spreadsheet; a longer one has lost its last digits


def read_sheet(path: Path, content: bytes, needed: Sequence[str]) -> tuple[list[str], list[list[str]], list[int], str]:
    """Names of the columns, rows below them, the number of each row, and in words how they were read.

    The sheet is the one whose first row names the columns `needed`. Formulas are read by their stored results.

    Raises:
        UserError: the workbook cannot be read, no sheet or more than one fits, or the sheet has merged cells, a formula
            without a stored result, or a number of more digits than a spreadsheet keeps.
    """
    import openpyxl  # noqa: PLC0415 (most tables are none, and a machine with a GPU may not have it)

    try:
        values, formulas = (openpyxl.load_workbook(io.BytesIO(content), data_only=results) for results in (True, False))
    except (BadZipFile, KeyError, ValueError, TypeError, AttributeError, OSError, SyntaxError) as error:
        raise UserError(f"{path}: a workbook that cannot be read: {type(error).__name__}: {error}") from error
    headers = {sheet.title: [cell_text(cell.value) for cell in sheet[1]] for sheet in values.worksheets}
    fitting = [name for name, header in headers.items() if names_all(header, needed)]
    if len(fitting) > 1:
        raise UserError(f"{path}: several sheets have the needed columns: {', '.join(fitting)}; keep one in the file")
    if not fitting:
        for sheet in values.worksheets:
            rows = ([cell_text(cell) for cell in row] for row in sheet.iter_rows(values_only=True))
            titled = below_a_title(path, needed, enumerate(rows, start=1), "row")
            if titled:
                raise titled
        best = max(headers, key=lambda name: len({*needed} & {*column_names(headers[name])}))
        where = f"workbook, first row of sheet {best!r}, one of {len(headers)}"
        raise missing_columns(path, needed, column_names(headers[best]), where)
    (name,) = fitting
    found = f"workbook, sheet {name!r}"
    if len(headers) > 1:
        found += f" (the columns are not on {', '.join(sorted({*headers} - {name}))})"
    read = _rows(f"{path}: sheet {name!r}", values[name], formulas[name])
    return column_names(headers[name]), read[1:], list(range(2, len(read) + 1)), found


def cell_text(value: object) -> str:
    """A typed cell as text: 3.0 is "3", null and NaN are "", dates are those of ISO 8601, truth is True or False."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, Decimal):
        return f"{value:.0f}" if value == value.to_integral_value() else f"{value.normalize():f}"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _rows(where: str, values: Any, formulas: Any) -> list[list[str]]:  # noqa: ANN401 (openpyxl has no types)
    """All rows of a sheet, the header included, as long as the longest."""
    for merged in values.merged_cells.ranges:
        raise UserError(f"{where}: {merged} is one merged cell; a table has a cell in every row and column")
    rows = []
    for shown, written in zip(values.iter_rows(), formulas.iter_rows(), strict=True):
        for cell, source in zip(shown, written, strict=True):
            if source.data_type == "f" and cell.value is None:
                raise UserError(
                    f"{where}: {cell.coordinate} holds the formula {str(source.value)[:80]!r} without its result. "
                    "A spreadsheet program stores the results when it saves the file"
                )
        rows.append([_seen(where, cell) for cell in shown])
    return rows


def _seen(where: str, cell: Any) -> str:  # noqa: ANN401
    seen = cell_text(cell.value)
    if isinstance(cell.value, int | float) and not isinstance(cell.value, bool):
        if "." not in seen and len(seen.lstrip("-")) > EXACT_DIGITS:
            raise UserError(
                f"{where}: {cell.coordinate} holds the number {seen}; of more than {EXACT_DIGITS} digits a spreadsheet "
                "loses the last ones. Store such names as text"
            )
        if set(cell.number_format) == {"0"}:  # 0007 is shown where 7 is stored
            return seen.zfill(len(cell.number_format))
    return seen


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
