"""Reading per-image evaluation tables, one file and only the needed columns at a time."""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from evenhand.splits.groups import Group, Pair, groups_from, pairs_of, read_train_sets
from evenhand.workflow.errors import UserError
from evenhand.workflow.planning import start_suffix
from evenhand.workflow.progress import track
from evenhand.workflow.tables import parquet_columns, read_parquet, read_table


def table_parser(description: str | None, config: str) -> argparse.ArgumentParser:
    """A parser with `--read` and `--write` for tables and `--config` for what `config` describes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--read", nargs="*", default=[], type=Path, help="tables to read, such as tables/runs.csv")
    parser.add_argument("--write", required=True, nargs="+", type=Path, help="tables to write")
    parser.add_argument("--config", required=True, type=json.loads, help=f"JSON: {config}")
    return parser


def parse_tables(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    *,
    reads: Sequence[str],
    writes: Sequence[str],
    optional: Sequence[str] = (),
) -> argparse.Namespace:
    """The parsed options, with `read` and `write` as paths by the name of the table.

    Args:
        parser: from `table_parser`.
        argv: the command line; None: that of the process.
        reads: tables that are needed.
        writes: tables that are made.
        optional: tables that are read, or made, where they are given.
    """
    args = parser.parse_args(argv)
    for option, needed in (("read", reads), ("write", writes)):
        paths = {path.stem: path for path in getattr(args, option)}
        if not set(needed) <= set(paths) <= {*needed, *optional} or len(paths) < len(getattr(args, option)):
            parser.error(f"--{option}: expected {', '.join(needed)}, found {', '.join(map(str, paths.values()))}")
        setattr(args, option, paths)
    return args


KEYS = ["train_set", "compared_share", "run", "group", "id"]


def evaluation_paths(folder: str | Path, train_sets: Sequence[str], runs: int) -> list[Path]:
    """The evaluation tables of a study: `<folder>/<train_set>/run<run>/evaluation.parquet`.

    Sorted by training set, so that sums over models have the same last digit however the sets are listed.
    """
    sets = sorted(train_sets)
    return [Path(folder) / name / f"run{run}" / "evaluation.parquet" for name in sets for run in range(runs)]


def start_paths(path: Path, starts: int) -> list[Path]:
    """The same file of every start of a run, from that of the first (`start_suffix`)."""
    folder = path.parent
    return [folder.with_name(folder.name + start_suffix(start)) / path.name for start in range(starts)]


def mean_of_starts(starts: Sequence[pd.DataFrame], numbers: Sequence[str]) -> pd.DataFrame:
    """The mean of the columns `numbers` of each image over the starts of a model; NaN where one has none.

    Raises:
        UserError: the starts were not evaluated on the same images.
    """
    first = starts[0]
    if len(starts) == 1:
        return first
    for other in starts[1:]:
        if not first[KEYS].equals(other[KEYS]):
            raise UserError(
                f"training set {first['train_set'].iloc[0]}, run {first['run'].iloc[0]}: expected the same test images "
                "in the evaluations of all starts, found others."
            )
    means = np.mean([start[list(numbers)].to_numpy(dtype=float) for start in starts], axis=0)
    return first.assign(**dict(zip(numbers, means.T, strict=True)))


def read_evaluation(
    path: str | Path,
    groups: Sequence[str],
    metrics: Sequence[str],
    labels: Sequence[str] = (),
    partial: Sequence[str] = (),
) -> pd.DataFrame:
    """One model's evaluation: the keys, the metrics and the labels, sorted by group and id.

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
    if rows["id"].duplicated().any():
        image = rows.loc[rows["id"].duplicated(), "id"].iloc[0]
        raise UserError(f"{path}: expected every test image once; {image} appears more than once.")
    return rows.sort_values(["group", "id"], ignore_index=True)


def read_evaluations(
    paths: Iterable[str | Path],
    groups: Sequence[str],
    metrics: Sequence[str],
    labels: Sequence[str] = (),
    partial: Sequence[str] = (),
    starts: int = 1,
) -> Iterator[pd.DataFrame]:
    """The evaluations one after the other (`read_evaluation`), so that memory holds those of one model at a time.

    Of several starts, the mean of each image over them: what a run has to say of it.
    """
    for path in paths:
        models = [read_evaluation(one, groups, metrics, labels, partial) for one in start_paths(Path(path), starts)]
        yield mean_of_starts(models, [*metrics, *partial])


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
                f"image {rows.loc[wrong, 'id'].iloc[0]}. The losses of this model are in history.csv "
                "beside the file."
            )


def study_parser(description: str | None, config: str) -> argparse.ArgumentParser:
    """`table_parser` with the options that name the evaluations of a study."""
    parser = table_parser(description, config)
    # The folder, not the files: three thousand paths do not fit on a command line.
    parser.add_argument("--evaluations", required=True, help="folder with <train_set>/run<run>/evaluation.parquet")
    parser.add_argument("--train-sets", required=True, type=read_train_sets, help="settings/train_sets.json")
    parser.add_argument("--runs", required=True, type=int, help="number of runs, counted from 0")
    parser.add_argument("--starts", default=1, type=int, help="models on one training set; others in run<run>.start<k>")
    return parser


def groups_of(args: argparse.Namespace) -> tuple[Group, ...]:
    """The groups of the study, from `groups` in the configuration of a script: the reference first."""
    return groups_from(args.config["groups"])


def group_names(args: argparse.Namespace) -> list[str]:
    """The names of the groups, in their order."""
    return [group.name for group in groups_of(args)]


def study_pairs(args: argparse.Namespace) -> list[Pair]:
    """The pairs of groups to compare, that of the claims first."""
    return pairs_of(groups_of(args))


def paths_of(args: argparse.Namespace) -> list[Path]:
    """The evaluations that `args` names."""
    return evaluation_paths(args.evaluations, [train_set.name for train_set in args.train_sets], args.runs)


def measured(args: argparse.Namespace, measures: Iterable[str]) -> list[str]:
    """Those of `measures` that the evaluations have: a model family lacks what it does not give."""
    columns = parquet_columns(paths_of(args)[0])
    return [name for name in measures if name in columns]


def stream(
    args: argparse.Namespace, metrics: Sequence[str], labels: Sequence[str] = (), partial: Sequence[str] = ()
) -> Iterator[pd.DataFrame]:
    """The evaluations that `args` names, one after the other, with progress on stderr: memory holds one of them."""
    paths = paths_of(args)
    tracked = track(paths, len(paths), "reading", "models")
    return read_evaluations(tracked, group_names(args), metrics, labels, partial, args.starts)


def stream_runs(
    args: argparse.Namespace, metrics: Sequence[str], labels: Sequence[str] = (), partial: Sequence[str] = ()
) -> Iterator[pd.DataFrame]:
    """The evaluations of all training sets in one table, one run after the other."""
    paths, groups = paths_of(args), group_names(args)
    for run in track(range(args.runs), args.runs, "reading", "runs"):
        models = read_evaluations(paths[run :: args.runs], groups, metrics, labels, partial, args.starts)
        yield pd.concat(models, ignore_index=True)


def stream_starts(args: argparse.Namespace, metrics: Sequence[str]) -> Iterator[list[pd.DataFrame]]:
    """For one run after the other, by start, the evaluations of all training sets in one table."""
    paths, groups = paths_of(args), group_names(args)
    for run in track(range(args.runs), args.runs, "reading", "starts"):
        starts = zip(*(start_paths(path, args.starts) for path in paths[run :: args.runs]), strict=True)
        yield [pd.concat(read_evaluations(models, groups, metrics), ignore_index=True) for models in starts]


def optional_table(path: Path | None) -> pd.DataFrame | None:
    """A table that is not made in every study; None without a file."""
    return None if path is None else read_table(path)


def read_clusters(path: Path | None) -> dict[str, str] | None:
    """Duplicate cluster of each image that is in one with others, from data/duplicates.csv; None without a file."""
    table = optional_table(path)
    if table is None:
        return None
    return dict(zip(table["id"], "cluster " + table["cluster"], strict=True))
