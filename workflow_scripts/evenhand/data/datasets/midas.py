"""MRA-MIDAS (Chiou et al. 2024): lesions before biopsy, each from several distances, in one workbook.

Decisions, each counted in the log:

- A tenth of the files have another ending than the table says (.jpg for .jpeg), so a file is sought by its name without
  one, unless two names differ in that alone. Rows without a file name are left out.
- The skin type is the number that midas_fitzpatrick begins with, Roman or not; anything else counts as missing.
- midas_path is the pathology and no path; a control without one has the condition `control`. The coarse level
  `pathology` is malignant, benign, other, control or not given, by what midas_path begins with.
- All distances are kept: dermoscopy (dscope), photographs (6in, 1ft) and what patients sent (n/a - virtual). Groups
  choose among them by midas_distance. The patient is midas_record_id.
"""

import re
from collections.abc import Mapping

import pandas as pd

from evenhand.data.accounts import NOT_GIVEN, conditions_from, count_by, first_of_each, leave_out, mention
from evenhand.data.image_names import stem_of
from evenhand.data.metadata import TableFormat

FORMAT = TableFormat(
    id="id",
    file="file",
    patient="midas_record_id",
    skin_type="skin_type",
    conditions=("midas_path", "pathology"),
)
TABLES = {
    "release": [
        *("midas_record_id", "midas_file_name", "midas_iscontrol", "midas_distance", "midas_fitzpatrick"),
        "midas_path",
    ]
}
NUMERALS = {
    "i": "1",
    "ii": "2",
    "iii": "3",
    "iv": "4",
    "v": "5",
    "vi": "6",
    **{str(kind): str(kind) for kind in range(1, 7)},
}
CONTROL = "control"


def prepare(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows that name a file, each file once."""
    table = tables["release"]
    table = table.assign(midas_file_name=table["midas_file_name"].str.strip())
    table = leave_out(table, table["midas_file_name"] == "", "midas_record_id", "they name no file")
    table = first_of_each(table, "midas_file_name")
    stems = table["midas_file_name"].map(stem_of)
    both = stems.str.casefold().duplicated(keep=False)
    mention(table.loc[both, "midas_file_name"], "files differ in their ending alone: sought with it")
    name = stems.mask(both, table["midas_file_name"])
    control = table["midas_iscontrol"].str.strip().str.lower() == "yes"
    unnamed = table["midas_path"].str.strip() == ""
    mention(table.loc[control & unnamed, "midas_file_name"], f"controls without pathology: condition {CONTROL!r}")
    path = conditions_from(table["midas_path"].mask(control & unnamed, CONTROL))
    count_by(table["midas_distance"].replace("", "(empty)"), "distances, in rows")
    return table.assign(
        id=name.str.rpartition("/")[2],
        file=name,
        skin_type=skin_types(table["midas_fitzpatrick"]),
        midas_path=path,
        pathology=path.map(pathology_of),
    )


def skin_types(cells: "pd.Series[str]") -> "pd.Series[str]":
    """1 to 6 from cells that begin with that number, Roman or not, such as "iii ..."; "" for others, which are said."""
    found = cells.map({cell: _number(cell) for cell in cells.unique()})
    odd = cells[(found == "") & (cells.str.strip() != "")]
    mention(odd, f"cells of {cells.name} begin with no number from i to vi: no skin type")
    return found


def pathology_of(condition: str) -> str:
    """The coarse level of a condition of midas_path."""
    if condition in (CONTROL, NOT_GIVEN):
        return condition
    begins = re.match("malignant|benign", condition.lower())
    return begins[0] if begins else "other"


def _number(cell: str) -> str:
    word = re.match(r"[a-z]+|\d+", cell.strip().lower())
    return NUMERALS.get(word[0], "") if word else ""
