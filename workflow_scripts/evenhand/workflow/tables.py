"""The tables that one stage writes and another reads: text comes back as the text that was written, numbers as numbers.

An empty cell is the only missing one, and whether a column holds text is declared here, never guessed from its cells: a
condition may be called NA, a training set 007. In a column of text a missing value and an empty text are the same, and
read as empty text; in a column of numbers an empty cell is NaN. Tables of other people are read elsewhere; a program
that needs rows of text alone, without pandas, takes `evenhand.workflow.files.read_rows`.
"""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from evenhand.workflow.errors import UserError
from evenhand.workflow.files import atomic_path, write_text

# The columns that hold text, in whatever table; all others hold numbers, or True and False.
TEXT = frozenset(
    {
        # images
        *("id", "patient", "condition", "condition_2", "condition_3", "source", "url", "checksum"),
        *("cluster", "detail", "file", "found_in", "role", "sample_of", "status", "tone_class"),
        *("conflict", "duplicate_of", "variant"),  # of generated photographs
        *("fate", "first", "found_by", "md5hash", "method", "second"),  # of near-duplicates
        # results
        *("adjustment", "claims", "compared", "covers", "design", "group", "groups", "metric", "mix", "model"),
        *("note", "quantity", "score", "statistic", "subset", "target", "train_set", "warnings"),
        *("damage", "luminance", "measure", "treatment"),
        *("extractor", "minus"),  # of generated images
        *("base", "choices", "turned_by"),
        *("asked", "by", "item", "labels", "reasons", "section", "unit", "value"),
        *("claim", "figure", "rule", "sentence", "statement", "study", "table", "test", "verdict"),
        # probes
        *("attribute", "class", "contrast", "dataset", "kind", "other_attribute", "other_group", "other_set"),
        *("probe", "removal"),
        *("cell", "column", "not_scored", "reason", "why"),
        *("Attribute", "Dataset", "Images", "Kept together", "Left out", "Model", "Not scored", "Task", "Training set"),
    }
)
NUMBERS = ("boolean", "integer", "floating", "mixed-integer-float")  # as pandas names what a column holds
# The one name with two meanings, and no word of a user: of labels (text) and of intervals (a number).
LEVEL = "level"


# The columns of numbers in tables of images; all others of these hold text, those of the user as well.
IMAGE_NUMBERS = frozenset({"row", "skin_type", "second_skin_type", "width", "height", "verified"})


def read_image_table(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """As `read_table`, of a table with the user's own columns, which hold text: metadata, availability, images."""
    return _read(path, columns, lambda name: name not in IMAGE_NUMBERS)


def write_image_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table for `read_image_table`."""
    _check_kinds(table, lambda name: name not in IMAGE_NUMBERS)
    write_text(as_csv(table), path)


def read_table(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A CSV table of an earlier stage.

    Args:
        path: of the table.
        columns: to read, in this order; None: all.

    Raises:
        UserError: a column is absent, or a cell of a column of numbers holds something else.
    """
    return _read(path, columns, _holds_text)


def _read(path: str | Path, columns: Sequence[str] | None, holds_text: Callable[[str], bool]) -> pd.DataFrame:
    with open(path, encoding="utf-8", newline="") as file:
        found = next(csv.reader(file), [])
    wanted = _present(path, found, columns)
    numbers = [name for name in wanted if not holds_text(name)]
    table = pd.read_csv(
        path,
        usecols=wanted,
        dtype={name: str for name in wanted if holds_text(name)},
        keep_default_na=False,
        # As a number "nan" has one meaning only; it is how Python writes it.
        na_values={name: ["", "nan"] for name in numbers},
        skip_blank_lines=False,  # a blank may be the only cell of its row
        encoding="utf-8",
    )[wanted]
    for name in numbers:
        if table[name].dtype.kind not in "biuf" and name != LEVEL:
            table[name] = _numbers(table[name], path)
    return table


def write_csv(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table for `read_table`, without its index.

    Raises:
        ValueError: a column in `TEXT` holds something other than text, or another column text; or there is no column,
            not even of a table without rows.
    """
    _check_kinds(table, _holds_text)
    write_text(as_csv(table), path)


def as_csv(table: pd.DataFrame) -> str:
    """A table as CSV without its index: floats with ten significant digits, newlines as LF."""
    text = table.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    if "\r" in text:  # which readers take for the end of a row, unless it is in quotes
        text = table.to_csv(index=False, float_format="%.10g", lineterminator="\n", quoting=csv.QUOTE_ALL)
    return text


def read_parquet(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A Parquet table of an earlier stage: as `read_table`, numbers with all their digits.

    Raises:
        UserError: a column is absent.
    """
    wanted = _present(path, parquet_columns(path), columns)
    return pd.read_parquet(path, columns=wanted)


def parquet_columns(path: str | Path) -> list[str]:
    """The columns of a Parquet table."""
    names: list[str] = pq.read_schema(path).names
    return names


def write_parquet(table: pd.DataFrame, path: str | Path) -> None:
    """Write a per-image table for `read_parquet`, without its index.

    Raises:
        ValueError: as for `write_csv`, or a text is missing.
    """
    _check_kinds(table, _holds_text)
    missing = [name for name in table if _holds_text(str(name)) and table[name].isna().any()]
    if missing:
        raise ValueError(f"expected text in every row of {', '.join(map(str, missing))}; some are missing")
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False)


def _holds_text(name: str) -> bool:
    return name in TEXT or name.endswith("%")  # the shares of the poster's table: "98.1 ± 0.2"


def _present(path: str | Path, found: Sequence[str], columns: Sequence[str] | None) -> list[str]:
    absent = [name for name in columns or () if name not in found]
    if absent:
        raise UserError(
            f"{path}: expected the columns {', '.join(columns or ())}; missing: {', '.join(absent)}; "
            f"found: {', '.join(found)}. The table is from another version of the workflow."
        )
    return list(found if columns is None else columns)


def _numbers(cells: "pd.Series[str]", path: str | Path) -> "pd.Series[float]":
    """A column that pandas did not read as numbers: True and False with empty cells, no row at all, or a mistake."""
    numbers = pd.to_numeric(cells, errors="coerce")
    wrong = cells.index[numbers.isna() & cells.notna()]
    if len(wrong):
        raise UserError(
            f"{path}: column {cells.name}: expected numbers; found {cells[wrong[0]]!r} (row {wrong[0] + 1})."
        )
    return numbers.astype(float)


def _check_kinds(table: pd.DataFrame, holds_text: Callable[[str], bool]) -> None:
    if table.columns.empty:
        raise ValueError("expected columns, also of a table without rows; found none")
    wrong = []
    for name, cells in table.items():
        kind = pd.api.types.infer_dtype(cells, skipna=True)
        right = kind == "string" if holds_text(str(name)) else kind in NUMBERS
        if not right and name != LEVEL and not cells.isna().all():
            wrong.append(f"{name} ({kind})")
    if wrong:
        raise ValueError(f"expected text where TEXT says so, else numbers; found {', '.join(wrong)}")
