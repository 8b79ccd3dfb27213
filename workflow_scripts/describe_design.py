"""Describe the sizes of the design: requested, possible with all images, and drawn."""

import argparse
import json
from collections.abc import Sequence

import pandas as pd

from fairgen.errors import run
from fairgen.files import write_csv
from fairgen.metadata import assign_group
from fairgen.splits import GROUPS, describe_design, design_from, draw_manifest, feasible_train_size


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metadata", required=True, help="data/metadata.csv: every image of the data set")
    parser.add_argument("--config", required=True, type=json.loads, help='JSON: {"seed": ..., "splits": {...}}')
    parser.add_argument("--manifests", nargs="*", default=[], help="manifests of all runs; none: plan from metadata")
    parser.add_argument("--output", required=True, help="CSV: one row per training set")
    args = parser.parse_args(argv)

    splits = args.config["splits"]
    design = design_from(args.config["seed"], splits)
    metadata = pd.read_csv(args.metadata, dtype={"md5hash": str})
    metadata["group"] = assign_group(metadata[splits["label"]], splits["light"], splits["dark"])
    planned_size = feasible_train_size(design, {group: int((metadata["group"] == group).sum()) for group in GROUPS})
    if args.manifests:
        manifests = [pd.read_csv(path, dtype={"md5hash": str}) for path in args.manifests]
    else:
        manifests = [draw_manifest(metadata, design, number, planned_size) for number in range(splits["runs"])]
    table = describe_design(design, planned_size, manifests)
    print(table.to_string(index=False))
    write_csv(table, args.output)


if __name__ == "__main__":
    run(main)
