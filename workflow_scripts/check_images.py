"""Stop the study when too few photographs are there; otherwise write the record that later stages start from."""

import argparse
import hashlib
import json
from collections.abc import Sequence

import numpy as np

from evenhand.data.availability import FOUND, require_available
from evenhand.splits.groups import groups_from
from evenhand.workflow.errors import run
from evenhand.workflow.files import sha256_of, write_json
from evenhand.workflow.tables import as_csv, read_image_table


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--availability", required=True, help="data/availability.csv")
    parser.add_argument("--images", required=True, help="data/images.npy")
    parser.add_argument("--index", required=True, help="data/images.csv")
    parser.add_argument("--config", required=True, type=json.loads, help="JSON: groups, min_available, synthetic")
    parser.add_argument("--output", required=True, help="JSON: number, size and sums of the images")
    args = parser.parse_args(argv)

    availability = read_image_table(args.availability)
    require_available(availability, groups_from(args.config["groups"]), args.config["min_available"])
    images = np.load(args.images, mmap_mode="r")
    # Everything that a later stage reads: which image is in which row, its labels and size.
    rows = read_image_table(args.index).drop(columns=FOUND)
    record = {
        "n": images.shape[0],
        "side": images.shape[1],
        "sha256": sha256_of(args.images),
        "index_sha256": hashlib.sha256(as_csv(rows).encode()).hexdigest(),
        "synthetic": args.config["synthetic"],
    }
    write_json(record, args.output)
    print(f"{len(images)} of {len(availability)} photographs, {images.shape[1]} pixels a side")


if __name__ == "__main__":
    run(main)
