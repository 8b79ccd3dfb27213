"""What the scripts that read all evaluations have in common."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from evenhand.splits.groups import Group, Pair, groups_from, pairs_of, read_train_sets
from evenhand.stats.rows import evaluation_paths, read_evaluations
from evenhand.workflow.arguments import table_parser
from evenhand.workflow.progress import track
from evenhand.workflow.seeds import generator
from evenhand.workflow.tables import read_table


def study_parser(description: str | None, config: str) -> argparse.ArgumentParser:
    """`table_parser` with the options that name the evaluations of a study."""
    parser = table_parser(description, config)
    # The folder, not the files: three thousand paths do not fit on a command line.
    parser.add_argument("--evaluations", required=True, help="folder with <train_set>/run<run>/evaluation.parquet")
    parser.add_argument("--train-sets", required=True, type=read_train_sets, help="settings/train_sets.json")
    parser.add_argument("--runs", required=True, type=int, help="number of runs, counted from 0")
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


def pair_generator(args: argparse.Namespace, purpose: str, pair: Pair) -> np.random.Generator:
    """The source of a pair's random numbers. A group added at the end of the study leaves those of the others."""
    own = [] if pair == study_pairs(args)[0] else [pair.compared]
    return generator(args.config["seed"], purpose, *own)


def paths_of(args: argparse.Namespace) -> list[Path]:
    """The evaluations that `args` names."""
    return evaluation_paths(args.evaluations, [train_set.name for train_set in args.train_sets], args.runs)


def stream(
    args: argparse.Namespace, metrics: Sequence[str], labels: Sequence[str] = (), partial: Sequence[str] = ()
) -> Iterator[pd.DataFrame]:
    """The evaluations that `args` names, one after the other, with progress on stderr: memory holds one of them."""
    paths = paths_of(args)
    return read_evaluations(track(paths, len(paths), "reading", "models"), group_names(args), metrics, labels, partial)


def stream_runs(args: argparse.Namespace, metrics: Sequence[str], labels: Sequence[str] = ()) -> Iterator[pd.DataFrame]:
    """The evaluations of all training sets in one table, one run after the other."""
    paths, groups = paths_of(args), group_names(args)
    for run in track(range(args.runs), args.runs, "reading", "runs"):
        yield pd.concat(read_evaluations(paths[run :: args.runs], groups, metrics, labels), ignore_index=True)


def read_clusters(path: Path | None) -> dict[str, str] | None:
    """Duplicate cluster of each image that is in one with others, from data/duplicates.csv; None without a file."""
    if path is None:
        return None
    table = read_table(path)
    return dict(zip(table["md5hash"], "cluster " + table["cluster"], strict=True))
