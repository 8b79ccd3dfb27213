"""Describe the sizes of the design: requested, possible with all images, and drawn."""

import argparse
import json
from collections.abc import Sequence

from fairgen.errors import run
from fairgen.seals import check_seal
from fairgen.splits import (
    available,
    describe_design,
    design_from,
    draw_manifest,
    feasible_train_size,
    read_candidates,
)
from fairgen.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metadata", required=True, help="data/metadata.csv: every image of the data set")
    parser.add_argument("--config", required=True, type=json.loads, help='JSON: {"seed": ..., "splits": {...}}')
    parser.add_argument("--manifests", nargs="*", default=[], help="manifests of all runs; none: plan from metadata")
    parser.add_argument("--output", required=True, help="CSV: one row per training set")
    args = parser.parse_args(argv)

    splits = args.config["splits"]
    design = design_from(args.config["seed"], splits)
    images = read_candidates(args.metadata, splits)
    planned_size = feasible_train_size(design, available(images))
    for path in args.manifests:
        check_seal(path)
    if args.manifests:
        manifests = [read_table(path) for path in args.manifests]
    else:
        manifests = [draw_manifest(images, design, number, planned_size) for number in range(splits["runs"])]
    table = describe_design(design, planned_size, manifests)
    print(table.to_string(index=False))
    write_csv(table, args.output)


if __name__ == "__main__":
    run(main)
