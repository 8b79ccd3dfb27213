"""Reading per-image evaluation tables, one file and only the needed columns at a time."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from evenhand.workflow.errors import UserError
from evenhand.workflow.tables import read_parquet

KEYS = ["train_set", "compared_share", "run", "group", "md5hash"]


def evaluation_paths(folder: str | Path, train_sets: Sequence[str], runs: int) -> list[Path]:
    """The evaluation tables of a study: `<folder>/<train_set>/run<run>/evaluation.parquet`.

    Sorted by training set, so that sums over models have the same last digit however the sets are listed.
    """
    sets = sorted(train_sets)
    return [Path(folder) / name / f"run{run}" / "evaluation.parquet" for name in sets for run in range(runs)]


def read_evaluation(
    path: str | Path,
    groups: Sequence[str],
    metrics: Sequence[str],
    labels: Sequence[str] = (),
    partial: Sequence[str] = (),
) -> pd.DataFrame:
    """One model's evaluation: the keys, the metrics and the labels, sorted by group and md5hash.

    Sorting makes every sum over the rows the same number whatever the order of the file.

    Args:
        path: of the table.
        groups: names of the groups of the study.
        metrics: columns of finite numbers.
        labels: columns that are empty in no row.
        partial: columns that may be NaN where the image has no such number (no skin was found); the tables count those
            images.

    Raises:
        UserError: a column or a label is missing, a metric is NaN or infinite, a group is none of the study, an image
            appears twice, or the file holds more than one training set or run.
    """
    columns = [*KEYS, *metrics, *labels, *partial]
    rows = read_parquet(path, columns)
    if rows.empty:
        raise UserError(f"{path}: expected one row per test image, found none.")
    for key in ["train_set", "compared_share", "run"]:
        if rows[key].nunique(dropna=False) != 1 or rows[key].isna().any():
            raise UserError(f"{path}: expected one value of {key} in the file, found {rows[key].unique().tolist()}.")
    strange = sorted(set(rows["group"]) - set(groups), key=str)
    if strange:
        raise UserError(f"{path}: expected the groups {', '.join(groups)}; found {strange}.")
    for label in labels:
        empty = rows[label].isna() | (rows[label] == "")
        if empty.any():  # no group of rows would have them
            raise UserError(f"{path}: column {label}: expected a name in every row, found {int(empty.sum())} empty.")
    _refuse_not_finite(rows, metrics, path)
    if rows["md5hash"].duplicated().any():
        image = rows.loc[rows["md5hash"].duplicated(), "md5hash"].iloc[0]
        raise UserError(f"{path}: expected every test image once; {image} appears more than once.")
    return rows.sort_values(["group", "md5hash"], ignore_index=True)


def read_evaluations(
    paths: Iterable[str | Path],
    groups: Sequence[str],
    metrics: Sequence[str],
    labels: Sequence[str] = (),
    partial: Sequence[str] = (),
) -> Iterator[pd.DataFrame]:
    """The evaluations one after the other (`read_evaluation`), so that memory holds one file at a time."""
    for path in paths:
        yield read_evaluation(path, groups, metrics, labels, partial)


def of_groups(rows: pd.DataFrame, groups: Sequence[str]) -> pd.DataFrame:
    """The rows of some groups, such as those of a pair."""
    return rows[rows["group"].isin(list(groups))]


def by_model(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows of one model after the other, as `read_evaluations` gives them."""
    for _, model in rows.groupby(["train_set", "run"], sort=True):
        yield model


def by_run(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows of one run after the other, those of all training sets together."""
    for _, run in rows.groupby("run", sort=True):
        yield run


def set_and_share(model: pd.DataFrame) -> tuple[str, float]:
    """The training set of a model and its share of the compared group."""
    return str(model["train_set"].iloc[0]), float(model["compared_share"].iloc[0])


def distinct_images(models: Iterable[pd.DataFrame], groups: Sequence[str]) -> pd.DataFrame:
    """Every test image of these groups once: group and md5hash, sorted."""
    found: dict[str, set[str]] = {group: set() for group in groups}
    for model in models:
        for group in groups:
            found[group].update(model.loc[model["group"] == group, "md5hash"])
    rows = [(group, image) for group in groups for image in sorted(found[group])]
    return pd.DataFrame(rows, columns=["group", "md5hash"])


def by_train_set(rows: pd.DataFrame) -> Iterator[tuple[str, float, pd.DataFrame]]:
    """(training set, its share of the compared group, its rows), in the order of that share."""
    for key, part in rows.groupby(["compared_share", "train_set"], sort=True):
        share, name = key
        yield str(name), float(str(share)), part


def _refuse_not_finite(rows: pd.DataFrame, metrics: Sequence[str], path: str | Path) -> None:
    for metric in metrics:
        wrong = ~np.isfinite(rows[metric].to_numpy(dtype=float))
        if wrong.any():
            raise UserError(
                f"{path}: column {metric}: expected finite numbers, found {int(wrong.sum())} that are not, such as "
                f"image {rows.loc[wrong, 'md5hash'].iloc[0]}. The losses of this model are in history.csv "
                "beside the file."
            )
