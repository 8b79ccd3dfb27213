"""Targets that are not probed, since the data do not have them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

NOT_PROBED_COLUMNS = ["target", "role", "reason"]


class NotProbed(NamedTuple):
    """A target that is not probed."""

    target: str
    role: str  # attribute or disease
    reason: str


def not_probed_table(left_out: pd.DataFrame, members: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """What the report says of the targets that are not probed.

    Args:
        left_out: rows of `NotProbed` of all embeddings, with their source, dataset, model, train_set and run.
        members: every embedding, with its source.

    Returns:
        source, model, target, role, reason, n_left_out and n_embeddings (of the source, for which it was left out and
        all of them), warnings (the same as a sentence).
    """
    total = pd.Series([member["source"] for member in members]).value_counts()
    keys = ["source", "model", *NOT_PROBED_COLUMNS]
    counts = left_out.groupby(keys, sort=False).size().rename("n_left_out").reset_index()
    counts["n_embeddings"] = counts["source"].map(total)
    counts["warnings"] = [
        f"not probed: {row['target']} ({row['role']}, {row['model']})"
        + (
            f", {row['n_left_out']} of {row['n_embeddings']} embeddings"
            if row["n_left_out"] < row["n_embeddings"]
            else ""
        )
        + f": {row['reason']}"
        for row in counts.to_dict("records")
    ]
    return counts
