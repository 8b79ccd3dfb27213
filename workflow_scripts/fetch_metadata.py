"""Fetch the annotation table from a URL or path, check it and write it in the project's form."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from evenhand.data.metadata import SKIN_TYPE_COLUMNS, given_levels, read_metadata, table_format
from evenhand.data.web import fetch_pinned
from evenhand.workflow.checksums import seal
from evenhand.workflow.errors import UserError, run
from evenhand.workflow.files import sha256_of
from evenhand.workflow.tables import write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="URL or path of the table")
    parser.add_argument("--sha256", required=True, help="expected SHA-256 of the table, or none")
    parser.add_argument("--columns", default={}, type=json.loads, help="JSON: the block data.columns")
    parser.add_argument("--skin-types", default={}, type=json.loads, help="JSON: the block data.skin_types")
    parser.add_argument("--downloads", default="results/downloads", type=Path, help="folder for downloaded files")
    parser.add_argument("--output", required=True, help="CSV: one checked row per image")
    parser.add_argument("--sums", help="its SHA-256")
    args = parser.parse_args(argv)

    expected = None if args.sha256 == "none" else args.sha256
    if args.source.startswith(("http://", "https://")):
        path = fetch_pinned(args.source, args.downloads, expected)
    else:
        path = Path(args.source)
        if not path.is_file():
            raise UserError(f"{path}: expected the annotation table here; no such file (data.metadata).")
        found = sha256_of(path)
        if expected and found != expected:
            raise UserError(
                f"{path}: expected SHA-256 {expected}; found {found}: another table, or another version of it."
            )
    table = read_metadata(path, table_format(args.columns, args.skin_types))
    write_csv(table, args.output)
    seal([args.output], args.sums)
    print(f"{len(table)} rows from {args.source}")
    print(f"levels of conditions: {len(given_levels(table))}, sources: {', '.join(sorted(set(table['atlas'])))}")
    print(*(table[column].value_counts().sort_index().to_string() for column in SKIN_TYPE_COLUMNS), sep="\n")


if __name__ == "__main__":
    run(main)
