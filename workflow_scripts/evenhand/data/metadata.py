"""The annotation table: whatever its columns and codes are called, checked, one row per image."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from evenhand.data.foreign_tables import read_foreign
from evenhand.data.headers import MissingColumnsError
from evenhand.splits.groups import Group, columns_of, group_of
from evenhand.workflow.errors import UserError

SKIN_TYPE_COLUMNS = ["fitzpatrick_scale", "fitzpatrick_centaur"]
LABELS = ["label", "nine_partition_label", "three_partition_label"]  # conditions, from fine to coarse
COLUMNS = ["md5hash", *SKIN_TYPE_COLUMNS, *LABELS, "qc", "url", "atlas"]
# What an image's row in a later table says about it.
ROW_COLUMNS = [column for column in COLUMNS if column not in ("qc", "url")]
# Characters that no name or address holds: control characters, also those that a wrong encoding leaves.
CONTROL = r"[\x00-\x1f\x7f-\x9f\ufffe\uffff]"
MD5 = "[0-9a-f]{32}"
# An id may become a file name.
SAFE_ID = r"(?!\.)[^/\\\x00-\x1f\x7f]{1,100}"
MISSING_TYPE = -1  # the published table's code for "no skin type given"
UNKNOWN_SOURCE = "unknown"
ATLASES = {"dermaamin.com": "dermaamin", "atlasdermatologico.com.br": "atlasdermatologico"}


@dataclass(frozen=True)
class TableFormat:
    """What a table calls its columns, and how it codes skin types.

    `columns` are the names of data.columns; those that it leaves out are called as in Fitzpatrick17k, where the table
    has them. `codes` maps cells to types from 1 to 6; empty: the cells are these numbers, and -1 is missing.
    `missing` are cells that mean missing, beside empty ones.
    """

    columns: Mapping[str, Any] = field(default_factory=dict)
    codes: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def name(self, key: str) -> str:
        """The table's name for one of the columns in `_FITZPATRICK17K`."""
        return str(self.columns.get(key, _FITZPATRICK17K[key]))

    @property
    def conditions(self) -> list[str]:
        """The table's names for its levels of conditions, from fine to coarse."""
        return list(self.columns.get("conditions", LABELS))

    @property
    def needed(self) -> list[str]:
        """The columns that must be there: those that every study needs and those that were named."""
        named = [key for key in _FITZPATRICK17K if key in ("id", "skin_type") or key in self.columns]
        return list(dict.fromkeys([*(self.name(key) for key in named), *self.conditions]))


_FITZPATRICK17K = {
    "id": "md5hash",
    "skin_type": "fitzpatrick_scale",
    "second_skin_type": "fitzpatrick_centaur",
    "url": "url",
    "file": "",
    "source": "",
}


def table_format(columns: Mapping[str, Any], skin_types: Mapping[str, Any]) -> TableFormat:
    """The format that the blocks data.columns and data.skin_types of a configuration describe."""
    codes = {_plain(cell): kind for cell, kind in skin_types.items() if cell != "missing"}
    return TableFormat(columns, codes, tuple(_plain(cell) for cell in skin_types.get("missing", ())))


def read_metadata(path: str | Path, form: TableFormat | None = None) -> pd.DataFrame:
    """Read and check an annotation table.

    Columns that are absent and were not named are filled: the second skin type with -1, `qc` and `url` with empty
    text; of one or two levels of conditions the coarser ones stay empty. Other columns are left out.

    Returns:
        One row per image in the order of the file, columns as in `COLUMNS`, and `file` if the format names it; skin
        types are integers, -1 (missing) or 1 to 6; `atlas` is the source that the format names or comes from the host
        of the URL, `unknown` without either.

    Raises:
        UserError: see `read_foreign`; or a value is not what it should be; names the column and line.
    """
    form = form or TableFormat()
    try:
        brought = read_foreign(path, form.needed)
    except MissingColumnsError as error:
        raise UserError(
            f"{error}. data.columns says what a table calls its columns, such as {{id: DDI_ID}}."
        ) from error
    print(f"{path}: {brought.found}")
    raw = brought.cells
    table = pd.DataFrame({"md5hash": _ids(raw[form.name("id")], path)})
    for column, key in zip(SKIN_TYPE_COLUMNS, ("skin_type", "second_skin_type"), strict=True):
        there = form.name(key) in raw.columns
        table[column] = _skin_types(raw[form.name(key)], form, path) if there else MISSING_TYPE
    table[LABELS] = ""
    for column, name in zip(LABELS, form.conditions, strict=False):
        table[column] = _labels(raw[name], path)
    for column, name in (("qc", "qc"), ("url", form.name("url"))):
        # A line break in a cell would be one in the tables written from this one.
        table[column] = raw[name].str.replace(CONTROL, " ", regex=True).str.strip() if name in raw.columns else ""
    if "source" in form.columns:
        table["atlas"] = _sources(raw[form.name("source")], path)
    else:
        table["atlas"] = table["url"].map(atlas_of)
    if "file" not in form.columns:
        return table[COLUMNS].reset_index(drop=True)
    table["file"] = _files(raw[form.name("file")], path)
    return table[[*COLUMNS, "file"]].reset_index(drop=True)


def is_given(cells: "pd.Series[str]") -> "pd.Series[bool]":
    """Which cells are not empty, however an empty one was read."""
    return cells.notna() & cells.ne("")


def given_levels(table: pd.DataFrame) -> list[str]:
    """The levels of conditions that the data have, from fine to coarse: the columns of `LABELS` that are not empty."""
    return [column for column in LABELS if column in table and is_given(table[column]).any()]


def several_sources(source: "pd.Series[str]") -> bool:
    """Whether images can be compared by their source, the column `atlas`: there are two at least."""
    return source.nunique() > 1


def not_md5(ids: "pd.Series[str]") -> "pd.Series[str]":
    """The ids that cannot be the MD5 of a file."""
    return ids[~ids.str.fullmatch(MD5)]


def alike(labels: pd.Series) -> list[list[str]]:
    """Names that differ in case or in the blanks between words alone, sorted."""
    names = pd.Series(sorted(labels.unique()), dtype=str)
    folded = names.map(lambda name: " ".join(name.casefold().split()))
    return [same.tolist() for _, same in names.groupby(folded) if len(same) > 1]


def assign_group(table: pd.DataFrame, groups: Sequence[Group]) -> pd.Series:
    """The name of the group of each row, "" for those in none (they are left out); see `group_of`."""
    columns = columns_of(groups)
    cells = list(zip(*(table[column].map(str) for column in columns), strict=True))
    # Rows are many, different ones few.
    names = {key: group_of(dict(zip(columns, key, strict=True)), groups) for key in dict.fromkeys(cells)}
    return pd.Series([names[key] for key in cells], index=table.index, name="group", dtype=str)


def atlas_of(url: str) -> str:
    """The picture atlas a URL points to: `dermaamin`, `atlasdermatologico` or `unknown`."""
    try:
        host = (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:  # such as an unclosed bracket in the host
        host = ""
    return ATLASES.get(host, "unknown")


def _ids(column: "pd.Series[str]", path: str | Path) -> "pd.Series[str]":
    ids = column.str.strip()
    if ids.str.fullmatch(MD5, case=False).all():
        upper = ids.str.contains("[A-F]", regex=True)
        if upper.any():
            warnings.warn(
                f"{path}: {int(upper.sum())} values of {column.name} have capitals; read as lower case", stacklevel=4
            )
        ids = ids.str.lower()
    expected = "an id that can be a file name (1 to 100 characters, no slash, no dot in front)"
    _reject(column, ~ids.str.fullmatch(SAFE_ID), expected, path)
    _reject(column, ids.str.casefold().duplicated(), "every id once, capitals or not", path)
    return ids


def _skin_types(column: "pd.Series[str]", form: TableFormat, path: str | Path) -> "pd.Series[int]":
    codes = form.codes or {str(kind): kind for kind in (MISSING_TYPE, *range(1, 7))}
    cells = column.str.strip()
    types = cells.map(_plain).map({**codes, **dict.fromkeys(("", *form.missing), MISSING_TYPE)})
    unknown = cells[types.isna()]
    if len(unknown):
        found = []
        for cell in unknown.unique():
            rows = unknown.index[unknown == cell]
            found.append(
                f"{cell!r} in {len(rows):,} row{'s' if len(rows) > 1 else ''} (the first is {rows.name} {rows[0]})"
            )
        more = f" and {len(found) - 5} other values" if len(found) > 5 else ""
        raise UserError(
            f"{path}: column {column.name}: expected {', '.join(codes)} or an empty cell"
            f"{''.join(f', {cell}' for cell in form.missing)}; found {', '.join(found[:5])}{more}. "
            "data.skin_types says which Fitzpatrick type a cell stands for, such as {FST1: 1}, and which cells mean "
            "that none was given, such as {missing: [unknown]}."
        )
    return types.astype("int64")


def _plain(cell: object) -> str:
    """A code as text; "3.0" is what 3 looks like after a round trip through a spreadsheet or pandas."""
    text = str(cell).strip()
    whole = text.rstrip("0")
    return whole[:-1] if whole.endswith(".") and whole[:-1].lstrip("-").isdigit() else text


def _labels(column: "pd.Series[str]", path: str | Path) -> "pd.Series[str]":
    """The names as they are, but for what would be two names to a program and one to a reader."""
    empty = column.str.strip() == ""
    _reject(column, empty | column.str.contains(CONTROL, regex=True), "a condition name", path)
    _reject(column, column != column.str.strip(), "a condition name without blanks at its ends", path)
    composed = column.str.normalize("NFC")
    other = column != column.groupby(composed).transform("first")
    _reject(column, other, "one spelling of every name (this one looks like another, of other code points)", path)
    for names in alike(column):
        found = f"{path}: column {column.name}: {', '.join(map(repr, names))}"
        warnings.warn(f"{found} differ in case or blanks alone; kept apart", stacklevel=3)
    return column


def _sources(column: "pd.Series[str]", path: str | Path) -> "pd.Series[str]":
    names = column.str.strip()
    _reject(column, names.str.contains(CONTROL, regex=True), "the name of a source", path)
    return names.replace("", UNKNOWN_SOURCE)


def _files(column: "pd.Series[str]", path: str | Path) -> "pd.Series[str]":
    files = column.str.strip().str.replace("\\", "/", regex=False)
    wrong = (files == "") | files.str.endswith("/") | files.str.contains(CONTROL, regex=True)
    _reject(column, wrong, "the name of an image file, such as 000001.png", path)
    _reject(column, files.str.casefold().duplicated(), "every file once, capitals or not", path)
    return files


def _reject(column: "pd.Series[str]", wrong: "pd.Series[bool]", expected: str, path: str | Path) -> None:
    """Raise a `UserError` for the first rows where `wrong` holds."""
    if not wrong.any():
        return
    rows = column.index[wrong]
    examples = ", ".join(f"{column[row]!r} in {column.index.name} {row}" for row in rows[:3])
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    raise UserError(f"{path}: column {column.name}: expected {expected}; found {examples}{more}.")
