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

from collections.abc import Mapping

import pandas as pd

from evenhand.data.accounts import compare_keys, leave_out, mention, one_value_each
from evenhand.data.chest import CHEST_LABELS, race_of, with_findings
from evenhand.data.folders import stem_of
from evenhand.data.metadata import TableFormat

FORMAT = TableFormat(id="md5hash", file="Path", patient="patient", conditions=("label", "any_finding"))
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
        md5hash=parts.str[2:].str.join("_").map(stem_of),  # patient00001_study1_view1_frontal
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
