"""The report: one HTML page that holds claims, figures, tables, design and conditions, and loads nothing."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import pandas as pd
import yaml

from evenhand.evaluation.measures import MEASURES
from evenhand.figures.registry import Declaration, declared_figures
from evenhand.figures.style import joined
from evenhand.models.registry import declared
from evenhand.report.claims import (
    DASH,
    PLOT_WIDTH,
    answer,
    claim_rows,
    expected_false,
    number,
    verdict_counts,
)
from evenhand.report.conditions import Availability, design_warnings, run_rows, training_warnings, versions_used
from evenhand.report.methods import cited, methods
from evenhand.splits.groups import groups_from, pairs_of
from evenhand.workflow.errors import UserError

MAX_ROWS = 200  # of a table on the page; the download has all


@dataclass(frozen=True)
class FigureItem:
    """A figure as it is embedded: the bytes of its SVG, its words and the values of its marks.

    `pictures` where it shows photographs; `marks` as of `evenhand.figures.panels.marked_values`; `pdf`: empty where
    figures.formats lacks it.
    """

    name: str
    svg: bytes
    title: str
    caption: str
    alt: str
    pictures: bool
    marks: Sequence[Sequence[float | str]] = ()
    pdf: bytes = b""


@dataclass(frozen=True)
class TableItem:
    """A table: its CSV as written, the same as a frame, what it holds, and what its columns mean."""

    name: str
    csv: bytes
    frame: pd.DataFrame
    about: str
    columns: Mapping[str, str]

    @property
    def title(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ").capitalize()


def read_dictionary(path: Path) -> dict[str, dict[str, str]]:
    """schemas/tables.yaml: by table, a text per column and `$` key; the measures stand in the place of `$measures`."""
    found = {}
    for table, entry in yaml.safe_load(path.read_text("utf-8")).items():
        measures = {name: measure.description for name, measure in MEASURES.items() if measure.table == table}
        parts = [measures if key == "$measures" else {key: text} for key, text in entry.items()]
        found[table] = {key: text for part in parts for key, text in part.items()}
    return found


def describe_table(
    name: str, csv: bytes, frame: pd.DataFrame, dictionary: Mapping[str, Mapping[str, str]]
) -> TableItem:
    """A table with its words from the data dictionary.

    Args:
        name: of the table.
        csv: its file.
        frame: its rows.
        dictionary: from `read_dictionary`: by table, `$about` and a text per column, or None for the text of `$common`;
            `$other` is about columns that the configuration names.

    Raises:
        UserError: the dictionary lacks the table or one of its columns.
    """
    entry = dictionary.get(name, {})
    missing = [column for column in ("$about", *frame.columns) if column not in entry and "$other" not in entry]
    if missing:
        raise UserError(
            f"table {name}: expected an entry in the data dictionary with {', '.join(missing)}; found none. "
            "Describe the table in schemas/tables.yaml."
        )
    columns = {
        column: entry[column] or dictionary["$common"][column] if column in entry else entry["$other"]
        for column in frame.columns
    }
    return TableItem(name, csv, frame, entry["$about"], columns)


def data_uri(kind: str, content: bytes) -> str:
    """Content as a URI that needs no request: text stays text, which is a fifth shorter than base64."""
    if kind == "application/pdf":
        return f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return f"data:{kind},{quote(content, safe=' !$()*+,-./:;=?@_~')}"


def display_width(svg: bytes) -> int:
    """Width on the page in CSS pixels: larger than in print, where 8 pt letters are held closer to the eye."""
    found = re.search(rb'<svg[^>]*? width="([0-9.]+)pt"', svg)
    if found is None:
        raise UserError("expected an SVG with its width in points, found none.")
    return round(float(found[1]) * 4 / 3 * 1.3)


def table_warnings(tables: Sequence[TableItem]) -> list[str]:
    """What the fits behind a table complained of: its column `warnings`, each text once."""
    found = []
    for table in tables:
        if "warnings" in table.frame:
            texts = table.frame["warnings"].drop_duplicates()
            found += [f"{table.title}: {text}" for text in texts if text.strip()]
    return found


def page_template(path: Path) -> jinja2.Template:
    """The template at `path`, which may include others beside it; everything that it prints is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(path.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number}
    return environment.get_template(path.name)


def build_report(
    template: Path,
    config: Mapping[str, Any],
    synthetic: bool,
    claims: pd.DataFrame,
    figures: Sequence[FigureItem],
    tables: Sequence[TableItem],
    data_tables: Sequence[TableItem],
    design: pd.DataFrame,
    availability: Sequence[Availability],
    left_out: Sequence[str],
    records: Sequence[Mapping[str, Any]],
    origin: Mapping[str, str],
    remarks: Sequence[str] = (),
) -> str:
    """The page as HTML text; equal inputs give equal text.

    Args:
        template: the Jinja2 template; everything it prints is escaped.
        config: the whole configuration; `report.patient_images: false` leaves out every figure with pictures.
        synthetic: whether the images come from the generator.
        claims: tables/claims.csv.
        figures: in the order of the page.
        tables: results, in the order of the page.
        data_tables: what the section on the data shows, in its order.
        design: tables/design.csv.
        availability: from `availability_counts`.
        left_out: from `not_applicable`.
        records: the run.json of every model; without any the page is about given embeddings alone.
        origin: from `evenhand.workflow.provenance`; empty without a record.
        remarks: further warnings, such as those about names.
    """
    shown = [figure for figure in figures if config["report"]["patient_images"] or not figure.pictures]
    groups = groups_from(config["splits"]["groups"])
    known = declared_figures(groups)
    by_name = {figure.name: figure for figure in known}
    versions = versions_used(records)
    paragraph = methods(config, synthetic, groups, design, records, versions, origin) if records else ""
    gaps = next((table.frame for table in tables if table.name == "gaps"), None)
    return page_template(template).render(
        study=config["study"],
        synthetic=synthetic,
        dataset=config["data"].get("dataset"),
        skin=config["data"].get("skin", True),
        family=declared(config["model"]["family"]).plain_title if records else "",
        trained=not records or declared(config["model"]["family"]).trained,
        compared=groups[1],
        groups=joined([group.title for group in groups]),
        patient_images=config["report"]["patient_images"],
        pictures_of_paper=joined([str(one.paper) for one in known if one.section == "Pictures" and one.paper]),
        answer=answer(claims, gaps, pairs_of(groups)[0], config["stats"]["alpha"]),
        claims=claim_rows(claims),
        verdicts=verdict_counts(claims),
        plot_width=PLOT_WIDTH,
        expected_false=expected_false(claims, config["stats"]["alpha"]),
        figures=[_shown_figure(figure, by_name.get(figure.name), config["figures"]["dpi"]) for figure in shown],
        figure_names={figure.name for figure in shown},
        tables=[_shown(table) for table in tables],
        data_tables=[_shown(table) for table in data_tables],
        table_names={table.name for table in [*tables, *data_tables]},
        max_rows=MAX_ROWS,
        dash=DASH,
        design=design.to_dict("records"),
        availability=availability,
        runs=run_rows(records),
        versions=versions,
        methods=paragraph,
        bibtex=cited(paragraph),
        origin=origin,
        warnings=[
            *remarks,
            *(design_warnings(config, design, availability) if records else []),
            *(training_warnings(config, records) if records else []),
            *left_out,
            *table_warnings(tables),
        ],
        config=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
    )


def _shown_figure(figure: FigureItem, declared: Declaration | None, dpi: int) -> dict[str, Any]:
    """What the template shows of a figure; of its caption the first paragraph, and the others on demand."""
    caption, _, details = figure.caption.partition("\n\n")
    return {
        "name": figure.name,
        "title": figure.title,
        "paper": declared.paper if declared else None,
        "table": declared.files[0] if declared else "",
        "caption": caption,
        "details": details,
        "alt": figure.alt,
        "marks": figure.marks,
        "uri": data_uri("image/svg+xml", figure.svg),
        "pdf": data_uri("application/pdf", figure.pdf) if figure.pdf else "",
        "width": display_width(figure.svg),
        "scale": dpi / 96,  # CSS pixels are 1/96 inch
    }


def _shown(table: TableItem) -> dict[str, Any]:
    """What the template shows of a table."""
    return {
        "name": table.name,
        "title": table.title,
        "about": table.about,
        "columns": list(table.columns.items()),
        "rows": table.frame.head(MAX_ROWS).to_dict("split")["data"],
        "numeric": [
            pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) for kind in table.frame.dtypes
        ],
        "total": len(table.frame),
        "uri": data_uri("text/csv", table.csv),
    }
