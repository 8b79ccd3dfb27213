"""The folds in which probes are fitted and tested: groups stay together, and every fold has every class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from evenhand.probes.settings import ProtocolSettings
from evenhand.probes.targets import Rows, Target
from evenhand.workflow.errors import UserError
from evenhand.workflow.seeds import derive_seed

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
    class_names: Sequence[str],
) -> list[Fold]:
    """Split `rows` into `count` folds, stratified by class; a group is in one fold only.

    Args:
        rows: the row numbers to split, those whose label is known.
        classes: class of each of these rows.
        groups: group of each of these rows.
        allow_fewer: take the largest possible number of folds when a class has too few groups.
        what: name of the attribute, for messages.
        class_names: by number of the class, for messages.

    Raises:
        UserError: a class has fewer groups than folds, and fewer folds are not allowed or not possible.
    """
    names, per_class = np.unique(classes, return_counts=True)
    if len(names) < 2:
        raise UserError(
            f"{what}: expected at least two classes, found {len(names)} in {len(classes)} rows that have one"
        )
    distinct = {int(name): len(np.unique(groups[classes == name])) for name in names}
    rarest = min(distinct, key=lambda name: distinct[name])
    possible = min(count, distinct[rarest])
    rule = "Every fold needs every class, and a group (a patient) is in one fold (probe.folds, probe.allow_fewer_folds)"
    if possible < FEWEST_FOLDS or (possible < count and not allow_fewer):
        raise UserError(
            f"{what}: {count} folds need {count} groups in every class; {class_names[rarest]!r} has "
            f"{distinct[rarest]}, in {per_class[names.tolist().index(rarest)]} rows. {rule}"
        )
    for folds in range(possible, FEWEST_FOLDS - 1, -1):
        parts = _parts(classes, groups, folds, seed)
        if all(len(np.unique(classes[part])) == len(names) for part in parts):
            break
        if not allow_fewer:
            raise UserError(f"{what}: {folds} folds of whole groups leave one without some class. {rule}")
    else:
        raise UserError(f"{what}: no number of folds has every class in every fold. {rule}")
    answer = []
    for index, part in enumerate(parts):
        follower = (index + 1) % len(parts)
        rest = [other for place, other in enumerate(parts) if place not in (index, follower)]
        answer.append(Fold(rows[part], np.sort(rows[np.concatenate(rest)]), rows[parts[follower]]))
    return answer


def _parts(classes: NDArray[np.int64], groups: NDArray[np.int64], count: int, seed: int) -> list[Rows]:
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed % 2**32)
    return [test for _, test in splitter.split(np.zeros(len(classes)), classes, groups)]


def attribute_folds(attribute: Target, groups: NDArray[np.int64], settings: ProtocolSettings) -> list[Fold]:
    """The folds on which an attribute is probed: its rows with a label, as `make_folds` splits them."""
    rows = np.flatnonzero(attribute.known)
    return make_folds(
        rows,
        attribute.codes[rows],
        groups[rows],
        settings.folds,
        derive_seed(settings.seed, "folds", attribute.name),
        settings.allow_fewer_folds,
        attribute.name,
        attribute.classes,
    )


def check_disease(attribute: str, disease: Target, folds: Sequence[Fold]) -> None:
    """Raise a `UserError` where a disease has a single class in some training fold of an attribute."""
    for fold in folds:
        values = disease.values[fold.train[disease.known[fold.train]]]
        stopping = disease.known[fold.valid].any()
        if not stopping or len(values) == 0 or (np.nanmin(values, axis=0) == np.nanmax(values, axis=0)).all():
            raise UserError(
                f"{disease.name}: among the rows where {attribute} is known, a training fold has one class of it only "
                f"({len(values)} rows with a label)"
            )
