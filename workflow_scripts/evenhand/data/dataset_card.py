"""The data set in numbers, for each group and for all rows."""

from collections.abc import Sequence

import pandas as pd

from evenhand.data.metadata import MISSING_TYPE, UNKNOWN_SOURCE, several_sources

ALL = "all"
Row = tuple[str, str, str, pd.Series, pd.Series]  # section, item, unit, values and their groups
# Of each unit what the number is and how it is written: the column `value` holds text in this table as in others.
UNITS = {"images": ("sum", "{:.0f}"), "share": ("mean", "{:.4f}"), "degrees": ("median", "{:.1f}")}


def dataset_card(
    availability: pd.DataFrame, duplicates: pd.DataFrame, tone: pd.DataFrame | None, groups: Sequence[str]
) -> pd.DataFrame:
    """One number per row, of an item and a group.

    Args:
        availability: one row per metadata row: md5hash, group (its name, empty for none), atlas, label, status,
            verified; where annotators are compared also the two columns of skin types and the group by the other one
            (`other_group`).
        duplicates: one row per photograph: md5hash, cluster, size.
        tone: one row per photograph: md5hash, ita, few_skin. None: the photographs do not show skin.
        groups: their names, in the order of the table.

    Returns:
        section, item, unit, group, value (in words as `UNITS` says, empty where there is no number). Shares are
        fractions of the rows that the item names; "all" covers the rows in no group as well. What the tables do not
        tell, by sources, by second annotators or of tone, has no row.
    """
    photographs = availability[availability["status"] == "ok"].merge(duplicates, on="md5hash", validate="one_to_one")
    photographs["verified"] = photographs["verified"].astype(bool)  # without any photograph, its type is not known
    in_cluster = photographs.loc[photographs["group"] != ""].groupby("cluster")["group"].nunique()
    photographs["in_cluster"] = photographs["size"] > 1
    photographs["across_groups"] = photographs["cluster"].map(in_cluster).fillna(0) > 1
    photographs["conflicting"] = photographs.groupby("cluster")["label"].transform("nunique") > 1
    group, found = availability["group"], availability["status"] == "ok"
    photographed, verified = photographs["group"], photographs["verified"]
    across = "in a cluster with both groups" if len(groups) == 2 else "in a cluster with several groups"
    rows: list[Row] = [
        ("counts", "rows of the metadata", "images", _ones(availability), group),
        ("counts", "photographs found", "images", _ones(photographs), photographed),
        ("counts", "photographs found", "share", found, group),
        ("counts", "without a usable photograph", "images", ~found, group),
        ("counts", "photographs with the MD5 of the metadata", "share", verified, photographed),
        *_source_rows(availability["atlas"], found, group),
        *(_annotator_rows(availability) if "other_group" in availability else []),
        ("duplicates", "in a cluster of near-duplicates", "share", photographs["in_cluster"], photographed),
        ("duplicates", across, "images", photographs["across_groups"], photographed),
        ("duplicates", "in a cluster with several conditions", "images", photographs["conflicting"], photographed),
        *(_tone_rows(photographs, tone) if tone is not None else []),
    ]
    return pd.DataFrame(
        {"section": section, "item": item, "unit": unit, "group": name, "value": _value(values, members, unit, name)}
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
        rows.append(("atlas", f"from {name}, metadata", "share", source == name, group))
        rows.append(("atlas", f"from {name}, photographs", "share", (source == name)[found], group[found]))
    return [*rows, ("atlas", "from no known atlas, metadata", "share", source == UNKNOWN_SOURCE, group)]


def _annotator_rows(availability: pd.DataFrame) -> list[Row]:
    """How far the two pools of annotators agree; nothing where no image has a type of both."""
    first, second = availability["fitzpatrick_scale"], availability["fitzpatrick_centaur"]
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
    measured = photographs.merge(tone[["md5hash", "ita", "few_skin"]], on="md5hash", validate="one_to_one")
    few = measured["few_skin"].astype(bool)
    return [
        ("tone", "median apparent tone (ITA)", "degrees", measured.loc[~few, "ita"], measured.loc[~few, "group"]),
        ("tone", "less than 5 % skin pixels", "share", few, measured["group"]),
    ]


def _ones(table: pd.DataFrame) -> pd.Series:
    return pd.Series(1, table.index)


def _value(values: pd.Series, members: pd.Series, unit: str, name: str) -> str:
    """The number of one group, or of all rows, as text."""
    how, form = UNITS[unit]
    number = float((values if name == ALL else values[members == name]).agg(how))
    return "" if pd.isna(number) else form.format(number)
