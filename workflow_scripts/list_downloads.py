"""List the photographs that no local source holds: those have to come from their URLs."""

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fairgen.download import is_held
from fairgen.errors import run
from fairgen.files import csv_in_parts
from fairgen.metadata import load_hashes, load_metadata
from fairgen.sources import locate_images, sources_from
from fairgen.stored import Stored


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
    parser.add_argument("--output", required=True, help="CSV: md5hash, url")
    args = parser.parse_args(argv)

    hashes = Stored(((md5hash, ()) for md5hash in load_hashes(args.metadata)), lambda: ())
    local = sources_from([entry for entry in args.sources if "urls" not in entry], args.work)
    locations = locate_images(local, hashes, args.work)
    wanted = 0
    with csv_in_parts(args.output) as append, ThreadPoolExecutor(args.workers) as pool:
        for part in load_metadata(args.metadata):
            held = pool.map(is_held, part["md5hash"], [locations.get(md5hash, []) for md5hash in part["md5hash"]])
            lacking = part.loc[[not there for there in held], ["md5hash", "url"]]
            append(lacking)
            wanted += len(lacking)
    print(f"{len(hashes) - wanted} of {len(hashes)} photographs are in local sources, {wanted} are not")


if __name__ == "__main__":
    run(main)
