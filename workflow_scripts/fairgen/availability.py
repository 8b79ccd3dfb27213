"""Which photographs are there, which are not and why, and whether that is enough for the study."""

from collections.abc import Collection

import pandas as pd

from fairgen.errors import UserError
from fairgen.metadata import ROW_COLUMNS, assign_group

COLUMNS = [*ROW_COLUMNS, "status", "source", "verified", "detail"]


def require_available(
    availability: pd.DataFrame, skin_types: str, light: Collection[int], dark: Collection[int], minimum: float
) -> None:
    """Raise a `UserError` when less than the share `minimum` of the light or of the dark images is there.

    Args:
        availability: one row per metadata row, with `status` and the column `skin_types`.
        skin_types: name of the column that decides on the group.
        light: skin types of the light group.
        dark: skin types of the dark group.
        minimum: in [0, 1], for each group.
    """
    group = assign_group(availability[skin_types], light, dark)
    there = availability["status"].eq("ok").groupby(group).agg(["sum", "size"])
    counts = {name: (int(there["sum"].get(name, 0)), int(there["size"].get(name, 0))) for name in ["light", "dark"]}
    if all(total and found / total >= minimum for found, total in counts.values()):
        return
    reasons = availability.loc[(group != "") & (availability["status"] != "ok"), "status"].value_counts()
    raise UserError(
        f"too few photographs: data.min_available asks for {minimum:.0%} of each group; found "
        + " and ".join(f"{found} of {total} {name} images" for name, (found, total) in counts.items())
        + " ("
        + (", ".join(f"{status}: {count}" for status, count in reasons.items()) or "the metadata has no such rows")
        + "). Add a folder or archive of <md5hash>.jpg files to data.sources, or lower data.min_available. "
        "data/availability.csv in the results folder lists every image."
    )
