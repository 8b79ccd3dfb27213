"""Trends over the dark share of the training set, and the share at which both groups do equally well."""

import argparse
import json
from collections.abc import Sequence

import pandas as pd

from evenhand.stats.gaps import run_table
from evenhand.stats.sweep import sweep_table
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-means", required=True, help="tables/runs.csv")
    parser.add_argument("--design", required=True, help="tables/design.csv")
    parser.add_argument("--config", required=True, type=json.loads, help='JSON: {"stats": {...}}')
    parser.add_argument("--output", required=True, help="CSV: slopes and crossing point per metric")
    args = parser.parse_args(argv)

    metrics = ["mse", "latent_std"]
    table = run_table(read_table(args.run_means), read_table(args.design), metrics)
    sweep = pd.concat([sweep_table(table, metric, args.config["stats"]["alpha"]) for metric in metrics])
    print(sweep.to_string(index=False))
    write_csv(sweep, args.output)


if __name__ == "__main__":
    run(main)
