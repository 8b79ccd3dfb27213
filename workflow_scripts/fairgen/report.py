"""The report: one HTML page that holds claims, figures, tables, design and conditions, and loads nothing."""

import base64
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd
import yaml

from fairgen.errors import UserError
from fairgen.style import fst_range

VERDICTS = ("supported", "contradicted", "inconclusive", "not testable")
MAX_ROWS = 200  # of a table on the page; the download has all
# Numbers of the paper's figures, by the names they have here.
PAPER_FIGURES = {
    "reconstructions_mixed": 1,
    "fst_counts": 2,
    "mse_boxes": 3,
    "reconstructions_light": 4,
    "reconstructions_dark": 5,
    "latent_std_boxes": 6,
    "prevalence": 7,
    "condition_mse": 8,
}


@dataclass(frozen=True)
class FigureItem:
    """A figure as it is embedded: the bytes of its SVG and its words; `pictures` where it shows photographs."""

    name: str
    svg: bytes
    title: str
    caption: str
    alt: str
    pictures: bool


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


class Availability(NamedTuple):
    """How many metadata rows of a group have a photograph, and what became of the others."""

    group: str
    asked: int
    found: int
    lost: dict[str, int]


def describe_table(
    name: str, csv: bytes, frame: pd.DataFrame, dictionary: Mapping[str, Mapping[str, str]]
) -> TableItem:
    """A table with its words from the data dictionary.

    Args:
        name: of the table.
        csv: its file.
        frame: its rows.
        dictionary: schemas/tables.yaml: by table, `$about` and a text per column, or None for the text of `$common`.

    Raises:
        UserError: the dictionary lacks the table or one of its columns.
    """
    entry = dictionary.get(name, {})
    missing = [column for column in ("$about", *frame.columns) if column not in entry]
    if missing:
        raise UserError(
            f"table {name}: expected an entry in the data dictionary with {', '.join(missing)}; found none. "
            "Describe the table in schemas/tables.yaml."
        )
    columns = {column: entry[column] or dictionary["$common"][column] for column in frame.columns}
    return TableItem(name, csv, frame, entry["$about"], columns)


def number(value: object) -> str:
    """A table cell as text: four significant digits, thousands with a comma, an en dash for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"  # noqa: RUF001 - a dash for an empty cell
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}"
    if isinstance(value, int | float) and not math.isinf(value):
        return f"{int(value):,}"
    return str(value)


def p_value(value: float) -> str:
    """A p value with two significant digits, "< 0.0001" below that, an en dash where there is none."""
    if math.isnan(value):
        return "–"  # noqa: RUF001 - a dash for an empty cell
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def data_uri(kind: str, content: bytes) -> str:
    """Content as a URI that needs no request."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def display_width(svg: bytes) -> int:
    """Width on the page in CSS pixels: larger than in print, where 8 pt letters are held closer to the eye."""
    found = re.search(rb'<svg[^>]*? width="([0-9.]+)pt"', svg)
    if found is None:
        raise UserError("expected an SVG with its width in points, found none. Draw the figures again.")
    return round(float(found[1]) * 4 / 3 * 1.3)


def availability_counts(
    table: pd.DataFrame, light: Sequence[int], dark: Sequence[int], label: str
) -> list[Availability]:
    """Metadata rows with and without photograph: light group, dark group, all others.

    Args:
        table: data/availability.csv, one row per metadata row; status `ok` is a usable photograph.
        light: Fitzpatrick types of the light group.
        dark: those of the dark group.
        label: the column that decides on the group.
    """
    scale = table[label]
    parts = {
        f"light ({fst_range(light)})": scale.isin(light),
        f"dark ({fst_range(dark)})": scale.isin(dark),
        "neither": ~scale.isin([*light, *dark]),
    }
    counts = []
    for group, members in parts.items():
        status = table.loc[members, "status"].value_counts()
        lost = {str(name): int(n) for name, n in sorted(status.items(), key=lambda item: str(item[0])) if name != "ok"}
        counts.append(Availability(group, int(members.sum()), int(status.get("ok", 0)), lost))
    return counts


def run_rows(records: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """One line per training set: where and how its models were trained, and how long that took.

    Args:
        records: the run.json of every model.
    """
    rows = []
    for name in dict.fromkeys(record["train_set"] for record in records):
        mine = [record for record in records if record["train_set"] == name]
        seconds = [record["seconds"] for record in mine]
        rows.append(
            {
                "training set": name,
                "models": str(len(mine)),
                "parameters": " / ".join(sorted({f"{record['parameters']:,}" for record in mine})),
                "device": " / ".join(sorted({f"{record['device_name']} ({record['device']})" for record in mine})),
                "precision": " / ".join(sorted({record["precision"] for record in mine})),
                "seconds per model": f"{min(seconds):.0f} to {max(seconds):.0f}",
                "images per second": number(sum(record["images_per_second"] for record in mine) / len(mine)),
                "peak memory, MB": f"{max(record['peak_memory_mb'] for record in mine):,.0f}",
            }
        )
    return rows


def versions_used(records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Library versions of the training jobs; several where jobs differ."""
    names = sorted({name for record in records for name in record["versions"]})
    return {name: " / ".join(sorted({record["versions"].get(name, "none") for record in records})) for name in names}


def design_warnings(config: Mapping[str, Any], design: pd.DataFrame, availability: Sequence[Availability]) -> list[str]:
    """Where the data fell short of the plan or the plan differs from the paper's, one sentence each."""
    found = []
    short = design[design["drawn"] < design["requested"]]
    if len(short):
        found.append(
            f"The training sets hold {short['drawn'].min():,} images instead of the {short['requested'].max():,} asked "
            "for, because too few images are there; all sets shrank alike."
        )
    for part in availability:
        if part.group != "neither" and part.found < part.asked:
            found.append(f"{part.asked - part.found:,} of {part.asked:,} images of the group {part.group} are missing.")
    runs = config["splits"]["runs"]
    if runs < 6:
        found.append(
            f"With {runs} run{'s' if runs > 1 else ''} a two-sided Wilcoxon signed-rank test cannot give a p below "
            f"{2.0 ** (1 - runs):.3g}; read the intervals instead."
        )
    if config["splits"]["replacement"]:
        found.append("Training images are drawn with replacement: sets differ in the number of distinct images.")
    return found


def training_warnings(config: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where training differs from the paper's or between models, one sentence each."""
    found = []
    if config["loss"]["perceptual_weights"] == "random" and config["loss"]["feature_scale"] > 0:
        found.append("The perceptual loss uses random VGG19 weights, not the ImageNet weights of the paper.")
    for name, version in versions_used(records).items():
        if " / " in version:
            found.append(f"The models were trained with several versions of {name}: {version}.")
    if len({(record["device_name"], record["precision"]) for record in records}) > 1:
        found.append("The models were trained on different devices or with different precision.")
    return found


def table_warnings(tables: Sequence[TableItem]) -> list[str]:
    """What the fits behind a table complained of: its column `warnings`, each text once."""
    found = []
    for table in tables:
        if "warnings" in table.frame:
            texts = table.frame["warnings"].dropna().astype(str).drop_duplicates()
            found += [f"{table.title}: {text}" for text in texts if text.strip()]
    return found


def claim_rows(claims: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """Claims as the template shows them: numbers as text, the verdict's CSS class, the level of the interval."""
    rows = []
    for row in claims.to_dict("records"):
        interval = "–"  # noqa: RUF001 - a dash for an empty cell
        if not (math.isnan(row["ci_low"]) or math.isnan(row["ci_high"])):
            level = row.get("level", 0.95)
            interval = f"{number(row['ci_low'])} to {number(row['ci_high'])} ({100 * level:.3g} %)"
        rows.append(
            row
            | {
                "verdict_class": row["verdict"].replace(" ", "-"),
                "estimate": number(row["estimate"]),
                "interval": interval,
                "p": p_value(row["p"]),
                "p_holm": p_value(row["p_holm"]),
                "n": number(row["n"]),
            }
        )
    return rows


def build_report(
    template: Path,
    config: Mapping[str, Any],
    synthetic: bool,
    claims: pd.DataFrame,
    figures: Sequence[FigureItem],
    tables: Sequence[TableItem],
    design: pd.DataFrame,
    availability: Sequence[Availability],
    records: Sequence[Mapping[str, Any]],
) -> str:
    """The page as HTML text; equal inputs give equal text.

    Args:
        template: the Jinja2 template; everything it prints is escaped.
        config: the whole configuration; `report.patient_images: false` leaves out every figure with pictures.
        synthetic: whether the images come from the generator.
        claims: tables/claims.csv.
        figures: in the order of the page.
        tables: in the order of the page.
        design: tables/design.csv.
        availability: from `availability_counts`.
        records: the run.json of every model.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number}
    shown = [figure for figure in figures if config["report"]["patient_images"] or not figure.pictures]
    verdicts = {name: int((claims["verdict"] == name).sum()) for name in VERDICTS}
    return environment.get_template(template.name).render(
        study=config["study"],
        synthetic=synthetic,
        patient_images=config["report"]["patient_images"],
        claims=claim_rows(claims),
        verdicts=verdicts,
        figures=[
            {
                "name": figure.name,
                "title": figure.title,
                "paper": PAPER_FIGURES.get(figure.name),
                "caption": figure.caption,
                "alt": figure.alt,
                "uri": data_uri("image/svg+xml", figure.svg),
                "width": display_width(figure.svg),
            }
            for figure in shown
        ],
        figure_names={figure.name for figure in shown},
        tables=[
            {
                "name": table.name,
                "title": table.title,
                "about": table.about,
                "columns": [(name, table.columns.get(name, "")) for name in table.frame.columns],
                "rows": table.frame.head(MAX_ROWS).to_dict("split")["data"],
                "numeric": [pd.api.types.is_numeric_dtype(table.frame[name]) for name in table.frame.columns],
                "total": len(table.frame),
                "uri": data_uri("text/csv", table.csv),
            }
            for table in tables
        ],
        table_names={table.name for table in tables},
        max_rows=MAX_ROWS,
        design=design.to_dict("records"),
        availability=availability,
        runs=run_rows(records),
        versions=versions_used(records),
        warnings=[
            *design_warnings(config, design, availability),
            *training_warnings(config, records),
            *table_warnings(tables),
        ],
        config=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
    )
