"""The annotation table: the columns of Fitzpatrick17k, checked, one row per image."""

import warnings
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd

from fairgen.errors import UserError

LABELS = ["label", "nine_partition_label", "three_partition_label"]
REQUIRED = ["md5hash", "fitzpatrick_scale", *LABELS]
SKIN_TYPE_COLUMNS = ["fitzpatrick_scale", "fitzpatrick_centaur"]
COLUMNS = [
    "md5hash",
    "fitzpatrick_scale",
    "fitzpatrick_centaur",
    "label",
    "nine_partition_label",
    "three_partition_label",
    "qc",
    "url",
    "atlas",
]
# What an image's row in a later table says about it.
ROW_COLUMNS = [column for column in COLUMNS if column not in ("qc", "url")]
# Characters that no name or address holds: control characters, also those that a wrong encoding leaves.
CONTROL = r"[\x00-\x1f\x7f-\x9f\ufffe\uffff]"
MISSING_TYPE = -1  # the published table's code for "no skin type given"
ATLASES = {"dermaamin.com": "dermaamin", "atlasdermatologico.com.br": "atlasdermatologico"}


def read_metadata(path: str | Path) -> pd.DataFrame:
    """Read and check an annotation table (CSV with the columns of Fitzpatrick17k).

    Optional columns that are absent are filled: `fitzpatrick_centaur` with -1, `qc` and `url` with
    empty text. Other columns are left out.

    Returns:
        One row per image in the order of the file, columns as in `COLUMNS`; skin types are integers,
        -1 (missing) or 1 to 6; `atlas` comes from the host of the URL.

    Raises:
        UserError: a column is missing, or a value is not what it should be; names the column and line.
    """
    try:
        raw = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        header = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", header=None, nrows=1).iloc[0]
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path}: expected a CSV table in UTF-8; found: {error}") from error
    twice = sorted(set(header[header.duplicated()]) & {*REQUIRED, *COLUMNS})
    if twice:
        raise UserError(f"{path}: expected every column once; found twice: {', '.join(twice)}. Delete or rename one.")
    absent = [column for column in REQUIRED if column not in raw.columns]
    if absent:
        raise UserError(
            f"{path}: expected the columns {', '.join(REQUIRED)}; missing: {', '.join(absent)}; "
            f"found: {', '.join(raw.columns)}. Rename the columns of your table accordingly."
        )
    if raw.empty:
        raise UserError(f"{path}: the table has a header but no rows.")
    table = pd.DataFrame({"md5hash": _hashes(raw["md5hash"], path)})
    for column in SKIN_TYPE_COLUMNS:
        table[column] = _skin_types(raw[column], path) if column in raw.columns else MISSING_TYPE
    for column in LABELS:
        table[column] = _labels(raw[column], path)
    for column in ["qc", "url"]:
        # A line break in a cell would be one in the tables written from this one.
        table[column] = raw[column].str.replace(CONTROL, " ", regex=True).str.strip() if column in raw.columns else ""
    table["atlas"] = table["url"].map(atlas_of)
    return table[COLUMNS]


def alike(labels: pd.Series) -> list[list[str]]:
    """Names that differ in case or in the blanks between words alone, sorted."""
    names = pd.Series(sorted(labels.unique()), dtype=str)
    folded = names.map(lambda name: " ".join(name.casefold().split()))
    return [same.tolist() for _, same in names.groupby(folded) if len(same) > 1]


def assign_group(skin_type: pd.Series, light: Collection[int], dark: Collection[int]) -> pd.Series:
    """The group of each skin type: "light", "dark", or "" for the types in neither (those are left out)."""
    groups = dict.fromkeys(light, "light") | dict.fromkeys(dark, "dark")
    return skin_type.map(groups).fillna("").rename("group")


def atlas_of(url: str) -> str:
    """The picture atlas a URL points to: `dermaamin`, `atlasdermatologico` or `unknown`."""
    try:
        host = (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:  # such as an unclosed bracket in the host
        host = ""
    return ATLASES.get(host, "unknown")


def _hashes(column: pd.Series, path: str | Path) -> pd.Series:
    hashes = column.str.strip()
    upper = hashes.str.contains("[A-F]", regex=True)
    if upper.any():
        warnings.warn(f"{path}: {int(upper.sum())} values of md5hash have capitals; read as lower case", stacklevel=3)
    hashes = hashes.str.lower()
    _reject(column, ~hashes.str.fullmatch("[0-9a-f]{32}"), "32 hexadecimal digits", path)
    _reject(column, hashes.duplicated(), "every hash once (delete the second row of each image)", path)
    return hashes


def _skin_types(column: pd.Series, path: str | Path) -> pd.Series:
    values = column.str.strip().replace("", str(MISSING_TYPE))
    # "3.0" is what a table looks like after a round trip through a spreadsheet or pandas.
    values = values.str.replace(r"\.0+$", "", regex=True)
    _reject(column, ~values.isin([str(MISSING_TYPE), *"123456"]), "a Fitzpatrick type from 1 to 6, or -1", path)
    return values.astype("int64")


def _labels(column: pd.Series, path: str | Path) -> pd.Series:
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


def _reject(column: pd.Series, wrong: pd.Series, expected: str, path: str | Path) -> None:
    """Raise a `UserError` for the first rows where `wrong` holds."""
    if not wrong.any():
        return
    rows = column.index[wrong]
    examples = ", ".join(f"{column[row]!r} in line {row + 2}" for row in rows[:3])
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    raise UserError(f"{path}: column {column.name}: expected {expected}; found {examples}{more}.")
