"""What CheXpert and MIMIC-CXR share: fourteen labels of a picture, and the ways in which race is written down."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from evenhand.data.accounts import NOT_GIVEN, count_by, mention
from evenhand.data.cells import cell_number

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

    `label` is the first finding that is 1, in the order of `FINDINGS`; without one `No Finding` where that is 1, else
    `Support Devices` where that is 1, which is no disease, else `uncertain` where a finding is -1, else `not given`.
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
    return table.assign(label=fine, any_finding=coarse)


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
