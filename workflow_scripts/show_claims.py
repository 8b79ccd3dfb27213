"""Print the claims of a finished study with their verdicts: make show STUDY=demo."""

import argparse
import json
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fairgen.claims_text import claims_text
from fairgen.errors import UserError, run


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="folder of the study: results/<study>")
    args = parser.parse_args(argv)

    tables = args.results / "tables"
    record = args.results / "data" / "images.json"
    for path in (tables / "claims.csv", record):
        if not path.is_file():
            there = sorted(str(found.parents[1]) for found in args.results.parent.glob("*/tables/claims.csv"))
            raise UserError(
                f"expected {path} of a finished study, found none. Run the study first, or name one that is there: "
                f"{', '.join(there) or 'none is'}."
            )
    claims = [pd.read_csv(path) for path in (tables / "claims.csv", tables / "probe_claims.csv") if path.is_file()]
    synthetic = json.loads(record.read_text("utf-8"))["synthetic"]
    width = shutil.get_terminal_size().columns
    print(claims_text(args.results.name, synthetic, pd.concat(claims, ignore_index=True), width))


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends the program, not with a traceback
    run(main)
