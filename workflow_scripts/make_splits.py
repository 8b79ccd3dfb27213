"""Draw the manifest of one run: two test sets and every training set."""

import argparse
import json
from collections.abc import Sequence

import pandas as pd

from fairgen.errors import run
from fairgen.files import write_csv
from fairgen.metadata import assign_group
from fairgen.splits import GROUPS, design_from, draw_manifest, feasible_train_size, isolate_clusters


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="data/images.csv: the images that are there")
    parser.add_argument("--duplicates", help="data/duplicates.csv, with splits.leakage: isolate")
    parser.add_argument("--config", required=True, type=json.loads, help='JSON: {"seed": ..., "splits": {...}}')
    parser.add_argument("--run", required=True, type=int)
    parser.add_argument("--output", required=True, help="CSV: run, role, group, md5hash")
    args = parser.parse_args(argv)

    splits = args.config["splits"]
    design = design_from(args.config["seed"], splits)
    images = pd.read_csv(args.images, dtype={"md5hash": str})
    images["group"] = assign_group(images[splits["label"]], splits["light"], splits["dark"])
    images = images[images["group"].isin(GROUPS)]
    if args.duplicates:
        found = len(images)
        images = isolate_clusters(images, pd.read_csv(args.duplicates, dtype={"md5hash": str}))
        print(f"{found - len(images)} images dropped: their near-duplicates are in the other group")
    available = {group: int((images["group"] == group).sum()) for group in GROUPS}
    train_size = feasible_train_size(design, available)
    print(f"run {args.run}: {available['light']} light and {available['dark']} dark images available")
    print(f"training sets of {train_size} images (requested: {design.train_size}), test sets of {design.test_size}")
    write_csv(draw_manifest(images, design, args.run, train_size), args.output)


if __name__ == "__main__":
    run(main)
