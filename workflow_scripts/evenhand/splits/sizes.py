"""The sizes of the design: what was asked for, what the data set allows and what was drawn."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from evenhand.splits.design import Design, Drawn


def describe_design(design: Design, planned_size: int, draws: Mapping[str, Sequence[Drawn]]) -> pd.DataFrame:
    """The sizes of the design, one row per training set.

    Args:
        planned_size: images per training set if every image of the metadata were available.
        draws: for each training set what was drawn for it, in each run.

    Returns:
        train_set, compared_share and reference_share (of the second and of the first group), requested, planned, drawn
        (images per set), mix (those of each group in words), distinct (different images per set, mean over runs),
        shared (fraction of a set's images that another run's set of the same name also holds, mean over pairs of runs;
        empty for one run), test_size (per group), n_runs.
    """
    rows = []
    for train_set in design.train_sets:
        drawn = draws[train_set.name]
        counts = {group.name: len(drawn[0].get(group.name, ())) for group in design.groups}
        distinct = [{name for names in run.values() for name in names} for run in drawn]
        rows.append(
            {
                "train_set": train_set.name,
                "compared_share": train_set.share(design.groups[1].name),
                "reference_share": train_set.share(design.groups[0].name),
                "requested": design.train_size,
                "planned": planned_size,
                "drawn": sum(counts.values()),
                "mix": ", ".join(f"{group} {n}" for group, n in counts.items()),
                "distinct": np.mean([len(members) for members in distinct]),
                "shared": _mean_overlap(distinct),
                "test_size": design.test_size,
                "n_runs": len(drawn),
            }
        )
    return pd.DataFrame(rows)


def _mean_overlap(sets: Sequence[set[str]]) -> float:
    """Mean over ordered pairs of |a and b| / |a|, counted per image, so that a thousand runs stay cheap."""
    n = len(sets)
    if n < 2:
        return math.nan
    appearances: dict[str, int] = {}
    for members in sets:
        for member in members:
            appearances[member] = appearances.get(member, 0) + 1
    return float(
        np.mean([sum(appearances[member] - 1 for member in members) / len(members) for members in sets]) / (n - 1)
    )
