"""Find, verify and decode the photographs of a study into one array, and say for every one what became of it."""

import argparse
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fairgen.availability import COLUMNS
from fairgen.decoding import MAX_PIXELS
from fairgen.errors import run
from fairgen.files import move_into_place, write_csv
from fairgen.metadata import load_metadata
from fairgen.packing import ARRAY, Settings, index_of, pack_images
from fairgen.sources import locate_images, sources_from


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metadata", required=True, help="data/metadata.csv")
    parser.add_argument("--sources", required=True, type=json.loads, help="JSON: the list data.sources")
    parser.add_argument("--downloads", required=True, type=Path, help="folder with the downloaded images")
    parser.add_argument("--download-status", nargs="*", default=[], help="one CSV per download shard")
    parser.add_argument("--side", required=True, type=int, help="pixels a side of the packed images")
    parser.add_argument("--icc", required=True, choices=["convert", "ignore"], help="embedded colour profiles")
    parser.add_argument("--max-pixels", type=int, default=MAX_PIXELS, help="larger photographs are refused")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--work",
        required=True,
        type=Path,
        help="folder for what a killed run goes on from, on the same file system as --images",
    )
    parser.add_argument("--images", required=True, help="output: uint8 array (n, side, side, 3)")
    parser.add_argument("--index", required=True, help="output: CSV, row i describes images[i]")
    parser.add_argument("--availability", required=True, help="output: CSV, one row per row of the metadata")
    args = parser.parse_args(argv)

    metadata = load_metadata(args.metadata)
    sources = sources_from(args.sources, args.downloads)
    locations = locate_images(sources, metadata["md5hash"], args.work)
    settings = Settings(args.side, args.icc, args.max_pixels)
    result = pack_images(
        metadata,
        locations,
        settings,
        work_folder=args.work,
        workers=args.workers,
    )
    write_csv(index_of(result), args.index)
    if args.download_status:
        downloads = pd.concat([pd.read_csv(path, dtype=str, keep_default_na=False) for path in args.download_status])
        # An image that no source holds was asked for at its URL: say how that went.
        reasons = result[["md5hash"]].merge(downloads, on="md5hash", how="left", validate="one_to_one")
        explained = (result["status"] == "missing") & reasons["status"].notna()
        for column in ["status", "detail"]:
            result[column] = result[column].mask(explained, reasons[column])
    write_csv(result[COLUMNS], args.availability)
    # Last of all: until then, a run that is killed goes on from it.
    move_into_place(args.work / ARRAY, args.images)
    shutil.rmtree(args.work)
    for status, count in result["status"].value_counts().items():
        print(f"{status}: {count}")


if __name__ == "__main__":
    run(main)
