"""The gap with the mix of conditions and sources held fixed: by standardisation and by regression."""

import argparse
from collections.abc import Sequence

import pandas as pd

from evenhand.splits.groups import Pair
from evenhand.stats.models import model_gaps
from evenhand.stats.rows import (
    parse_tables,
    read_clusters,
    stream,
    stream_runs,
    study_pairs,
    study_parser,
)
from evenhand.stats.ruler import with_bias
from evenhand.stats.strata import adjusted_gaps
from evenhand.stats.summary import error_totals
from evenhand.workflow.errors import run
from evenhand.workflow.tables import write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "stats, groups")
    args = parse_tables(parser, argv, reads=[], writes=["adjusted", "models"], optional=["together", "ruler_bias"])

    found = [gaps_of(args, pair) for pair in study_pairs(args)]
    adjusted, models = (pd.concat(tables) for tables in zip(*found, strict=True))
    # Both are of the MSE.
    adjusted, models = (with_bias(table, args.read.get("ruler_bias"), "mse") for table in (adjusted, models))
    print(adjusted.to_string(index=False), models.to_string(index=False), sep="\n\n")
    write_csv(adjusted, args.write["adjusted"])
    write_csv(models, args.write["models"])


def gaps_of(args: argparse.Namespace, pair: Pair) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of a pair in both tables. The evaluations are read for each anew: memory holds the images of one."""
    stats = args.config["stats"]
    level = 1 - stats["alpha"]
    images, cells = error_totals(stream(args, ["mse"], ["condition", "source"]), pair)
    clusters, rules = read_clusters(args.read.get("together")), (stats["min_images"], stats["alpha"])
    runs = stream_runs(args, ["mse"], ["condition", "source"])
    adjusted = adjusted_gaps(images, runs, pair, clusters, args.runs, *rules, stats["claims"]["vanishing"])
    return adjusted, model_gaps(images, cells, stream_runs(args, ["mse"], ["condition", "source"]), pair, level)


if __name__ == "__main__":
    run(main)
