"""Stratified folds that keep all rows of a patient (or duplicate cluster) together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from fairgen.errors import UserError

Rows = NDArray[np.int64]
# Test, validation and training part need one fold each.
FEWEST_FOLDS = 3


@dataclass(frozen=True)
class Fold:
    """Row numbers of the test fold and of its training fold, split once more for early stopping.

    The validation part is the next fold: stratified and with no group of the training part in it.
    """

    test: Rows
    train: Rows
    valid: Rows

    @property
    def fitting(self) -> Rows:
        """The training fold as a whole: whatever is fitted may see these rows, and no others."""
        return np.sort(np.concatenate([self.train, self.valid]))


def make_folds(
    rows: Rows,
    classes: NDArray[np.int64],
    groups: NDArray[np.int64],
    count: int,
    seed: int,
    allow_fewer: bool,
    what: str,
) -> list[Fold]:
    """Split `rows` into `count` folds, stratified by class; a group is in one fold only.

    Args:
        rows: the row numbers to split, those whose label is known.
        classes: class of each of these rows.
        groups: group of each of these rows.
        allow_fewer: take the largest possible number of folds when a class has too few groups.
        what: name of the attribute, for messages.

    Raises:
        UserError: a class has fewer groups than folds, and fewer folds are not allowed or not possible.
    """
    names, per_class = np.unique(classes, return_counts=True)
    if len(names) < 2:
        raise UserError(
            f"{what}: expected at least two classes, found {len(names)} in {len(classes)} rows; "
            "choose another attribute"
        )
    distinct = {int(name): len(np.unique(groups[classes == name])) for name in names}
    rarest = min(distinct, key=lambda name: distinct[name])
    possible = min(count, distinct[rarest])
    advice = "merge or drop the class, or set probe.folds lower or probe.allow_fewer_folds: true"
    if possible < FEWEST_FOLDS or (possible < count and not allow_fewer):
        raise UserError(
            f"{what}: {count} folds need {count} groups in every class, but class number {rarest} has "
            f"{distinct[rarest]} (in {per_class[names.tolist().index(rarest)]} rows); {advice}"
        )
    for folds in range(possible, FEWEST_FOLDS - 1, -1):
        parts = _parts(classes, groups, folds, seed)
        if all(len(np.unique(classes[part])) == len(names) for part in parts):
            break
        if not allow_fewer:
            raise UserError(f"{what}: {folds} grouped folds leave a fold without one of the classes; {advice}")
    else:
        raise UserError(f"{what}: no number of folds has every class in every fold; {advice}")
    answer = []
    for index, part in enumerate(parts):
        follower = (index + 1) % len(parts)
        rest = [other for place, other in enumerate(parts) if place not in (index, follower)]
        answer.append(Fold(rows[part], np.sort(rows[np.concatenate(rest)]), rows[parts[follower]]))
    return answer


def _parts(classes: NDArray[np.int64], groups: NDArray[np.int64], count: int, seed: int) -> list[Rows]:
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed % 2**32)
    return [test for _, test in splitter.split(np.zeros(len(classes)), classes, groups)]
