"""CheXpert (Irvin et al. 2019): chest X-rays, `train.csv` (one row per picture) and `CHEXPERT DEMO.xlsx` (per patient).

Decisions, each counted in the log:

- The patient is the third part of Path (CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg); the tables
  are joined by it.
- One condition per picture: see `chest.with_findings`. The fourteen labels stay, as 1.0, 0.0, -1.0 and empty.
- `race` is PRIMARY_RACE in few words (see `chest.race_of`); a patient with several has none.
- The sex is that of train.csv; where GENDER says another, it is left empty, so that the picture is in no group by sex.
- The age is that of train.csv, which is of the picture. How many patients have an AGE_AT_CXR that none of their
  pictures has is said, and nothing done about it.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from evenhand.data.accounts import NOT_GIVEN, compare_keys, count_by, leave_out, mention, one_value_each
from evenhand.data.cells import cell_number
from evenhand.data.image_names import stem_of
from evenhand.data.metadata import TableFormat

# In the order of CheXpert's table.
FINDINGS = (
    *("Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation"),
    *("Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture"),
)
NO_FINDING, DEVICES, UNCERTAIN = "No Finding", "Support Devices", "uncertain"
CHEST_LABELS = (NO_FINDING, *FINDINGS, DEVICES)
# What a stated race begins with, and what it is called here.
RACES = {"WHITE": "WHITE", "BLACK": "BLACK/AFRICAN AMERICAN", "ASIAN": "ASIAN", "HISPANIC": "HISPANIC/LATINO"}
OTHER_RACE = "OTHER"
UNSTATED = (
    "UNKNOWN",
    "UNABLE",
    "PATIENT DECLINED",
    "PATIENT REFUSED",
    "DECLINE",
    "REFUSED",
    "RACE AND ETHNICITY UNKNOWN",
)


def with_findings(table: pd.DataFrame) -> pd.DataFrame:
    """The table with one condition per picture, from its fourteen labels (1, 0, -1: uncertain, empty: not mentioned).

    `condition` is the first finding that is 1, in the order of `FINDINGS`; without one `No Finding` where that is 1,
    else `Support Devices` where that is 1, which is no disease, else `uncertain` where a finding is -1, else
    `not given`.
    `any_finding` is coarser: finding, no finding, not given. The labels themselves stay, for probes.
    """
    stated = pd.DataFrame({name: _numbers(table[name]) for name in CHEST_LABELS})
    found = stated[list(FINDINGS)] == 1
    several = int((found.sum(axis=1) > 1).sum())
    label = np.full(len(table), NOT_GIVEN, dtype=object)
    label[(stated[list(FINDINGS)] == -1).any(axis=1)] = UNCERTAIN
    for name in (DEVICES, NO_FINDING, *reversed(FINDINGS)):  # the last that is 1 counts
        label[stated[name] == 1] = name
    fine = pd.Series(label, index=table.index, dtype="str")
    coarse = pd.Series(NOT_GIVEN, index=table.index, dtype="str")
    coarse = coarse.mask(fine.isin(FINDINGS), "finding").mask(fine == NO_FINDING, "no finding")
    print(f"{several:,} rows have several findings: the first in the order of the table is their condition")
    count_by(fine, "conditions, in rows")
    return table.assign(condition=fine, any_finding=coarse)


def race_of(cells: "pd.Series[str]") -> "pd.Series[str]":
    """One of the values of `RACES` by what the cell begins with, `OTHER`, or "" where none is stated; all are said."""
    groups = {cell: _race(cell) for cell in cells.unique()}
    race = cells.map(groups)
    for name in (*RACES.values(), OTHER_RACE, ""):
        read = cells[race == name]
        if len(read):
            count_by(read.replace("", "(empty)"), f"{cells.name} read as {name or 'not stated'}, in rows")
    return race


def _race(cell: str) -> str:
    text = cell.strip().upper()
    if not text or text.startswith(UNSTATED):
        return ""
    return next((name for prefix, name in RACES.items() if text.startswith(prefix)), OTHER_RACE)


def _numbers(cells: "pd.Series[str]") -> "pd.Series[float]":
    """1, 0, -1, or NaN where the cell is empty or something else, which is said."""
    numbers = cells.map(_known(cells.unique())).astype(float)
    mention(
        cells[numbers.isna() & (cells.str.strip() != "")], f"cells of {cells.name} are none of 1, 0 and -1: not used"
    )
    return numbers


def _known(cells: Iterable[str]) -> dict[str, float | None]:
    numbers = {cell: cell_number(cell) for cell in cells}
    return {cell: number if number in (1, 0, -1) else None for cell, number in numbers.items()}


FORMAT = TableFormat(id="id", file="Path", patient="patient", conditions=("condition", "any_finding"))
OF_PATIENT = ("GENDER", "AGE_AT_CXR", "PRIMARY_RACE", "ETHNICITY")
TABLES = {
    "pictures": ["Path", "Sex", "Age", "Frontal/Lateral", *CHEST_LABELS],
    "patients": ["PATIENT", *OF_PATIENT],
}


def prepare(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per picture, with what is known of its patient."""
    pictures, people = tables["pictures"], tables["patients"]
    few = pictures["Path"].str.count("/") < 4
    pictures = leave_out(pictures, few, "Path", "their Path has no patient in its third part")
    parts = pictures["Path"].str.split("/")
    pictures = pictures.assign(
        patient=parts.str[2],
        id=parts.str[2:].str.join("_").map(stem_of),  # patient00001_study1_view1_frontal
    )
    compare_keys(pictures["patient"], people["PATIENT"], "the table of patients")
    people = people.assign(race=race_of(people["PRIMARY_RACE"]))
    for column in (*OF_PATIENT, "race"):
        values = one_value_each(people[column], people["PATIENT"], "patients")
        pictures[column] = pictures["patient"].map(values).fillna("")
    return with_findings(_checked(pictures))


def _checked(pictures: pd.DataFrame) -> pd.DataFrame:
    """The pictures without a sex where the tables give two; disagreements on age are counted."""
    given = pictures[["Sex", "GENDER"]].isin(["Female", "Male"]).all(axis=1)
    other = given & (pictures["Sex"] != pictures["GENDER"])
    mention(pictures.loc[other, "patient"], "rows whose Sex and GENDER differ: their Sex is left empty")
    ages = pictures[["Age", "AGE_AT_CXR"]].apply(pd.to_numeric, errors="coerce")
    known = ages.notna().all(axis=1)
    agrees = (ages["Age"] == ages["AGE_AT_CXR"])[known].groupby(pictures.loc[known, "patient"]).any()
    first = pictures[known].drop_duplicates("patient")
    odd = first.loc[~first["patient"].map(agrees).astype(bool), "patient"]
    mention(odd, "patients with an AGE_AT_CXR that none of their rows has as Age: the Age of each row counts")
    return pictures.assign(Sex=pictures["Sex"].mask(other, ""))
