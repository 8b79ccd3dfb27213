"""Options that many scripts share: tables, which are known by the names of their files, and configuration as JSON."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path


def table_parser(description: str | None, config: str) -> argparse.ArgumentParser:
    """A parser with `--read` and `--write` for tables and `--config` for what `config` describes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--read", nargs="*", default=[], type=Path, help="tables to read, such as tables/runs.csv")
    parser.add_argument("--write", required=True, nargs="+", type=Path, help="tables to write")
    parser.add_argument("--config", required=True, type=json.loads, help=f"JSON: {config}")
    return parser


def parse_tables(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    *,
    reads: Sequence[str],
    writes: Sequence[str],
    optional: Sequence[str] = (),
) -> argparse.Namespace:
    """The parsed options, with `read` and `write` as paths by the name of the table.

    Args:
        parser: from `table_parser`.
        argv: the command line; None: that of the process.
        reads: tables that are needed.
        writes: tables that are made.
        optional: tables that are read, or made, where they are given.
    """
    args = parser.parse_args(argv)
    for option, needed in (("read", reads), ("write", writes)):
        paths = {path.stem: path for path in getattr(args, option)}
        if not set(needed) <= set(paths) <= {*needed, *optional} or len(paths) < len(getattr(args, option)):
            parser.error(f"--{option}: expected {', '.join(needed)}, found {', '.join(map(str, paths.values()))}")
        setattr(args, option, paths)
    return args
