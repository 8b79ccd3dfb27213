"""Find, verify and decode the photographs of a study into one array, and say for every one what became of it."""

import argparse
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from evenhand.data.decoding import MAX_PIXELS
from evenhand.data.image_names import Stored, stored_checksums, stored_names
from evenhand.data.metadata import SOUGHT
from evenhand.data.packing import ARRAY, Outcome, Settings, pack_images, read_outcomes
from evenhand.data.sources import locate_images, sources_from
from evenhand.workflow.errors import run
from evenhand.workflow.files import move_into_place, read_header, read_rows, row_writer, write_checksums
from evenhand.workflow.finished import make_once

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
    parser.add_argument("--download-status", type=Path, help="folder of shard<n>.csv, how the downloads went")
    parser.add_argument("--shards", type=int, default=0, help="number of these")
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
    parser.add_argument("--contents", type=json.loads, help="JSON: sums of what is in the folders and archives")
    parser.add_argument("--archive-sums", nargs="*", default=[], type=Path, help="files with sums of archives")
    parser.add_argument("--finished", type=Path, help="folder that keeps the products, for equal jobs of other studies")
    parser.add_argument("--images", required=True, type=Path, help="output: uint8 array (n, side, side, 3)")
    parser.add_argument("--index", required=True, type=Path, help="output: CSV, row i describes images[i]")
    parser.add_argument("--availability", required=True, type=Path, help="output: CSV, one row per row of the metadata")
    parser.add_argument("--sums", type=Path, help="output: SHA-256 of these three")
    args = parser.parse_args(argv)

    settings = [args.sources, args.contents, args.side, args.icc, args.max_pixels]
    read = [args.metadata, *args.archive_sums, *_shards(args)]
    products = [args.images, args.index, args.availability, args.sums]
    make_once(args.finished, settings, read, products, lambda: pack(args))


def pack(args: argparse.Namespace) -> None:
    """Pack the photographs that `args` ask for and write the tables."""
    # Nothing is held for every image: the lists lie on disk, the tables are read and written row by row.
    checksums = stored_checksums(args.metadata)
    locations = locate_images(sources_from(args.sources, args.downloads), stored_names(args.metadata), args.work)
    settings = Settings(args.side, args.icc, args.max_pixels)
    pack_images(checksums, locations, settings, work_folder=args.work, workers=args.workers)
    downloads = Stored(_read_downloads(_shards(args)), Download)
    counts: Counter[str] = Counter()
    told = [column for column in read_header(args.metadata) if column not in SOUGHT]
    index_columns = ["row", *told, "found_in", "verified", "width", "height"]
    columns = [*told, "status", "found_in", "verified", "detail"]
    with row_writer(args.index, index_columns) as write_index, row_writer(args.availability, columns) as write:
        for row, found in zip(read_rows(args.metadata), read_outcomes(args.work), strict=True):
            outcome = _explained(found, downloads.get(row["id"]))
            described = row | outcome._asdict()
            write(described)
            if outcome.status == "ok":
                write_index({"row": counts["ok"], **described})
            counts[outcome.status] += 1
    write_checksums([args.work / ARRAY, args.index, args.availability], args.sums)
    # Last of all: until then, a run that is killed goes on from it.
    move_into_place(args.work / ARRAY, args.images)
    shutil.rmtree(args.work)
    for status, count in counts.most_common():
        print(f"{status}: {count}")


def _shards(args: argparse.Namespace) -> list[Path]:
    return [args.download_status / f"shard{number}.csv" for number in range(args.shards)]


def _read_downloads(paths: Sequence[Path]) -> Iterator[tuple[str, Download]]:
    for path in paths:
        for row in read_rows(path):
            yield row["id"], Download(row["status"], row["detail"])


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
