"""What is predicted: an attribute or a disease, read from columns of the metadata, with missing labels counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairgen.errors import UserError
from fairgen.probes.networks import Labels

Kind = Literal["binary", "multiclass", "multilabel"]


@dataclass(frozen=True)
class TargetSpec:
    """How a target is made from metadata columns.

    Either `values` maps the cells (as text) to classes, or `bins` cuts a numeric column at its inner edges
    (left-closed: 0-39, 40-59 ...), or neither: every distinct cell is a class. Cells in `missing`, empty
    ones and, with `values`, those not listed count as not known.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    values: Mapping[str, str] = field(default_factory=dict)
    bins: tuple[float, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """Labels (n, outputs), NaN where not known; `classes` names binary and multi-class codes or the labels."""

    name: str
    kind: Kind
    classes: tuple[str, ...]
    values: NDArray[np.float32]

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


def make_target(name: str, classes: Sequence[str], codes: NDArray[np.int64]) -> Target:
    """A binary or multi-class target from class numbers; -1 is not known."""
    if len(classes) == 2:
        values = np.where(codes < 0, np.nan, codes).astype(np.float32)[:, None]
        return Target(name, "binary", tuple(classes), values)
    values = np.eye(len(classes), dtype=np.float32)[np.maximum(codes, 0)]
    values[codes < 0] = np.nan
    return Target(name, "multiclass", tuple(classes), values)


def read_target(table: pd.DataFrame, spec: TargetSpec, source: str) -> Target:
    """Read a target from text columns.

    Raises:
        UserError: a column or class is not there, a cell is not a number where one is needed, or the number
            of classes does not fit the kind.
    """
    absent = [column for column in spec.columns if column not in table]
    if absent:
        there = ", ".join(map(str, table.columns))
        raise UserError(f"{source}: {spec.name} needs the column {absent[0]!r}; the metadata has {there}")
    columns = {column: _cleaned(table[column], spec.missing) for column in spec.columns}
    if spec.kind == "multilabel":
        values = np.column_stack([_numbers(cells, spec, source) for cells in columns.values()])
        odd = sorted(set(values[~np.isnan(values)].tolist()) - {0.0, 1.0})
        if odd:
            raise UserError(f"{source}: {spec.name} needs 0, 1 or missing, found {odd[0]:g}; add it to `missing`")
        return Target(spec.name, spec.kind, spec.columns, values.astype(np.float32))
    cells = columns[spec.columns[0]]
    if spec.bins:
        numbers = _numbers(cells, spec, source)
        edges = np.asarray(spec.bins)
        codes = np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="right"))
        classes = _bin_names(spec.bins)
    else:
        classed = cells.map(dict(spec.values)) if spec.values else cells
        classes = list(dict.fromkeys(spec.values.values())) if spec.values else sorted(classed.dropna().unique())
        codes = classed.map({name: code for code, name in enumerate(classes)}).fillna(-1).to_numpy(dtype=np.int64)
    found = sorted(set(codes[codes >= 0].tolist()))
    if len(found) < len(classes):
        gone = next(name for code, name in enumerate(classes) if code not in found)
        seen = ", ".join(sorted(map(str, cells.dropna().unique()))[:10])
        raise UserError(
            f"{source}: no row has class {gone!r} of {spec.name}; its column holds: {seen}; correct the classes"
        )
    if len(classes) < 2 or (spec.kind == "binary") != (len(classes) == 2):
        wanted = "two" if spec.kind == "binary" else "three or more"
        raise UserError(
            f"{source}: {spec.name} is {spec.kind} and needs {wanted} classes, found {len(classes)}: {classes}; "
            "correct its kind or values, or leave it out"
        )
    return make_target(spec.name, classes, codes)


def count_classes(target: Target) -> list[tuple[str, int]]:
    """Rows per class (per label: positive rows), and rows not known under the name `(missing)`."""
    if target.kind == "multilabel":
        positive = np.nansum(target.values, axis=0).astype(int)
        counts = list(zip(target.classes, positive.tolist(), strict=True))
    else:
        counts = [(name, int((target.codes == code).sum())) for code, name in enumerate(target.classes)]
    return [*counts, ("(missing)", int((~target.known).sum()))]


def _cleaned(cells: "pd.Series[str]", missing: Sequence[str]) -> "pd.Series[str]":
    cells = cells.astype("object").where(cells.notna(), None)
    return cells.map(lambda cell: None if cell is None or str(cell).strip() in ("", *missing) else str(cell).strip())


def _numbers(cells: "pd.Series[str]", spec: TargetSpec, source: str) -> NDArray[np.float64]:
    numbers = pd.to_numeric(cells, errors="coerce")
    wrong = cells[numbers.isna() & cells.notna()]
    if len(wrong):
        raise UserError(
            f"{source}: {spec.name} needs numbers, found {wrong.iloc[0]!r} ({len(wrong)} cells); add it to `missing`"
        )
    answer: NDArray[np.float64] = numbers.to_numpy(dtype=np.float64)
    return answer


def _bin_names(edges: Sequence[float]) -> list[str]:
    inner = [f"{low:g} to below {high:g}" for low, high in pairwise(edges)]
    return [f"below {edges[0]:g}", *inner, f"{edges[-1]:g} and above"]
