"""The annotation table: the columns of Fitzpatrick17k, checked, one row per image."""

import warnings
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd

from fairgen.errors import UserError
from fairgen.foreign_tables import read_foreign

REQUIRED = ["md5hash", "fitzpatrick_scale", "label", "nine_partition_label", "three_partition_label"]
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
CONTROL = r"[\x00-\x1f\x7f]"  # characters that no name or address holds
MISSING_TYPE = -1  # the published table's code for "no skin type given"
ATLASES = {"dermaamin.com": "dermaamin", "atlasdermatologico.com.br": "atlasdermatologico"}


def read_metadata(path: str | Path) -> pd.DataFrame:
    """Read and check an annotation table with the columns of Fitzpatrick17k; prints how it was read.

    Optional columns that are absent are filled: `fitzpatrick_centaur` with -1, `qc` and `url` with
    empty text. Other columns are left out.

    Returns:
        One row per image in the order of the file, columns as in `COLUMNS`; skin types are integers,
        -1 (missing) or 1 to 6; `atlas` comes from the host of the URL.

    Raises:
        UserError: see `read_foreign`; or a value is not what it should be; names the column and line.
    """
    brought = read_foreign(path, REQUIRED)
    print(f"{path}: {brought.found}")
    raw = brought.cells
    table = pd.DataFrame({"md5hash": _hashes(raw["md5hash"], path)})
    for column in SKIN_TYPE_COLUMNS:
        table[column] = _skin_types(raw[column], path) if column in raw.columns else MISSING_TYPE
    for column in ["label", "nine_partition_label", "three_partition_label"]:
        table[column] = _labels(raw[column], path)
    for column in ["qc", "url"]:
        # A line break in a cell would be one in the tables written from this one.
        table[column] = raw[column].str.replace(CONTROL, " ", regex=True).str.strip() if column in raw.columns else ""
    table["atlas"] = table["url"].map(atlas_of)
    return table[COLUMNS].reset_index(drop=True)


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
    labels = column.str.strip()
    _reject(column, (labels == "") | labels.str.contains(CONTROL, regex=True), "a condition name", path)
    return labels


def _reject(column: pd.Series, wrong: pd.Series, expected: str, path: str | Path) -> None:
    """Raise a `UserError` for the first rows where `wrong` holds."""
    if not wrong.any():
        return
    rows = column.index[wrong]
    examples = ", ".join(f"{column[row]!r} in {column.index.name} {row}" for row in rows[:3])
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    raise UserError(f"{path}: column {column.name}: expected {expected}; found {examples}{more}.")
