"""Which photographs are there, which are not and why, whether that is enough, and the data set in numbers."""

from collections.abc import Sequence

import pandas as pd

from evenhand.data.metadata import MISSING_TYPE, UNKNOWN_SOURCE, assign_group, several_sources
from evenhand.splits.groups import Group
from evenhand.workflow.errors import UserError

# Where an image of data/images.csv was found: no reason to do anything again, so no later stage reads it.
FOUND = ["found_in", "verified"]


def require_available(availability: pd.DataFrame, groups: Sequence[Group], minimum: float) -> None:
    """Raise a `UserError` when less than the share `minimum` of the images of a group is there.

    Args:
        availability: one row per metadata row, with `status` and the columns that decide on the groups.
        groups: of the study.
        minimum: in [0, 1], for each group.
    """
    group = assign_group(availability, groups)
    there = availability["status"].eq("ok").groupby(group).agg(["sum", "size"])
    counts = {
        name: (int(there["sum"].get(name, 0)), int(there["size"].get(name, 0)))
        for name in [group.name for group in groups]
    }
    if all(total and found / total >= minimum for found, total in counts.values()):
        return
    lost = availability[(group != "") & (availability["status"] != "ok")]
    reasons = lost["status"].value_counts()
    raise UserError(
        f"too few photographs: data.min_available asks for {minimum:.0%} of each group; found "
        + " and ".join(f"{found} of {total} {name} images" for name, (found, total) in counts.items())
        + " ("
        + (", ".join(f"{status}: {count}" for status, count in reasons.items()) or "the metadata has no such rows")
        + "). "
        + _explanation(lost)
        + "data/availability.csv in the results folder says of every image what became of it, and where it was looked "
        "for."
    )


def _explanation(lost: pd.DataFrame) -> str:
    """What the commonest reason means, as a sentence: copies that were saved again are recognised by it."""
    if not len(lost) or lost["status"].value_counts().index[0] != "wrong-hash":
        return ""
    example = str(lost.loc[lost["status"] == "wrong-hash", "detail"].iloc[0]) if "detail" in lost else ""
    return (
        "Most are there under the right name, but their bytes have not the checksum of the table, as copies that were "
        f"resized or saved again{f' ({example})' if example else ''}. With verify: false beside the folder or archive "
        "in data.sources the names of the files are trusted instead; whether a file shows the image that its name says "
        "is then not checked. "
    )


def count_available(availability: pd.DataFrame, by: str) -> pd.DataFrame:
    """What is there for each value of one column.

    Args:
        availability: one row per metadata row, with `status`.
        by: the column.

    Returns:
        by (its name), value, n, ok, share_ok, reasons (`status: count`, the commonest first, for the rest); the
        values in order, those of a text column by falling n.
    """
    rows = []
    for value, images in availability.groupby(by, sort=True):
        lacking = (
            images.loc[images["status"] != "ok", "status"]
            .value_counts()
            .sort_index()
            .sort_values(ascending=False, kind="stable")
        )
        rows.append(
            {
                "by": by,
                "value": str(value),
                "n": len(images),
                "ok": int((images["status"] == "ok").sum()),
                "share_ok": float((images["status"] == "ok").mean()),
                "reasons": "; ".join(f"{status}: {count}" for status, count in lacking.items()),
            }
        )
    table = pd.DataFrame(rows)
    if not pd.api.types.is_numeric_dtype(availability[by]):
        table = table.sort_values(["n", "value"], ascending=[False, True], ignore_index=True)
    return table


def count_statuses(availability: pd.DataFrame) -> pd.DataFrame:
    """How many rows ended in each way: status, found_in, verified, n."""
    counted = availability.groupby(["status", "found_in", "verified"]).size().rename("n").reset_index()
    return counted.sort_values(["n", "status", "found_in"], ascending=[False, True, True], ignore_index=True)


ALL = "all"
Row = tuple[str, str, str, pd.Series, pd.Series]  # section, item, unit, values and their groups
UNITS = {"images": "sum", "share": "mean", "degrees": "median"}  # and what the number is of the values


def dataset_card(
    availability: pd.DataFrame, duplicates: pd.DataFrame, tone: pd.DataFrame | None, groups: Sequence[str]
) -> pd.DataFrame:
    """One number per row, of an item and a group.

    Args:
        availability: one row per metadata row: id, group (its name, empty for none), source, condition, status,
            verified; where annotators are compared also the two columns of skin types and the group by the other one
            (`other_group`).
        duplicates: one row per photograph: id, cluster, size.
        tone: one row per photograph: id, ita, few_skin. None: the photographs do not show skin.
        groups: their names, in the order of the table.

    Returns:
        section, item, unit, group, number (NaN where there is none). Shares are
        fractions of the rows that the item names; "all" covers the rows in no group as well. What the tables do not
        tell, by sources, by second annotators or of tone, has no row.
    """
    photographs = availability[availability["status"] == "ok"].merge(duplicates, on="id", validate="one_to_one")
    photographs["verified"] = photographs["verified"].astype(bool)  # without any photograph, its type is not known
    in_cluster = photographs.loc[photographs["group"] != ""].groupby("cluster")["group"].nunique()
    photographs["in_cluster"] = photographs["size"] > 1
    photographs["across_groups"] = photographs["cluster"].map(in_cluster).fillna(0) > 1
    photographs["conflicting"] = photographs.groupby("cluster")["condition"].transform("nunique") > 1
    group, found = availability["group"], availability["status"] == "ok"
    photographed, verified = photographs["group"], photographs["verified"]
    across = "in a cluster with both groups" if len(groups) == 2 else "in a cluster with several groups"
    rows: list[Row] = [
        ("counts", "rows of the metadata", "images", _ones(availability), group),
        ("counts", "photographs found", "images", _ones(photographs), photographed),
        ("counts", "photographs found", "share", found, group),
        ("counts", "without a usable photograph", "images", ~found, group),
        ("counts", "photographs with the checksum of the metadata", "share", verified, photographed),
        *_source_rows(availability["source"], found, group),
        *(_annotator_rows(availability) if "other_group" in availability else []),
        ("duplicates", "in a cluster of near-duplicates", "share", photographs["in_cluster"], photographed),
        ("duplicates", across, "images", photographs["across_groups"], photographed),
        ("duplicates", "in a cluster with several conditions", "images", photographs["conflicting"], photographed),
        *(_tone_rows(photographs, tone) if tone is not None else []),
    ]
    return pd.DataFrame(
        {"section": section, "item": item, "unit": unit, "group": name, "number": _number(values, members, unit, name)}
        for section, item, unit, values, members in rows
        for name in [*groups, ALL]
    )


def _source_rows(source: pd.Series, found: pd.Series, group: pd.Series) -> list[Row]:
    """Shares by source; of two known ones that of the first says all."""
    if not several_sources(source):
        return []
    known = sorted(set(source) - {UNKNOWN_SOURCE})
    rows: list[Row] = []
    for name in known[:1] if len(known) <= 2 else known:
        rows.append(("source", f"from {name}, metadata", "share", source == name, group))
        rows.append(("source", f"from {name}, photographs", "share", (source == name)[found], group[found]))
    return [*rows, ("source", "from no known source, metadata", "share", source == UNKNOWN_SOURCE, group)]


def _annotator_rows(availability: pd.DataFrame) -> list[Row]:
    """How far the two pools of annotators agree; nothing where no image has a type of both."""
    first, second = availability["skin_type"], availability["second_skin_type"]
    both = (first != MISSING_TYPE) & (second != MISSING_TYPE)
    if not both.any():
        return []
    apart, group = (first - second)[both].abs(), availability["group"]
    return [
        ("annotators", "both pools gave a type", "images", both, group),
        ("annotators", "of these: same type", "share", apart == 0, group[both]),
        ("annotators", "of these: at most one type apart", "share", apart <= 1, group[both]),
        ("annotators", "same group by both pools", "share", group == availability["other_group"], group),
    ]


def _tone_rows(photographs: pd.DataFrame, tone: pd.DataFrame) -> list[Row]:
    """Apparent tone of the photographs with enough skin, and how many have too little."""
    measured = photographs.merge(tone[["id", "ita", "few_skin"]], on="id", validate="one_to_one")
    few = measured["few_skin"].astype(bool)
    return [
        ("tone", "median apparent tone (ITA)", "degrees", measured.loc[~few, "ita"], measured.loc[~few, "group"]),
        ("tone", "less than 5 % skin pixels", "share", few, measured["group"]),
    ]


def _ones(table: pd.DataFrame) -> pd.Series:
    return pd.Series(1, table.index)


def _number(values: pd.Series, members: pd.Series, unit: str, name: str) -> float:
    """The number of one group, or of all rows."""
    return float((values if name == ALL else values[members == name]).agg(UNITS[unit]))
