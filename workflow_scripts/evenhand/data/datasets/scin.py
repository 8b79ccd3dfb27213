"""SCIN (Ward et al. 2024): photographs that people took of their own skin, one to three of each case, in two tables.

Tables: `scin_cases.csv` and `scin_labels.csv`, which belong together by case_id. Decisions, each counted in the log:

- One row per picture of image_1_path, image_2_path and image_3_path. A file that is named again is one picture, and
  the cases that share it are one patient; else a case is a patient.
- The skin type is that which more than half of a case's dermatologists give (one to three of them); without such a
  majority it is missing.
- The condition is that of highest weight in weighted_skin_condition_label, of equal ones the first by name.
"""

import ast
from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from evenhand.data.accounts import compare_keys, conditions_from, count_by, first_of_each, leave_out, mention
from evenhand.data.image_names import stem_of
from evenhand.data.metadata import TableFormat
from evenhand.splits.design import cluster_images

PICTURES = [f"image_{number}_path" for number in (1, 2, 3)]
VOTES = [f"dermatologist_fitzpatrick_skin_type_label_{number}" for number in (1, 2, 3)]
WEIGHTS = "weighted_skin_condition_label"
TABLES = {"cases": ["case_id", *PICTURES], "labels": ["case_id", *VOTES, WEIGHTS]}
FORMAT = TableFormat(id="id", file="file", patient="patient", skin_type="skin_type", conditions=("condition",))


def prepare(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per picture, with the columns of its case and of the labels of that."""
    cases, labels = (first_of_each(tables[name], "case_id") for name in TABLES)
    compare_keys(cases["case_id"], labels["case_id"], "the table of labels")
    added = [name for name in labels if name not in cases or name == "case_id"]
    joined = cases.merge(labels[added], on="case_id", how="left").fillna("").set_axis(cases.index)
    joined["skin_type"] = votes(joined[VOTES], joined["case_id"])
    joined["condition"] = conditions_from(heaviest(joined[WEIGHTS]).rename("condition"))
    pictures = _pictures(joined)
    again = pictures["file"].duplicated()
    pictures["patient"] = _patients(pictures)
    return leave_out(pictures, again, "file", "an earlier row has that file")


def votes(cells: pd.DataFrame, cases: "pd.Series[str]") -> "pd.Series[str]":
    """The skin type that more than half of the given labels of a case name, "" without one; how it came is said.

    Args:
        cells: the labels of each case, such as FST3 or empty.
        cases: their names.
    """
    named = cells.apply(lambda column: column.str.strip())
    types = named.where(named.isin([f"FST{kind}" for kind in range(1, 7)]), "")
    for column in named:
        mention(named.loc[(named[column] != "") & (types[column] == ""), column], f"cells of {column} are no vote")
    found = [_vote([cell for cell in row if cell]) for row in types.itertuples(index=False)]
    result = pd.DataFrame(found, columns=["type", "how"], index=cells.index)
    count_by(result["how"], "skin types by the votes of dermatologists, in cases")
    mention(cases[result["how"] == "no majority"], "cases whose dermatologists have no majority: no skin type")
    return result["type"].str.removeprefix("FST")


def heaviest(cells: "pd.Series[str]") -> "pd.Series[str]":
    """The condition of highest weight in each cell, such as "{'Eczema': 0.6, 'Tinea': 0.4}"; "" where there is none."""
    best = {cell: _best(cell) for cell in cells.unique()}
    mention(cells[[best[cell] is None for cell in cells]], f"cells of {cells.name} are no conditions with weights")
    tied = cells[[len(best[cell] or ()) > 1 for cell in cells]]
    mention(tied, f"cells of {cells.name} with equal highest weights: the first by name is taken")
    return cells.map({cell: names[0] if names else "" for cell, names in best.items()})


def _pictures(cases: pd.DataFrame) -> pd.DataFrame:
    """One row per picture, in the order of the cases; the index names line and column."""
    parts = []
    for column in PICTURES:
        rows = cases[cases[column].str.strip() != ""]
        parts.append(rows.assign(file=rows[column].str.strip(), place=[f"{line} ({column})" for line in rows.index]))
    pictures = pd.concat(parts).sort_index(kind="stable").set_index("place")
    pictures.index.name = cases.index.name
    without = cases.loc[(cases[PICTURES].apply(lambda column: column.str.strip()) == "").all(axis=1), "case_id"]
    mention(without, "cases without a picture")
    names = pictures["file"].str.rpartition("/")[2]
    return pictures.drop(columns=PICTURES).assign(id=names.map(stem_of))


def _patients(pictures: pd.DataFrame) -> "pd.Series[str]":
    """The case of each picture; of cases that share pictures, the first by name."""
    # Cases that are joined by files, as images are by patients.
    pairs = zip(pictures["case_id"], pictures["file"], strict=True)
    first = dict(cluster_images([{"id": case, "patient": file} for case, file in pairs], None, patients=True))
    patients = pictures["case_id"].map(first)
    joined = pictures.loc[patients != pictures["case_id"], "case_id"]
    mention(joined.drop_duplicates(), "cases share a picture with another one and are taken for the same patient")
    return patients


def _vote(given: Sequence[str]) -> tuple[str, str]:
    if not given:
        return "", "no vote"
    kind, count = Counter(given).most_common(1)[0]
    if 2 * count <= len(given):
        return "", "no majority"
    if count < len(given):
        return kind, "majority"
    return kind, "unanimous" if count > 1 else "a single vote"


def _best(cell: str) -> list[str] | None:
    """The conditions of highest weight by name; none where the cell is empty, None where it holds something else."""
    try:
        read = ast.literal_eval(cell.strip() or "{}")
        weights = {str(name).strip(): float(weight) for name, weight in read.items()}
    except (ValueError, SyntaxError, AttributeError, TypeError):
        return None
    return sorted(name for name, weight in weights.items() if weight == max(weights.values()))
