"""Find, verify and decode the photographs of a study into one array, and say for every one what became of it."""

import argparse
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fairgen.availability import COLUMNS
from fairgen.decoding import MAX_PIXELS
from fairgen.errors import run
from fairgen.files import csv_in_parts, move_into_place
from fairgen.metadata import ROW_COLUMNS, load_hashes, load_metadata
from fairgen.packing import ARRAY, Outcome, Settings, pack_images, read_outcomes
from fairgen.sources import locate_images, sources_from
from fairgen.stored import Stored

INDEX_COLUMNS = [*ROW_COLUMNS, "source", "verified", "width", "height"]
GONE = "it was downloaded, but the file is gone since; fetch it again with snakemake --forcerun list_downloads"


class Download(NamedTuple):
    """How the request for an image went."""

    status: str
    detail: str


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

    # Nothing is held for every image: the lists lie on disk, the tables are read and written part by part.
    hashes = Stored(((md5hash, ()) for md5hash in load_hashes(args.metadata)), lambda: ())
    locations = locate_images(sources_from(args.sources, args.downloads), hashes, args.work)
    settings = Settings(args.side, args.icc, args.max_pixels)
    pack_images(hashes, locations, settings, work_folder=args.work, workers=args.workers)
    downloads = Stored(_read_downloads(args.download_status), Download)
    outcomes = read_outcomes(args.work)
    counts: Counter[str] = Counter()
    packed = 0
    with csv_in_parts(args.index) as append_index, csv_in_parts(args.availability) as append_availability:
        for part in load_metadata(args.metadata):
            known = [
                _explained(outcome, downloads.get(md5hash))
                for md5hash, outcome in zip(part["md5hash"], islice(outcomes, len(part)), strict=True)
            ]
            result = part.join(pd.DataFrame(known, index=part.index, columns=Outcome._fields))
            append_availability(result[COLUMNS])
            there = result.loc[result["status"] == "ok", INDEX_COLUMNS]
            there.insert(0, "row", range(packed, packed + len(there)))
            append_index(there)
            packed += len(there)
            counts.update(result["status"])
    # Last of all: until then, a run that is killed goes on from it.
    move_into_place(args.work / ARRAY, args.images)
    shutil.rmtree(args.work)
    for status, count in counts.most_common():
        print(f"{status}: {count}")


def _read_downloads(paths: Sequence[str]) -> Iterator[tuple[str, Download]]:
    for path in paths:
        with pd.read_csv(path, dtype=str, keep_default_na=False, chunksize=1000) as parts:
            for part in parts:
                for md5hash, status, detail in part[["md5hash", "status", "detail"]].itertuples(index=False):
                    yield md5hash, Download(status, detail)


def _explained(outcome: Outcome, downloads: list[Download] | None) -> Outcome:
    """An image that no source holds was asked for at its URL: say how that went."""
    if outcome.status != "missing" or not downloads:
        return outcome
    status, detail = downloads[0]
    if status == "ok":
        return outcome._replace(detail=GONE)
    return outcome._replace(status=status, detail=detail)


if __name__ == "__main__":
    run(main)
