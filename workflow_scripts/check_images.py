"""Stop the study when too few photographs are there; otherwise write the record that later stages start from."""

import argparse
import hashlib
from collections.abc import Sequence

import numpy as np

from evenhand.data.availability import FOUND, require_available
from evenhand.workflow.errors import run
from evenhand.workflow.files import sha256_of, write_json
from evenhand.workflow.tables import as_csv, read_table


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--availability", required=True, help="data/availability.csv")
    parser.add_argument("--images", required=True, help="data/images.npy")
    parser.add_argument("--index", required=True, help="data/images.csv")
    parser.add_argument("--label", required=True, help="column of skin types that decides on the group")
    parser.add_argument("--light", required=True, type=int, nargs="+", help="skin types of the light group")
    parser.add_argument("--dark", required=True, type=int, nargs="+", help="skin types of the dark group")
    parser.add_argument("--min-available", required=True, type=float, help="smallest share of each group, 0 to 1")
    parser.add_argument("--synthetic", action="store_true", help="the photographs are generated")
    parser.add_argument("--output", required=True, help="JSON: number, size and sums of the images")
    args = parser.parse_args(argv)

    availability = read_table(args.availability, ["status", "detail", args.label])
    require_available(availability, args.label, args.light, args.dark, args.min_available)
    images = np.load(args.images, mmap_mode="r")
    # Everything that a later stage reads: which image is in which row, its labels and size.
    rows = read_table(args.index).drop(columns=FOUND)
    record = {
        "n": images.shape[0],
        "side": images.shape[1],
        "sha256": sha256_of(args.images),
        "index_sha256": hashlib.sha256(as_csv(rows).encode()).hexdigest(),
        "synthetic": args.synthetic,
    }
    write_json(record, args.output)
    print(f"{len(images)} of {len(availability)} photographs, {images.shape[1]} pixels a side")


if __name__ == "__main__":
    run(main)
