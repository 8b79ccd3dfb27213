"""A sheet of an .xlsx workbook as rows of text."""

import io
import math
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import openpyxl

from evenhand.data.text_tables import below_a_title, column_names, missing_columns, names_all
from evenhand.workflow.errors import UserError

EXACT_DIGITS = 15  # of a number in a spreadsheet; a longer one has lost its last digits


def read_sheet(path: Path, content: bytes, needed: Sequence[str]) -> tuple[list[str], list[list[str]], list[int], str]:
    """Names of the columns, rows below them, the number of each row, and in words how they were read.

    The sheet is the one whose first row names the columns `needed`. Formulas are read by their stored results.

    Raises:
        UserError: the workbook cannot be read, no sheet or more than one fits, or the sheet has merged cells, a formula
            without a stored result, or a number of more digits than a spreadsheet keeps.
    """
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
