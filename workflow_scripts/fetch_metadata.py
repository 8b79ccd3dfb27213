"""Fetch the annotation table from a URL or path, check it and write it in the project's form."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from fairgen.errors import UserError, run
from fairgen.files import sha256_of, write_csv
from fairgen.metadata import read_metadata
from fairgen.seals import seal
from fairgen.web import fetch_pinned


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="URL or path of the table")
    parser.add_argument("--sha256", required=True, help="expected SHA-256 of the table, or none")
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
            raise UserError(f"{path}: expected the annotation table here; no such file. Correct data.metadata.")
        found = sha256_of(path)
        if expected and found != expected:
            raise UserError(
                f"{path}: expected SHA-256 {expected}; found {found}. If this table is meant, put the new sum or null "
                "into data.metadata_sha256."
            )
    table = read_metadata(path)
    write_csv(table, args.output)
    seal([args.output], args.sums)
    print(f"{len(table)} rows from {args.source}")
    print(table["fitzpatrick_scale"].value_counts().sort_index().to_string())


if __name__ == "__main__":
    run(main)
