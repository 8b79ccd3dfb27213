"""The training sets of a design by name, in the order of the configuration."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple


class TrainSet(NamedTuple):
    """A training set of the design: its name and its fraction of dark images, in [0, 1]."""

    name: str
    dark_share: float


def train_sets_from(entries: Sequence[dict[str, Any]]) -> tuple[TrainSet, ...]:
    """The entries of `splits.train_sets`."""
    return tuple(TrainSet(entry["name"], entry["dark_share"]) for entry in entries)


def read_train_sets(path: str | Path) -> tuple[TrainSet, ...]:
    """The entries of `splits.train_sets` from settings/train_sets.json: a file, since a design may have many."""
    return train_sets_from(json.loads(Path(path).read_text("utf-8")))
