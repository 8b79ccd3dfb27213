"""List the photographs that no local source holds: those have to come from their URLs."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from fairgen.download import images_to_fetch
from fairgen.errors import run
from fairgen.files import write_csv
from fairgen.metadata import load_metadata
from fairgen.sources import locate_images, sources_from


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

    metadata = load_metadata(args.metadata)
    local = sources_from([entry for entry in args.sources if "urls" not in entry], args.work)
    locations = locate_images(local, metadata["md5hash"], args.work)
    wanted = images_to_fetch(metadata["md5hash"].tolist(), locations, args.workers)
    write_csv(metadata.loc[metadata["md5hash"].isin(wanted), ["md5hash", "url"]], args.output)
    print(f"{len(metadata) - len(wanted)} of {len(metadata)} photographs are in local sources, {len(wanted)} are not")


if __name__ == "__main__":
    run(main)
