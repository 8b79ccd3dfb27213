"""Print the claims of a finished study, or one of its tables for a paper, or write all tables into a workbook.

make show STUDY=demo; make show STUDY=demo TABLE=headline FORMAT=latex; make show STUDY=demo FORMAT=xlsx.
"""

import argparse
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from evenhand.report.claims import claims_text, is_synthetic, read_claims
from evenhand.report.page import describe_table, read_dictionary
from evenhand.report.tables import for_paper, to_latex, to_markdown, write_workbook
from evenhand.workflow.errors import UserError, run
from evenhand.workflow.tables import read_table

FORMATS = ("markdown", "latex", "xlsx")
DICTIONARY = Path(__file__).parents[1] / "schemas" / "tables.yaml"


def show_table(results: Path, name: str | None, form: str) -> None:
    """Print a table (the claims where none is named) as Markdown or LaTeX, or write all into a workbook."""
    dictionary = read_dictionary(DICTIONARY)
    paths = {path.stem: path for path in sorted((results / "tables").glob("*.csv")) if path.stem in dictionary}
    wanted = name or "claims"
    if not paths or (form != "xlsx" and wanted not in paths):
        raise UserError(
            f"expected {results / 'tables' / wanted}.csv of a finished study, found none. Name one that is there: "
            f"{', '.join(paths) or 'none is'}."
        )
    if form == "xlsx" and name:
        raise UserError(f"expected no table to be named, as the workbook holds all; found {name}. Leave it out.")
    items = {
        stem: describe_table(stem, path.read_bytes(), read_table(path), dictionary)
        for stem, path in paths.items()
        if form == "xlsx" or stem == wanted
    }
    of_study = f"Study {results.name}{'; SYNTHETIC DATA, not measured on patients' if is_synthetic(results) else ''}."
    if form == "xlsx":
        write_workbook(list(items.values()), of_study, results / "tables.xlsx")
        print(f"{len(items)} tables: {results / 'tables.xlsx'}")
        return
    item = items[wanted]
    columns = dictionary[wanted].get("$paper", "").split(", ") if "$paper" in dictionary[wanted] else list(item.columns)
    table = for_paper(item.frame, columns)
    caption = f"{item.about} {of_study}"
    print(to_latex(table, caption, wanted) if form == "latex" else to_markdown(table, caption))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="folder of the study: results/<study>")
    parser.add_argument("--long", action="store_true", help="with what was found and the numbers behind it")
    parser.add_argument("--table", help="a table of the study by name, rounded for a paper, instead of the verdicts")
    parser.add_argument("--format", choices=FORMATS, help="of the table; xlsx: all tables in <study>/tables.xlsx")
    args = parser.parse_args(argv)
    if args.table or args.format:
        show_table(args.results, args.table, args.format or "markdown")
        return

    claims, synthetic = read_claims(args.results), is_synthetic(args.results)
    width = shutil.get_terminal_size().columns
    print(claims_text(args.results.name, synthetic, claims, width, args.long))


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends the program, not with a traceback
    run(main)
