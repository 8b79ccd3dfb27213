"""Tables of a study for a paper: rounded, intervals beside their numbers, in LaTeX or Markdown; all in one workbook."""

import io
import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font

from evenhand.report.claims import DASH
from evenhand.report.page import TableItem
from evenhand.workflow.files import atomic_path

LOW, HIGH = "_low", "_high"
LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{DASH: "--", "−": "$-$", "<": "$<$", ">": "$>$"},  # noqa: RUF001 - a minus sign
}
MARKDOWN = {character: f"\\{character}" for character in "\\`*_|<>[]"}


def rounded(value: object) -> str:
    """A cell: three significant digits, whole numbers in full with commas, a true minus sign, a dash for nothing."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return DASH
    if isinstance(value, bool | str) or not isinstance(value, int | float):
        return str(value)
    text = f"{int(value):,}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.3g}"
    return text.replace("-", "−")  # noqa: RUF001


def for_paper(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The columns as text, ends of intervals (`x_low`, `x_high`) joined in one column, "x interval".

    Args:
        frame: as of its CSV.
        columns: which, in this order; those that the study does not have are left out.
    """
    shown: dict[str, list[str]] = {}
    for name in (name for name in columns if name in frame):
        other = name.removesuffix(LOW) + HIGH
        if name.endswith(LOW) and other in frame:
            stem = name.removesuffix(LOW)
            title = "interval" if stem == "ci" else f"{stem.replace('_', ' ')} interval"
            pairs = zip(map(rounded, frame[name]), map(rounded, frame[other]), strict=True)
            shown[title] = [DASH if DASH in pair else " to ".join(pair) for pair in pairs]
        elif not (name.endswith(HIGH) and name.removesuffix(HIGH) + LOW in columns):
            shown[name.replace("_", " ")] = list(map(rounded, frame[name]))
    return pd.DataFrame(shown)


def _escaped(text: str, escapes: Mapping[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in " ".join(text.split()))


def to_markdown(table: pd.DataFrame, caption: str) -> str:
    """A table of texts (`for_paper`) in the Markdown of GitHub and Pandoc."""
    lines = [table.columns.tolist(), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    rows = ["| " + " | ".join(c if c == "---" else _escaped(c, MARKDOWN) for c in line) + " |" for line in lines]
    return "\n".join([*rows, "", f"Table: {_escaped(caption, MARKDOWN)}"])


def to_latex(table: pd.DataFrame, caption: str, label: str) -> str:
    """A table of texts (`for_paper`) as a LaTeX float with the rules of booktabs; numbers are aligned right."""
    numeric = [table[name].str.fullmatch(r"[−\d.,e+∞–to ]*").all() for name in table]  # noqa: RUF001
    lines = [" & ".join(_escaped(cell, LATEX) for cell in line) + r" \\" for line in table.to_numpy().tolist()]
    head = " & ".join(_escaped(name, LATEX) for name in table.columns.astype(str))
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            r"\begin{table}",
            rf"\caption{{{_escaped(caption, LATEX)}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{{''.join('r' if number else 'l' for number in numeric)}}}",
            r"\toprule",
            rf"{head} \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def write_workbook(tables: Sequence[TableItem], caption: str, path: Path) -> None:
    """One .xlsx: first what the tables and their columns are, then a sheet each, in full precision.

    Equal tables give equal bytes: the dates that the format wants are those of its oldest archive.
    """
    book = Workbook()
    first = book.active
    assert first is not None
    first.title = "contents"
    first.append([caption])
    first.append(["table", "column", "meaning"])
    for table in tables:
        first.append([table.name, "", table.about])
        for name, meaning in table.columns.items():
            first.append([table.name, name, meaning])
        sheet = book.create_sheet(table.name[:31])  # as much as Excel takes
        sheet.append(list(table.frame.columns))
        for row in table.frame.itertuples(index=False):
            sheet.append([_cell(value) for value in row])
        sheet.freeze_panes = "A2"
    for sheet in book:
        for cell in sheet[2 if sheet is first else 1]:
            cell.font = Font(bold=True)
        for cells in sheet.iter_rows():
            for cell in cells:
                if isinstance(cell.value, str):
                    cell.data_type = "s"  # a name that begins with = is no formula
    made = io.BytesIO()
    book.save(made)
    with zipfile.ZipFile(made) as old, atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", b"1980-01-01T00:00:00Z", content)
            new.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def _cell(value: object) -> object:
    """What a workbook can hold: no NaN, no infinity, no control characters."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return ILLEGAL_CHARACTERS_RE.sub("", value) if isinstance(value, str) else value
