"""MIMIC-CXR (Johnson et al. 2019) with MIMIC-IV: chest X-rays in four tables.

Tables: `mimic-cxr-2.0.0-metadata.csv` (a picture a row), `patients.csv` and `admissions.csv` of MIMIC-IV (joined by
subject_id), `mimic-cxr-2.0.0-chexpert.csv` (labels of a study, joined by subject_id and study_id). Files are called
like their dicom_id. Decisions, each counted in the log:

- `race` is the column race of the admissions, in early versions ethnicity, in few words (see `chest.race_of`). A
  patient whose admissions state several has none. So it is with insurance.
- Sex and age are gender and anchor_age of the patient: the age in an anchor year, not on the day of the picture.
- One condition per picture: see `chest.with_findings`. The fourteen labels stay, and so does ViewPosition.
"""

from collections.abc import Mapping

import pandas as pd

from evenhand.data.accounts import compare_keys, first_of_each, one_value_each
from evenhand.data.datasets.chexpert import CHEST_LABELS, race_of, with_findings
from evenhand.data.metadata import TableFormat
from evenhand.workflow.errors import UserError

FORMAT = TableFormat(id="dicom_id", patient="subject_id", conditions=("condition", "any_finding"))
TABLES = {
    "pictures": ["dicom_id", "subject_id", "study_id", "ViewPosition"],
    "patients": ["subject_id", "gender", "anchor_age"],
    "admissions": ["subject_id", "insurance"],
    "labels": ["subject_id", "study_id", *CHEST_LABELS],
}


def prepare(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per picture, with what is known of its patient and study."""
    pictures, people, admissions, labels = (tables[name] for name in TABLES)
    pictures = pictures.copy()
    compare_keys(pictures["subject_id"], people["subject_id"], "the table of patients")
    for column in ("gender", "anchor_age"):
        values = one_value_each(people[column], people["subject_id"], "patients")
        pictures[column] = pictures["subject_id"].map(values).fillna("")

    compare_keys(pictures["subject_id"], admissions["subject_id"], "the table of admissions")
    admissions = admissions[admissions["subject_id"].isin(pictures["subject_id"])]
    stated = next((name for name in ("race", "ethnicity") if name in admissions), None)
    if stated is None:
        raise UserError(
            "admissions: expected a column race or ethnicity, which says how race was stated; found "
            f"{', '.join(map(str, admissions))}"
        )
    admissions = admissions.assign(race=race_of(admissions[stated]))
    for column in ("race", "insurance"):
        values = one_value_each(admissions[column], admissions["subject_id"], "patients")
        pictures[column] = pictures["subject_id"].map(values).fillna("")

    # A study is called by the number of its patient as well, though its own is unique.
    pictures["study"] = pictures["subject_id"] + "/" + pictures["study_id"]
    labels = first_of_each(labels.assign(study=labels["subject_id"] + "/" + labels["study_id"]), "study")
    compare_keys(pictures["study"], labels["study"], "the table of labels")
    labelled = labels.set_index("study")[list(CHEST_LABELS)]
    found = labelled.reindex(pictures["study"]).fillna("").set_axis(pictures.index)
    return with_findings(pictures.drop(columns="study").join(found))
