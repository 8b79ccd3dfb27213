"""Groups and training sets as values: who is in a group, how it is called, and of which groups a training set is made.

The first group of a study is the reference, the second the compared one; further ones are tested beside them. Without
pandas, whose import would take longer than a draw.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from evenhand.data.cells import Key, cell_key, cell_number
from evenhand.workflow.errors import UserError

# What no group is called, as results have something else by that name.
RESERVED = {
    "all": "the images of all groups (tables/tone_slopes.csv, tables/dataset_card.csv)",
    "gap": "the gap between two groups (tables/sweep.csv)",
    "neither": "the images that are in no group (tables/availability.csv)",
}

# The one training set of models that are not trained here: it has no image.
FROZEN = "frozen"


class Range(NamedTuple):
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float


class Pair(NamedTuple):
    """The names of two groups: the reference, and the one whose gap to it is measured (compared minus reference)."""

    reference: str
    compared: str


@dataclass(frozen=True)
class Group:
    """A group of images: those whose row has, in every column of `where`, one of the values or a number of the range.

    Attributes:
        name: in tables, paths and running text, such as `dark`.
        title: in full, such as "dark skin (FST 5 to 6)".
        where: by column of the table.
        test_only: no training set holds images of it.
    """

    name: str
    title: str
    where: Mapping[str, frozenset[Key] | Range]
    test_only: bool = False

    def has(self, row: Mapping[str, str]) -> bool:
        """Whether the image of that row is in the group."""
        return all(_fits(row[column], allowed) for column, allowed in self.where.items())


class TrainSet(NamedTuple):
    """A training set of the design: its name, and its fraction of images of each group; they add up to 1."""

    name: str
    mix: Mapping[str, float]

    def share(self, group: str) -> float:
        """The fraction of images of a group, in [0, 1]."""
        return float(self.mix.get(group, 0.0))


def groups_from(entries: Sequence[Mapping[str, Any]]) -> tuple[Group, ...]:
    """The entries of `splits.groups`: name, title, where (column to a list of values, or {from, to}) and test_only."""
    return tuple(
        Group(
            entry["name"],
            entry["title"],
            {column: _allowed(given) for column, given in entry["where"].items()},
            entry.get("test_only", False),
        )
        for entry in entries
    )


def pairs_of(groups: Sequence[Group]) -> list[Pair]:
    """Each group beside the reference, which is the first; the pair of the claims comes first."""
    return [Pair(groups[0].name, group.name) for group in groups[1:]]


def columns_of(groups: Sequence[Group]) -> list[str]:
    """The columns of the table that decide on the groups."""
    return list(dict.fromkeys(column for group in groups for column in group.where))


def group_of(row: Mapping[str, str], groups: Sequence[Group]) -> str:
    """The name of the group that the image of a row is in; empty: in none, so that it is left out.

    Args:
        row: at least the cells of `columns_of`.

    Raises:
        UserError: it is in two groups.
    """
    names = [group.name for group in groups if group.has(row)]
    if len(names) > 1:
        cells = ", ".join(f"{column} {row[column]!r}" for column in columns_of(groups))
        raise UserError(
            f"splits.groups: expected every image in one group at most; an image with {cells} is in "
            f"{' and in '.join(names)}."
        )
    return names[0] if names else ""


def train_sets_from(entries: Sequence[Mapping[str, Any]]) -> tuple[TrainSet, ...]:
    """The entries of `splits.train_sets`."""
    return tuple(TrainSet(entry["name"], entry["mix"]) for entry in entries)


def read_train_sets(path: str | Path) -> tuple[TrainSet, ...]:
    """The entries of `splits.train_sets` from settings/train_sets.json: a file, since a design may have many."""
    return train_sets_from(json.loads(Path(path).read_text("utf-8")))


def _allowed(given: Sequence[object] | Mapping[str, float]) -> frozenset[Key] | Range:
    if isinstance(given, Mapping):
        return Range(float(given.get("from", "-inf")), float(given.get("to", "inf")))
    return frozenset(cell_key(value) for value in given)


def _fits(cell: str, allowed: frozenset[Key] | Range) -> bool:
    if isinstance(allowed, Range):
        number = cell_number(cell)
        return number is not None and allowed.low <= number <= allowed.high
    return cell_key(cell) in allowed
