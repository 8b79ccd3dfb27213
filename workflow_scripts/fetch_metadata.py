"""Fetch the tables of annotations from URLs or paths, and make of them the one table of images, checked."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from evenhand.data.metadata import SKIN_TYPE_COLUMNS, given_levels
from evenhand.data.tables import read_images
from evenhand.data.web import fetch_pinned
from evenhand.workflow.errors import UserError, run
from evenhand.workflow.files import sha256_of, write_checksums
from evenhand.workflow.tables import write_image_table


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", required=True, nargs="+", help="URL or path of each table")
    parser.add_argument(
        "--config", required=True, type=json.loads,
        help="JSON: sha256 (of each, or none), dataset, columns, skin_types, join",
    )  # fmt: skip
    parser.add_argument("--downloads", default="results/downloads", type=Path, help="folder for downloaded files")
    parser.add_argument("--output", required=True, help="CSV: one checked row per image")
    parser.add_argument("--sums", help="its SHA-256")
    args = parser.parse_args(argv)

    config = args.config
    sums = config["sha256"] or [None] * len(args.tables)
    paths = [fetched(source, expected, args.downloads) for source, expected in zip(args.tables, sums, strict=True)]
    table = read_images(paths, config)
    write_image_table(table, args.output)
    write_checksums([args.output], args.sums)
    print(f"{len(table)} rows from {', '.join(args.tables)}")
    print(f"levels of conditions: {len(given_levels(table))}, sources: {', '.join(sorted(set(table['source'])))}")
    print(*(table[column].value_counts().sort_index().to_string() for column in SKIN_TYPE_COLUMNS), sep="\n")


def fetched(source: str, expected: str | None, downloads: Path) -> Path:
    """A table as a file, downloaded where `source` is a URL; its SHA-256 is `expected`, where there is one."""
    if source.startswith(("http://", "https://")):
        return fetch_pinned(source, downloads, expected)
    path = Path(source)
    if not path.is_file():
        raise UserError(f"{path}: expected the annotation table here; no such file (data.metadata).")
    found = sha256_of(path)
    if expected and found != expected:
        raise UserError(f"{path}: expected SHA-256 {expected}; found {found}: another table, or another version of it.")
    return path


if __name__ == "__main__":
    run(main)
