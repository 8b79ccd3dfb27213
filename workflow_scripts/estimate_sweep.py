"""Trends over the dark share of the training set, and the share at which both groups do equally well."""

from collections.abc import Sequence

import pandas as pd

from evenhand.stats.gaps import run_table
from evenhand.stats.sweep import sweep_table
from evenhand.workflow.arguments import parse_tables, table_parser
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = table_parser(__doc__, "stats")
    args = parse_tables(parser, argv, reads=["runs", "design"], writes=["sweep"])

    metrics = ["mse", "latent_std"]
    table = run_table(read_table(args.read["runs"]), read_table(args.read["design"]), metrics)
    sweep = pd.concat([sweep_table(table, metric, args.config["stats"]["alpha"]) for metric in metrics])
    print(sweep.to_string(index=False))
    write_csv(sweep, args.write["sweep"])


if __name__ == "__main__":
    run(main)
