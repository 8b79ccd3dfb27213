"""Print the claims of a finished study with their verdicts: make show STUDY=demo."""

import argparse
import json
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from evenhand.report.claims import claims_text
from evenhand.workflow.errors import UserError, run
from evenhand.workflow.tables import read_table


def is_synthetic(results: Path) -> bool:
    """Whether a study's data are generated: from the record of its images, or of its probes where it has no images."""
    record = results / "data" / "images.json"
    if record.is_file():
        return bool(json.loads(record.read_text("utf-8"))["synthetic"])
    words = json.loads((results / "figures" / "probe_curves.json").read_text("utf-8"))
    return bool(words["alt"].startswith("Synthetic data"))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="folder of the study: results/<study>")
    parser.add_argument("--long", action="store_true", help="with what was found and the numbers behind it")
    args = parser.parse_args(argv)

    tables = [args.results / "tables" / f"{name}.csv" for name in ("claims", "probe_claims")]
    claims = [read_table(path) for path in tables if path.is_file()]
    if not claims:
        found = [
            *args.results.parent.glob("*/tables/claims.csv"),
            *args.results.parent.glob("*/tables/probe_claims.csv"),
        ]
        raise UserError(
            f"expected {tables[0]} of a finished study, found none. Run the study first, or name one that is there: "
            f"{', '.join(sorted({path.parts[-3] for path in found})) or 'none is'}."
        )
    synthetic = is_synthetic(args.results)
    width = shutil.get_terminal_size().columns
    print(claims_text(args.results.name, synthetic, pd.concat(claims, ignore_index=True), width, args.long))


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends the program, not with a traceback
    run(main)
