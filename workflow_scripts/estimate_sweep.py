"""Trends over the share of the compared group in the training set, and the share at which it does as well."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from evenhand.evaluation.measures import PRINCIPAL
from evenhand.splits.groups import groups_from, pairs_of, read_train_sets
from evenhand.stats.gaps import run_table, sweep_table
from evenhand.stats.rows import optional_table, parse_tables, table_parser
from evenhand.stats.ruler import with_bias
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = table_parser(__doc__, "stats, groups")
    # The tables know of the study's second group alone how large its share is.
    reads = ["runs", "covariances", "design", "train_sets"]
    args = parse_tables(parser, argv, reads=reads, writes=["sweep"], optional=["ruler_bias", "start_covariances"])

    runs, covariances, design = (read_table(args.read[name]) for name in ("runs", "covariances", "design"))
    starts = optional_table(args.read.get("start_covariances"))
    set_of = {train_set.name: train_set for train_set in read_train_sets(args.read["train_sets"])}
    parts, metrics = [], [name for name in PRINCIPAL if name in runs]
    for pair in pairs_of(groups_from(args.config["groups"])):
        table = run_table(runs, covariances, design, pair, metrics, starts=starts)
        table = replace(table, shares={name: set_of[name].share(pair.compared) for name in table.shares})
        parts += [sweep_table(table, metric, args.config["stats"]["alpha"]) for metric in metrics]
    sweep = with_bias(pd.concat(parts), args.read.get("ruler_bias"))
    print(sweep.to_string(index=False))
    write_csv(sweep, args.write["sweep"])


if __name__ == "__main__":
    run(main)
