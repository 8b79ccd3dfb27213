"""List the photographs that no local source holds: those have to come from their URLs."""

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from evenhand.data.download import is_held
from evenhand.data.image_names import checksum_of, stored_names
from evenhand.data.sources import locate_images, sources_from
from evenhand.workflow.errors import run
from evenhand.workflow.files import read_rows, row_writer, write_checksums


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
    parser.add_argument("--output", required=True, help="CSV: id, url, checksum")
    parser.add_argument("--sums", help="its SHA-256")
    args = parser.parse_args(argv)

    local = sources_from([entry for entry in args.sources if "urls" not in entry], args.work)
    locations = locate_images(local, stored_names(args.metadata), args.work)
    rows, total, wanted = read_rows(args.metadata), 0, 0
    with row_writer(args.output, ["id", "url", "checksum"]) as write, ThreadPoolExecutor(args.workers) as pool:
        while part := list(islice(rows, 1000)):
            checksums = [checksum_of(row) for row in part]
            held = pool.map(is_held, checksums, [locations.get(row["id"], []) for row in part])
            missing = [entry for entry, there in zip(zip(part, checksums, strict=True), held, strict=True) if not there]
            for row, checksum in missing:
                write(row | {"checksum": checksum})
            total, wanted = total + len(part), wanted + len(missing)
    write_checksums([args.output], args.sums)
    print(f"{total - wanted} of {total} photographs are in local sources, {wanted} are not")


if __name__ == "__main__":
    run(main)
