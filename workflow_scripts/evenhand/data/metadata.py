"""The annotation table: whatever its columns and codes are called, checked, one row per image."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from evenhand.data.cells import MD5, NO_NAME, SHA256
from evenhand.splits.groups import Group, columns_of, group_of
from evenhand.workflow.errors import UserError

SKIN_TYPE_COLUMNS = ["skin_type", "second_skin_type"]
CONDITION_COLUMNS = ["condition", "condition_2", "condition_3"]  # from fine to coarse
# What every table of images has; `file` only where the format names it.
COLUMNS = ["id", "patient", *SKIN_TYPE_COLUMNS, *CONDITION_COLUMNS, "source", "url", "checksum"]
# What of them later tables need not know.
SOUGHT = ["url", "checksum", "file"]
# What later tables add to the rows of images: no column of the user may be called so.
ADDED = ["row", "status", "found_in", "verified", "width", "height", "detail", "group", "cluster", "file"]
# Characters that no name or address holds: control characters, also those that a wrong encoding leaves.
CONTROL = r"[\x00-\x1f\x7f-\x9f\ufffe\uffff]"
# An id may become a file name.
SAFE_ID = r"(?!\.)[^/\\\x00-\x1f\x7f]{1,100}"
MISSING_TYPE = -1  # the published table's code for "no skin type given"
UNKNOWN_SOURCE = "unknown"


@dataclass(frozen=True)
class TableFormat:
    """What a table calls its columns ("": it has no such column), and how it codes skin types.

    `conditions` are one to three levels, from fine to coarse. `codes` maps cells to types from 1 to 6; empty: the cells
    are these numbers, and -1 is missing. `missing` are cells that mean missing, beside empty ones.
    """

    id: str
    conditions: tuple[str, ...]
    checksum: str = ""
    file: str = ""
    url: str = ""
    patient: str = ""
    source: str = ""
    skin_type: str = ""
    second_skin_type: str = ""
    codes: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def needed(self) -> list[str]:
        """The columns that must be there."""
        names = [self.id, self.checksum, self.file, self.url, self.patient, self.source, self.skin_type]
        return list(dict.fromkeys(name for name in [*names, self.second_skin_type, *self.conditions] if name))


def skin_codes(skin_types: Mapping[str, Any]) -> dict[str, Any]:
    """The fields `codes` and `missing` of a format, from the block data.skin_types of a configuration."""
    codes = {_plain(cell): kind for cell, kind in skin_types.items() if cell != "missing"}
    return {"codes": codes, "missing": tuple(_plain(cell) for cell in skin_types.get("missing", ()))}


def image_table(raw: pd.DataFrame, form: TableFormat, path: str | Path) -> pd.DataFrame:
    """The table of images that all later stages know, from the text cells of one of any form.

    Args:
        raw: cells as text; the index says where a row is, for messages.
        form: what its columns are called.
        path: of the table, for messages.

    Returns:
        One row per image in the same order: `COLUMNS`, `file` if the format names it, and every column that the format
        does not name under its own name, as text. Skin types are integers, -1 (missing) or 1 to 6; coarser levels of
        conditions that the table does not have are empty, and so are patient and checksum; without a source it is
        `unknown`.

    Raises:
        UserError: a value is not what it should be; names the column and line.
    """
    table = pd.DataFrame({"id": _ids(raw[form.id], path)})
    table["patient"] = _patients(raw[form.patient], path) if form.patient else ""
    for column, name in zip(SKIN_TYPE_COLUMNS, (form.skin_type, form.second_skin_type), strict=True):
        table[column] = _skin_types(raw[name], form, path) if name else MISSING_TYPE
    table[CONDITION_COLUMNS] = ""
    for column, name in zip(CONDITION_COLUMNS, form.conditions, strict=False):
        table[column] = _labels(raw[name], path)
    table["source"] = _sources(raw[form.source], path) if form.source else UNKNOWN_SOURCE
    table["url"] = _plain_line(raw[form.url]) if form.url else ""
    table["checksum"] = _checksums(raw[form.checksum], path) if form.checksum else ""
    if form.file:
        table["file"] = _files(raw[form.file], path)
    taken = {*table, *ADDED}
    others = [name for name in raw if name not in form.needed]
    hidden = [name for name in others if name in taken]
    if hidden:
        print(f"{path}: not kept, as the workflow's tables have columns of that name: {', '.join(map(str, hidden))}")
    kept = {name: _plain_line(raw[name]) for name in others if name not in taken}
    return pd.concat([table, pd.DataFrame(kept, index=raw.index)], axis=1).reset_index(drop=True)


def is_given(cells: "pd.Series[str]") -> "pd.Series[bool]":
    """Which cells are not empty, however an empty one was read."""
    return cells.notna() & cells.ne("")


def given_levels(table: pd.DataFrame) -> list[str]:
    """The levels of conditions that the data have, from fine to coarse: the columns that are not empty."""
    return [column for column in CONDITION_COLUMNS if column in table and is_given(table[column]).any()]


def several_sources(source: "pd.Series[str]") -> bool:
    """Whether images can be compared by their source, the column `source`: there are two at least."""
    return source.nunique() > 1


def without_checksum(table: pd.DataFrame) -> "pd.Series[str]":
    """The ids of images that have none, as `image_names.checksum_of` says."""
    return table.loc[~is_given(table["checksum"]) & ~table["id"].str.fullmatch(MD5), "id"]


def alike(labels: pd.Series) -> list[list[str]]:
    """Names that differ in case or in the blanks between words alone, sorted."""
    names = pd.Series(sorted(labels.unique()), dtype=str)
    folded = names.map(lambda name: " ".join(name.casefold().split()))
    return [same.tolist() for _, same in names.groupby(folded) if len(same) > 1]


def assign_group(table: pd.DataFrame, groups: Sequence[Group]) -> "pd.Series[str]":
    """The name of the group of each row, "" for rows in none (those are left out).

    Raises:
        UserError: a column that decides on the groups is absent, or a row is in two groups.
    """
    columns = columns_of(groups)
    absent = [column for column in columns if column not in table]
    if absent:
        raise UserError(
            f"splits.groups: expected the column{'s' if len(absent) > 1 else ''} {', '.join(absent)} in the table; "
            f"found {', '.join(map(str, table.columns))}. Columns that data.columns names are called by its keys."
        )
    cells = table[columns].astype(str)
    # Each combination of cells once: there are few of them.
    found = {key: group_of(dict(zip(columns, key, strict=True)), groups)
             for key in cells.drop_duplicates().itertuples(index=False, name=None)}  # fmt: skip
    names = [found[key] for key in cells.itertuples(index=False, name=None)]
    return pd.Series(names, index=table.index, dtype=str, name="group")


def skin_type_column(groups: Sequence[Group]) -> str:
    """The column of skin types that decides on the groups, or the first of them where none does."""
    return next((column for column in columns_of(groups) if column in SKIN_TYPE_COLUMNS), SKIN_TYPE_COLUMNS[0])


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


def _patients(column: "pd.Series[str]", path: str | Path) -> "pd.Series[str]":
    """Patients by name; cells that name nobody are empty: each of these images is taken for a patient of its own."""
    names = column.str.strip()
    _reject(column, names.str.contains(CONTROL, regex=True), "the name of a patient", path)
    nobody = names.str.lower().isin(NO_NAME)
    if nobody.any():
        print(f"{path}: {int(nobody.sum()):,} rows name no patient in {column.name}: each is taken for one of its own")
    return names.mask(nobody, "")


def _plain_line(column: "pd.Series[str]") -> "pd.Series[str]":
    """Cells of one line: a line break in a cell would be one in the tables written from this one."""
    return column.str.replace(CONTROL, " ", regex=True).str.strip()


def _checksums(column: "pd.Series[str]", path: str | Path) -> "pd.Series[str]":
    sums = column.str.strip().str.lower()
    expected = "an MD5 (32 hexadecimal digits), a SHA-256 (64) or an empty cell"
    _reject(column, ~sums.str.fullmatch(f"({MD5}|{SHA256})?"), expected, path)
    return sums


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
