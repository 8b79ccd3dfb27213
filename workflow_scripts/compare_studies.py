"""Put finished studies side by side, as a page and as a table: make compare STUDIES="paper isolated"."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from evenhand.report.comparison import build_comparison, comparison_table, differing, models_table, read_study
from evenhand.workflow.errors import UserError, run
from evenhand.workflow.files import write_text
from evenhand.workflow.tables import write_csv

TEMPLATE = Path(__file__).parent / "evenhand" / "report" / "templates" / "comparison.html.j2"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, help="folders of the studies: results/<study>")
    parser.add_argument("--output", required=True, type=Path, help="the page; its tables are beside it, as CSV")
    args = parser.parse_args(argv)
    names = [path.name for path in args.results]
    if len(set(names)) != len(names) or len(names) < 2:
        raise UserError(f"expected two or more different studies, found {', '.join(names)}. Name each of them once.")
    studies = [read_study(path) for path in args.results]
    models, models_csv = models_table(studies), args.output.with_name(f"{args.output.stem}_models.csv")
    write_text(build_comparison(TEMPLATE, studies, models_csv.name), args.output)
    write_csv(comparison_table(studies), args.output.with_suffix(".csv"))
    if len(models):
        write_csv(models, models_csv)
    print(f"{len(studies)} studies that differ in {len(differing(studies))} settings: {args.output}")


if __name__ == "__main__":
    run(main)
