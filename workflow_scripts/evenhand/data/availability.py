"""Which photographs are there, which are not and why, and whether that is enough for the study."""

from collections.abc import Sequence

import pandas as pd

from evenhand.data.metadata import assign_group
from evenhand.splits.groups import Group
from evenhand.workflow.errors import UserError

# Where an image of data/images.csv was found: no reason to do anything again, so no later stage reads it.
FOUND = ["source", "verified"]


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
        "Most are there under the right name, but their bytes have another MD5 than the id, as copies that were "
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
    """How many rows ended in each way: status, source, verified, n."""
    counted = availability.groupby(["status", "source", "verified"]).size().rename("n").reset_index()
    return counted.sort_values(["n", "status", "source"], ascending=[False, True, True], ignore_index=True)
