"""The data set in numbers, for the light group, the dark group and all rows."""

import pandas as pd

from evenhand.data.metadata import MISSING_TYPE, UNKNOWN_SOURCE, several_sources

GROUPS = ["light", "dark", "all"]
Row = tuple[str, str, str, pd.Series, pd.Series]  # section, item, unit, values and their groups


def dataset_card(availability: pd.DataFrame, duplicates: pd.DataFrame, tone: pd.DataFrame) -> pd.DataFrame:
    """One number per row and group.

    Args:
        availability: one row per metadata row: md5hash, group, the two columns of skin types, the group
            of the other one (`other_group`), atlas, label, status, verified.
        duplicates: one row per photograph: md5hash, cluster, size.
        tone: one row per photograph: md5hash, ita, few_skin.

    Returns:
        section, item, unit, light, dark, all. Shares are fractions of the rows that the item names; "all" covers the
        skin types in neither group and the missing ones as well. What the table does not tell, by sources or by second
        annotators, has no row.
    """
    photographs = availability[availability["status"] == "ok"].merge(duplicates, on="md5hash", validate="one_to_one")
    photographs = photographs.merge(tone[["md5hash", "ita", "few_skin"]], on="md5hash", validate="one_to_one")
    for column in ["verified", "few_skin"]:  # without any photograph, their type is not known
        photographs[column] = photographs[column].astype(bool)
    groups = photographs.loc[photographs["group"] != ""].groupby("cluster")["group"].nunique()
    photographs["in_cluster"] = photographs["size"] > 1
    photographs["across_groups"] = photographs["cluster"].map(groups).fillna(0) > 1
    photographs["conflicting"] = photographs.groupby("cluster")["label"].transform("nunique") > 1
    both = availability[
        (availability["fitzpatrick_scale"] != MISSING_TYPE) & (availability["fitzpatrick_centaur"] != MISSING_TYPE)
    ]
    same_type = both["fitzpatrick_scale"] == both["fitzpatrick_centaur"]
    one_apart = (both["fitzpatrick_scale"] - both["fitzpatrick_centaur"]).abs() <= 1
    with_skin = photographs[~photographs["few_skin"]]
    group = availability["group"]
    photographed, verified = photographs["group"], photographs["verified"]
    found, agree = availability["status"] == "ok", availability["group"] == availability["other_group"]
    rows: list[Row] = [
        ("counts", "rows of the metadata", "images", _ones(availability), group),
        ("counts", "photographs found", "images", _ones(photographs), photographed),
        ("counts", "photographs found", "share", found, group),
        ("counts", "without a usable photograph", "images", ~found, group),
        ("counts", "photographs with the MD5 of the metadata", "share", verified, photographed),
        *_source_rows(availability["atlas"], found, group),
    ]
    if len(both):
        rows += [
            ("annotators", "both pools gave a type", "images", _ones(both), both["group"]),
            ("annotators", "of these: same type", "share", same_type, both["group"]),
            ("annotators", "of these: at most one type apart", "share", one_apart, both["group"]),
            ("annotators", "same group by both pools", "share", agree, group),
        ]
    rows += [
        ("duplicates", "in a cluster of near-duplicates", "share", photographs["in_cluster"], photographed),
        ("duplicates", "in a cluster with both groups", "images", photographs["across_groups"], photographed),
        ("duplicates", "in a cluster with several conditions", "images", photographs["conflicting"], photographed),
        ("tone", "median apparent tone (ITA)", "degrees", with_skin["ita"], with_skin["group"]),
        ("tone", "less than 5 % skin pixels", "share", photographs["few_skin"], photographed),
    ]
    reduce = {"images": "sum", "share": "mean", "degrees": "median"}
    return pd.DataFrame(
        {
            "section": section,
            "item": item,
            "unit": unit,
            **{name: float(_of(values, group, name).agg(reduce[unit])) for name in GROUPS},
        }
        for section, item, unit, values, group in rows
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


def _ones(table: pd.DataFrame) -> pd.Series:
    return pd.Series(1, table.index)


def _of(values: pd.Series, group: pd.Series, name: str) -> pd.Series:
    return values if name == "all" else values[group == name]
