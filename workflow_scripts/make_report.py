"""Write the report: claims, figures, tables and conditions of a study on one self-contained HTML page."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from evenhand.report.conditions import availability_counts, name_warnings, not_applicable
from evenhand.report.page import FigureItem, TableItem, build_report, describe_table, read_dictionary
from evenhand.splits.groups import groups_from
from evenhand.workflow.errors import run
from evenhand.workflow.files import write_text
from evenhand.workflow.provenance import origin, read_provenance, run_records
from evenhand.workflow.tables import read_image_table, read_table


def read_figure(svg: Path) -> FigureItem:
    """A figure from its SVG and what is beside it: the JSON of its words and, maybe, a PDF."""
    pdf, words = svg.with_suffix(".pdf"), json.loads(svg.with_suffix(".json").read_text("utf-8"))
    return FigureItem(name=svg.stem, svg=svg.read_bytes(), pdf=pdf.read_bytes() if pdf.is_file() else b"", **words)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--template", required=True, type=Path, help="Jinja2 template of the page")
    parser.add_argument("--dictionary", required=True, type=Path, help="schemas/tables.yaml")
    parser.add_argument("--settings", required=True, type=Path, help="settings/study.json: the whole configuration")
    parser.add_argument("--record", type=Path, help="data/images.json")
    parser.add_argument("--provenance", type=Path, help="provenance.json")
    parser.add_argument("--availability", type=Path, help="data/availability.csv")
    parser.add_argument("--claims", required=True, nargs="+", type=Path, help="tables/claims.csv and the like")
    parser.add_argument("--design", type=Path, help="tables/design.csv")
    parser.add_argument("--figures", required=True, nargs="+", type=Path, help="SVG files, each with a JSON beside it")
    parser.add_argument("--tables", required=True, nargs="+", type=Path, help="CSV files, in the order of the page")
    parser.add_argument("--data-tables", nargs="*", default=[], type=Path, help="CSV files of the section on the data")
    parser.add_argument("--models", type=Path, help="folder of <train_set>/run<r>/run.json; none: no model was trained")
    parser.add_argument("--output", required=True, type=Path, help="the page")
    args = parser.parse_args(argv)

    config = json.loads(args.settings.read_text("utf-8"))
    splits, skin = config["splits"], config["data"].get("skin", True)
    groups = groups_from(splits["groups"])
    dictionary = read_dictionary(args.dictionary)

    def read_tables(paths: Sequence[Path]) -> list[TableItem]:
        return [describe_table(path.stem, path.read_bytes(), read_table(path), dictionary) for path in paths]

    availability = read_image_table(args.availability) if args.availability else None
    page = build_report(
        args.template,
        config,
        json.loads(args.record.read_text())["synthetic"] if args.record else bool(config["probe"]["lookalike"]),
        pd.concat([read_table(path) for path in args.claims], ignore_index=True),
        [read_figure(path) for path in args.figures],
        read_tables(args.tables),
        read_tables(args.data_tables),
        read_table(args.design) if args.design else pd.DataFrame(),
        [] if availability is None else availability_counts(availability, groups),
        [] if availability is None else not_applicable(availability, groups, skin),
        run_records(args.models, splits) if args.models else [],
        origin(read_provenance(args.provenance)) if args.provenance else {},
        [] if availability is None else name_warnings(availability),
    )
    write_text(page, args.output)
    print(f"report: {args.output}")


if __name__ == "__main__":
    run(main)
