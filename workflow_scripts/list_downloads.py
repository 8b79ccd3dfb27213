"""List the photographs that no local source holds: those have to come from their URLs."""

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from evenhand.data.download import is_held
from evenhand.data.image_names import stored_hashes, stored_names
from evenhand.data.sources import locate_images, sources_from
from evenhand.workflow.errors import run
from evenhand.workflow.files import read_rows, row_writer, seal


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metadata", required=True, help="data/metadata.csv")
    parser.add_argument("--sources", required=True, type=json.loads, help="JSON: the list data.sources")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--work",
        required=True,
        type=Path,
        help="folder for copies out of compressed tars; packing uses and deletes them",
    )
    parser.add_argument("--output", required=True, help="CSV: id, url")
    parser.add_argument("--sums", help="its SHA-256")
    args = parser.parse_args(argv)

    hashes = stored_hashes(args.metadata)
    local = sources_from([entry for entry in args.sources if "urls" not in entry], args.work)
    locations = locate_images(local, stored_names(args.metadata), args.work)
    rows, wanted = read_rows(args.metadata), 0
    with row_writer(args.output, ["id", "url"]) as write, ThreadPoolExecutor(args.workers) as pool:
        while part := list(islice(rows, 1000)):
            names = [row["id"] for row in part]
            held = pool.map(is_held, names, [locations.get(name, []) for name in names])
            for row in (row for row, there in zip(part, held, strict=True) if not there):
                write(row)
                wanted += 1
    seal([args.output], args.sums)
    print(f"{len(hashes) - wanted} of {len(hashes)} photographs are in local sources, {wanted} are not")


if __name__ == "__main__":
    run(main)
