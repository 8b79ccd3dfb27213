"""Draw the manifest of one run: two test sets and every training set."""

import argparse
import json
from collections.abc import Sequence

from fairgen.errors import run
from fairgen.seals import seal
from fairgen.splits import (
    available,
    design_from,
    draw_manifest,
    feasible_train_size,
    isolate_clusters,
    read_candidates,
)
from fairgen.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="data/images.csv: the images that are there")
    parser.add_argument("--duplicates", help="data/duplicates.csv, with splits.leakage: isolate")
    parser.add_argument("--config", required=True, type=json.loads, help='JSON: {"seed": ..., "splits": {...}}')
    parser.add_argument("--run", required=True, type=int)
    parser.add_argument("--output", required=True, help="CSV: run, role, group, md5hash; its sum is put beside it")
    args = parser.parse_args(argv)

    splits = args.config["splits"]
    design = design_from(args.config["seed"], splits)
    images = read_candidates(args.images, splits)
    if args.duplicates:
        found = len(images)
        images = isolate_clusters(images, read_table(args.duplicates))
        print(f"{found - len(images)} images dropped: their near-duplicates are in the other group")
    counts = available(images)
    train_size = feasible_train_size(design, counts)
    print(f"run {args.run}: {counts['light']} light and {counts['dark']} dark images available")
    print(f"training sets of {train_size} images (requested: {design.train_size}), test sets of {design.test_size}")
    write_csv(draw_manifest(images, design, args.run, train_size), args.output)
    seal(args.output)


if __name__ == "__main__":
    run(main)
