"""PASSION (Gottfrois et al. 2024): patients in Sub-Saharan Africa, several photographs of each, called SUBJECT_....

Tables: `label.csv`, one row per subject, and a list of the files, one column `file`, since no table of the set names
them: `PASSION_split.csv` deals out subjects, not pictures, and is not used, as the workflow draws its own sets. Files
that belong to no subject, and subjects without a file, are counted in the log.
"""

import re
from collections.abc import Collection, Mapping

import pandas as pd

from evenhand.data.accounts import conditions_from, first_of_each, leave_out, mention
from evenhand.data.image_names import has_image_ending, stem_of
from evenhand.data.metadata import TableFormat

FORMAT = TableFormat(
    id="id", file="file", patient="subject_id", skin_type="fitzpatrick", conditions=("conditions_PASSION",)
)
TABLES = {"subjects": ["subject_id", "fitzpatrick", "conditions_PASSION"], "files": ["file"]}


def prepare(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per file, with the columns of its subject."""
    subjects = first_of_each(tables["subjects"], "subject_id")
    files = tables["files"][["file"]].assign(name=tables["files"]["file"].str.strip().str.rpartition("/")[2])
    files = leave_out(files, ~files["name"].map(has_image_ending), "file", "they are not called like an image")
    known = set(subjects["subject_id"])
    files["subject_id"] = [subject_in(name, known) for name in files["name"]]
    files = leave_out(files, files["subject_id"] == "", "file", "their names begin with no subject_id of the table")
    without = subjects.loc[~subjects["subject_id"].isin(files["subject_id"]), "subject_id"]
    mention(without, "subjects without a file")
    joined = files.merge(subjects, on="subject_id", how="left").set_axis(files.index)
    joined["id"] = joined["name"].map(stem_of)
    joined["conditions_PASSION"] = conditions_from(joined["conditions_PASSION"])
    return joined.drop(columns="name")


def subject_in(name: str, subjects: Collection[str]) -> str:
    """The subject that a file name begins with, up to its end or a sign that is no letter or digit; "": none.

    Of several the longest: AA1_2 and not AA1, if both are subjects, in AA1_2_3.jpg.
    """
    stem = stem_of(name)
    ends = [found.start() for found in re.finditer(r"[^A-Za-z0-9]", stem)]
    return next((stem[:end] for end in (len(stem), *reversed(ends)) if stem[:end] in subjects), "")
