"""The gap between the test groups per training set and metric, with its tests and its bootstrap interval."""

import argparse
from collections.abc import Sequence

import pandas as pd

from evenhand.splits.groups import Pair
from evenhand.stats.bootstrap import add_bootstrap, draw_images
from evenhand.stats.gaps import gap_table, run_table
from evenhand.stats.rows import (
    distinct_images,
    pair_generator,
    parse_tables,
    read_clusters,
    stream,
    study_pairs,
    study_parser,
)
from evenhand.stats.summary import GAP_METRICS
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "seed, stats, groups")
    args = parse_tables(parser, argv, reads=["runs", "design"], writes=["gaps"], optional=["together"])

    gaps = pd.concat([gaps_of(args, pair) for pair in study_pairs(args)])
    print(gaps.to_string(index=False))
    write_csv(gaps, args.write["gaps"])


def gaps_of(args: argparse.Namespace, pair: Pair) -> pd.DataFrame:
    """The rows of a pair. The evaluations are read for each anew: memory holds the draws of one pair."""
    stats = args.config["stats"]
    table = run_table(read_table(args.read["runs"]), read_table(args.read["design"]), pair, GAP_METRICS)
    gaps = gap_table(table, GAP_METRICS, stats["family"], stats["alpha"], stats["margins"])
    images = distinct_images(stream(args, []), pair)
    rng = pair_generator(args, "bootstrap", pair)
    draws = draw_images(images, pair, stats["resamples"], rng, read_clusters(args.read.get("together")))
    return add_bootstrap(gaps, stream(args, GAP_METRICS), pair, draws, 1 - stats["alpha"])


if __name__ == "__main__":
    run(main)
