"""What is predicted: an attribute or a disease, read from columns of the metadata; all that is left out is counted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evenhand.data.cells import Key, cell_key, cell_number
from evenhand.workflow.errors import UserError

Rows = NDArray[np.int64]  # numbers of rows
Kind = Literal["binary", "multiclass", "multilabel"]
Loss = Literal["sigmoid", "softmax"]
EMPTY, MISSING, UNLISTED = "empty", "listed in missing", "not listed in values"  # why a cell is no label
SHOWN_CELLS = 10  # of a column, in a message


@dataclass(frozen=True)
class TargetSpec:
    """How a target is made from metadata columns.

    Either `values` maps cells to classes (those of a multilabel target are 1 and 0), or `bins` cuts a numeric column at
    its inner edges (left-closed: 0-39, 40-59 ...), or neither: every distinct cell is a class, and 1 and 0, or true
    and false, are the classes of a multilabel target. Cells in `missing`, empty ones that `values` does not list and,
    with `values`, all others that it does not list count as not known.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    values: Mapping[str, str] = field(default_factory=dict)
    bins: tuple[float, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """Rows whose cell in `column` gives no label, and why."""

    column: str
    cell: str
    rows: int
    why: str


@dataclass(frozen=True)
class Labels:
    """Labels of all rows: shape (n, outputs); one-hot for `softmax`, 0, 1 or NaN (not known) for `sigmoid`."""

    values: NDArray[np.float32]
    loss: Loss


@dataclass(frozen=True)
class Target:
    """Labels (n, outputs), NaN where not known; `classes` names binary and multi-class codes or the labels."""

    name: str
    kind: Kind
    classes: tuple[str, ...]
    values: NDArray[np.float32]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def known(self) -> NDArray[np.bool_]:
        """Rows with a label (for several labels: with one at least)."""
        return np.asarray(~np.isnan(self.values).all(axis=1))

    @property
    def codes(self) -> NDArray[np.int64]:
        """Class number of each row, -1 where not known; for binary and multi-class targets."""
        if self.kind == "multiclass":
            return np.where(self.known, np.nan_to_num(self.values).argmax(axis=1), -1)
        return np.where(self.known, np.nan_to_num(self.values[:, 0]), -1).astype(np.int64)

    @property
    def labels(self) -> Labels:
        """The form the networks take."""
        return Labels(self.values, "softmax" if self.kind == "multiclass" else "sigmoid")

    @property
    def outputs(self) -> tuple[str, ...]:
        """What each column of `values` is about: the classes or labels; of a binary target its second class."""
        return self.classes[1:] if self.kind == "binary" else self.classes


def make_target(
    name: str, classes: Sequence[str], codes: NDArray[np.int64], left_out: tuple[LeftOut, ...] = ()
) -> Target:
    """A binary or multi-class target from class numbers; -1 is not known."""
    if len(classes) == 2:
        values = np.where(codes < 0, np.nan, codes).astype(np.float32)[:, None]
        return Target(name, "binary", tuple(classes), values, left_out)
    values = np.eye(len(classes), dtype=np.float32)[np.maximum(codes, 0)]
    values[codes < 0] = np.nan
    return Target(name, "multiclass", tuple(classes), values, left_out)


def read_target(table: pd.DataFrame, spec: TargetSpec, source: str) -> Target:
    """Read a target from text columns; the index of the table says where a row is (its name: line or row).

    Raises:
        UserError: a column or class is not there, a cell is not a number where one is needed, or the number
            of classes does not fit the kind.
    """
    absent = [column for column in spec.columns if column not in table]
    if absent:
        there = ", ".join(map(str, table.columns))
        raise UserError(f"{source}: {spec.name} needs the column {absent[0]!r}; the metadata has {there}")
    read = [_read_column(table[column], spec, f"{source}: {spec.name}") for column in spec.columns]
    left_out = tuple(entry for _, found in read for entry in found)
    if spec.kind == "multilabel":
        values = np.column_stack([_zero_or_one(classes, f"{source}: {spec.name}") for classes, _ in read])
        for column, labels in zip(spec.columns, values.T, strict=True):
            if np.isnan(labels).all():
                raise UserError(f"{source}: {spec.name}: no row has a label in {column!r}; {_held(table[column])}")
        return Target(spec.name, spec.kind, spec.columns, values, left_out)
    found = read[0][0]
    if spec.values:
        classes = list(dict.fromkeys(spec.values.values()))
    else:
        classes = _bin_names(spec.bins) if spec.bins else sorted({name for name in found if name is not None})
    gone = [name for name in classes if not (found == name).any()]
    if gone:
        raise UserError(f"{source}: {spec.name}: no row has the class {gone[0]!r}; {_held(table[spec.columns[0]])}")
    if len(classes) < 2 or (spec.kind == "binary") != (len(classes) == 2):
        wanted = "two" if spec.kind == "binary" else "three or more"
        raise UserError(
            f"{source}: {spec.name} is {spec.kind}, which has {wanted} classes; found {len(classes)}: "
            f"{', '.join(map(repr, classes[:SHOWN_CELLS]))}"
        )
    numbers = {None: -1} | {name: code for code, name in enumerate(classes)}
    return make_target(spec.name, classes, np.array([numbers[name] for name in found], dtype=np.int64), left_out)


def count_classes(target: Target) -> list[tuple[str, int]]:
    """Rows per class (per label: positive rows), and rows not known under the name `(missing)`."""
    if target.kind == "multilabel":
        positive = np.nansum(target.values, axis=0).astype(int)
        counts = list(zip(target.classes, positive.tolist(), strict=True))
    else:
        counts = [(name, int((target.codes == code).sum())) for code, name in enumerate(target.classes)]
    return [*counts, ("(missing)", int((~target.known).sum()))]


def never_scored(target: Target) -> dict[str, str]:
    """Labels of which all known rows are alike, so that no AUC exists, each with the reason."""
    found = {}
    for name, column in zip(target.outputs, target.values.T, strict=True):
        alike = set(column[~np.isnan(column)].tolist())
        if len(alike) == 1:
            (value,) = alike
            found[name] = (
                f"all {int((~np.isnan(column)).sum()):,} rows with a label are {value:g}, none is {1 - value:g}"
            )
    return found


def _read_column(cells: "pd.Series[str]", spec: TargetSpec, what: str) -> tuple["pd.Series[str]", list[LeftOut]]:
    """The class of each row, None where not known, and the cells that give none."""
    missing = {cell_key(cell) for cell in spec.missing}
    listed = {cell_key(cell): name for cell, name in spec.values.items()}
    spelling = {} if spec.values or spec.bins else _spellings(cells)
    classes: dict[str, str | None] = {}
    left_out = []
    for cell, rows in Counter(cells).items():
        key = cell_key(cell)
        classes[cell], why = None, ""
        if key in missing:
            why = MISSING
        elif key in listed:
            classes[cell] = listed[key]
        elif key == ("text", ""):
            why = EMPTY
        elif spec.values:
            why = UNLISTED
        elif spec.bins:
            classes[cell] = _bin(cell, spec.bins)
        else:
            classes[cell] = spelling[key]
        if why:
            left_out.append(LeftOut(str(cells.name), cell.strip(), rows, why))
    unread = cells[[classes[cell] == "" for cell in cells]]
    if len(unread):
        raise UserError(
            f"{what} needs numbers in {cells.name!r}, or cells that `missing` lists; found {_where(unread)}"
        )
    left_out.sort(key=lambda entry: (-entry.rows, entry.cell))
    found = pd.Series([classes[cell] for cell in cells], index=cells.index, name=cells.name, dtype="object")
    return found, left_out


def _spellings(cells: "pd.Series[str]") -> dict[Key, str]:
    """How the cells that are the same are mostly written; their class is called so."""
    counts: dict[Key, Counter[str]] = {}
    for cell, rows in Counter(cells.str.strip()).items():
        counts.setdefault(cell_key(cell), Counter())[cell] += rows
    return {key: min(found, key=lambda text: (-found[text], text)) for key, found in counts.items()}


def _zero_or_one(classes: "pd.Series[str]", what: str) -> NDArray[np.float32]:
    labels: dict[str | None, float] = {None: np.nan}
    for name in classes.dropna().unique():
        kind, value = cell_key(name)
        if kind == "text" or value not in (0, 1):
            raise UserError(
                f"{what} needs 0, 1 or an empty cell in {classes.name!r}, or `values` and `missing` that say what "
                f"others mean; found {_where(classes[classes == name])}"
            )
        labels[name] = float(value)
    return np.array([labels[name] for name in classes], dtype=np.float32)


def _bin(cell: str, edges: Sequence[float]) -> str:
    """The bin of a number, "" where the cell holds none."""
    number = cell_number(cell)
    return "" if number is None else _bin_names(edges)[int(np.searchsorted(edges, number, side="right"))]


def _bin_names(edges: Sequence[float]) -> list[str]:
    inner = [f"{low:g} to below {high:g}" for low, high in pairwise(edges)]
    return [f"below {edges[0]:g}", *inner, f"{edges[-1]:g} and above"]


def _where(cells: "pd.Series[str]") -> str:
    return f"{cells.iloc[0]!r} in {cells.index.name or 'row'} {cells.index[0]} ({len(cells)} such rows)"


def _held(cells: "pd.Series[str]") -> str:
    """What a column holds, the commonest first, in whatever order its rows are."""
    counts = sorted(Counter(cells).items(), key=lambda entry: (-entry[1], entry[0]))
    shown = ", ".join(f"{cell!r} ({rows})" for cell, rows in counts[:SHOWN_CELLS])
    return f"{cells.name!r} holds {shown}" + (f" and {len(counts) - SHOWN_CELLS} others" * (len(counts) > SHOWN_CELLS))
