"""Print the claims of a finished study, or one of its tables for a paper, or write all tables into a workbook.

make show STUDY=demo; make show STUDY=demo TABLE=headline FORMAT=latex; make show STUDY=demo FORMAT=xlsx, or FORMAT=pdf:
the verdicts on one page.
"""

import argparse
import json
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from evenhand.report.claims import answer, claims_text, is_synthetic, read_claims
from evenhand.report.one_page import write_verdicts
from evenhand.report.page import describe_table, read_dictionary
from evenhand.report.tables import for_paper, to_latex, to_markdown, write_workbook
from evenhand.splits.groups import groups_from, pairs_of
from evenhand.workflow.errors import UserError, run
from evenhand.workflow.provenance import origin, read_provenance
from evenhand.workflow.tables import read_table

FORMATS = ("markdown", "latex", "xlsx", "pdf")
DICTIONARY = Path(__file__).parents[1] / "schemas" / "tables.yaml"


def show_table(results: Path, name: str | None, form: str) -> None:
    """Print a table (the claims where none is named) as Markdown or LaTeX, or write all of them or the verdicts."""
    dictionary = read_dictionary(DICTIONARY)
    paths = {path.stem: path for path in sorted((results / "tables").glob("*.csv")) if path.stem in dictionary}
    wanted = name or "claims"
    if not paths or (form != "xlsx" and wanted not in paths):
        raise UserError(
            f"expected {results / 'tables' / wanted}.csv of a finished study, found none. Name one that is there: "
            f"{', '.join(paths) or 'none is'}."
        )
    if form in ("xlsx", "pdf") and name:
        raise UserError(f"expected no table to be named, as {form} is not of one; found {name}. Leave it out.")
    if form == "pdf":
        write_page(results)
        return
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


def write_page(results: Path) -> None:
    """The verdicts on one page, <study>/verdicts.pdf."""
    config = json.loads((results / "settings" / "study.json").read_text("utf-8"))
    claims, gaps, record = read_claims(results), results / "tables" / "gaps.csv", results / "provenance.json"
    pair, alpha = pairs_of(groups_from(config["splits"]["groups"]))[0], config["stats"]["alpha"]
    words = answer(claims, read_table(gaps) if gaps.is_file() else None, pair, alpha)
    made_from = origin(read_provenance(record)) if record.is_file() else {}
    write_verdicts(results.name, is_synthetic(results), claims, words, made_from, results / "verdicts.pdf")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="folder of the study: results/<study>")
    parser.add_argument("--long", action="store_true", help="with what was found and the numbers behind it")
    parser.add_argument("--table", help="a table of the study by name, rounded for a paper, instead of the verdicts")
    files = "xlsx: all tables in <study>/tables.xlsx; pdf: the verdicts on a page, <study>/verdicts.pdf"
    parser.add_argument("--format", choices=FORMATS, help=f"of the table; {files}")
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
