"""Sums over the evaluations of many models, of which memory holds one at a time."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from evenhand.splits.groups import Pair
from evenhand.stats.rows import of_groups
from evenhand.workflow.errors import UserError

BATCH = 50  # tables that wait to be added up
IMAGE = ["train_set", "compared_share", "group", "md5hash", "label", "atlas"]


def log_error(values: pd.Series) -> np.ndarray:
    """The natural logarithm; -inf for 0, which is an error that an image can have."""
    numbers = values.to_numpy(dtype=float)
    return np.log(numbers, out=np.full(len(numbers), -np.inf), where=numbers > 0)


class Totals:
    """Numbers added up by key. Memory grows with the number of different keys, not with that of the rows."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = list(keys)
        self._parts: list[pd.DataFrame] = []

    def add(self, rows: pd.DataFrame) -> None:
        """Add rows that have the key columns, and numbers in all others."""
        self._parts.append(rows.set_index(self._keys))
        if len(self._parts) > BATCH:
            self._parts = [self.table()]

    def table(self) -> pd.DataFrame:
        """The sums, indexed by the keys and sorted by them."""
        return pd.concat(self._parts).groupby(level=self._keys, sort=True).sum()


def error_totals(models: Iterable[pd.DataFrame], pair: Pair, metric: str = "mse") -> tuple[pd.DataFrame, pd.DataFrame]:
    """The errors of all models on the images of two groups, by image over its runs and by run and stratum over images.

    Args:
        models: evaluation rows of one model each, with the columns `IMAGE`, run and `metric` (not negative).
        pair: the groups; images of others are left out.
        metric: column.

    Returns:
        (images; cells), both with the columns train_set, compared_share, group, label, atlas, n (rows), total (of
        `metric`) and log_total (of its logarithm, -inf where one is 0); images with md5hash besides and
        one row per training set and image, cells with run and one row per run, training set and stratum.

    Raises:
        UserError: an error is negative, or a model has no test image of a group.
    """
    image_totals, cell_totals = Totals(IMAGE), Totals(["run", *(key for key in IMAGE if key != "md5hash")])
    for every in models:
        model = of_groups(every, pair)
        where = f"training set {every['train_set'].iloc[0]}, run {every['run'].iloc[0]}"
        if not (model[metric] >= 0).all():
            image = model.loc[~(model[metric] >= 0)].iloc[0]
            raise UserError(
                f"{where}: {metric} of image {image['md5hash']}: expected 0 or more, found {image[metric]}."
            )
        absent = sorted(set(pair) - set(model["group"]))
        if absent:
            raise UserError(f"{where}: expected {absent[0]} test images, found none.")
        rows = model[IMAGE].assign(n=1, total=model[metric], log_total=log_error(model[metric]))
        image_totals.add(rows)
        cell_totals.add(rows.drop(columns="md5hash").assign(run=model["run"]))
    return image_totals.table().reset_index(), cell_totals.table().reset_index()
