"""Summarise what known damages cost, by group, luminance and tone, and judge whether the groups are charged alike."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from evenhand.splits.groups import groups_from, pairs_of
from evenhand.stats.rows import read_clusters
from evenhand.stats.ruler import bias_table, ruler_table
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_parquet, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--costs", required=True, help="data/ruler.parquet")
    parser.add_argument("--clusters", required=True, type=Path, help="data/together.csv")
    parser.add_argument("--config", required=True, type=json.loads, help="JSON: groups, alpha, margin")
    parser.add_argument("--ruler", required=True, help="output CSV: mean costs")
    parser.add_argument("--bias", required=True, help="output CSV: ratios between groups")
    args = parser.parse_args(argv)

    costs, level = read_parquet(args.costs), 1 - args.config["alpha"]
    named = read_clusters(args.clusters) or {}
    clusters = costs["id"].map(lambda name: named.get(name, name))
    parts = costs[[column for column in ("group", "luminance", "tone_class") if column in costs]]
    write_csv(ruler_table(costs, parts, clusters, level), args.ruler)
    pairs = pairs_of(groups_from(args.config["groups"]))
    bias = bias_table(costs, costs["group"], clusters, pairs, level, args.config["margin"])
    write_csv(bias, args.bias)
    print(bias.groupby(["compared", "measure"])["treatment"].value_counts().to_string())


if __name__ == "__main__":
    run(main)
