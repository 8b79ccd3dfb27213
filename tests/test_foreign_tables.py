"""Tables that users bring: read as they are seen, or refused with what was found."""

import csv
import gzip
import io
import string
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.data.foreign_tables import read_foreign
from evenhand.workflow.errors import UserError

HEADER = ["id", "name, first", "note; more"]
# What a text file cannot hold, or not the same way: line breaks are kept by quotes, so they are in.
CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8)
ROWS = st.lists(st.tuples(st.text(string.ascii_letters, min_size=1), CELLS, CELLS), min_size=1, max_size=5)


def as_text(rows: list[list[str]], separator: str) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=separator, lineterminator="\r\n").writerows(rows)
    return file.getvalue()


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@settings(deadline=None, max_examples=60)
@given(rows=ROWS, separator=st.sampled_from(",;\t|"), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_any_text_comes_out_as_it_went_in(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], separator: str, encoding: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    written(path, as_text([HEADER, *map(list, rows)], separator).encode(encoding))
    cells = read_foreign(path, HEADER).cells
    assert cells.to_numpy().tolist() == [list(row) for row in rows]


@settings(deadline=None, max_examples=20)
@given(rows=ROWS)
def test_parquet_holds_any_text_and_words_that_look_missing(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    rows = [*rows, ("NA", "nan", "null")]
    pd.DataFrame(rows, columns=HEADER).to_parquet(path)
    assert read_foreign(path, HEADER).cells.to_numpy().tolist() == [list(row) for row in rows]


def test_the_needed_columns_decide_on_the_separator(tmp_path: Path) -> None:
    # More commas than semicolons, in the header and below it.
    path = written(tmp_path / "a.csv", 'Path;"a,b,c,d";note\n1;2,5,1;x\n')
    table = read_foreign(path, ["Path", "note"])
    assert table.cells.to_numpy().tolist() == [["1", "2,5,1", "x"]]
    assert table.found == "text separated by semicolon, UTF-8, 1 rows"
    with pytest.raises(UserError, match=r"missing: age; found \(first line, separated by semicolon\): 'Path', 'a,b"):
        read_foreign(path, ["Path", "age"])
    with pytest.raises(UserError, match="the needed columns with semicolon and comma as separator"):
        read_foreign(written(tmp_path / "b.csv", "a,b;a\n1,2;3\n"), ["a"])
    with pytest.raises(UserError, match="no comma, semicolon, tab or vertical bar"):
        read_foreign(written(tmp_path / "c.csv", "a b\n1 2\n"), ["a", "b"])
    assert read_foreign(written(tmp_path / "d.csv", "a\n1,5\n".replace(",", ".")), ["a"]).cells["a"].tolist() == ["1.5"]


def test_older_encodings_are_said_and_mixed_ones_refused(tmp_path: Path) -> None:
    text = "id;Diagnose\n1;Röntgen € groß\n"
    table = read_foreign(written(tmp_path / "a.csv", text.encode("cp1252")), ["id"])
    assert table.cells["Diagnose"][2] == "Röntgen € groß"
    assert "Windows-1252 as it is not UTF-8; the first such word is 'Röntgen' in line 2" in table.found
    assert read_foreign(written(tmp_path / "b.csv", text.encode("utf-16-le")), ["id"]).cells["Diagnose"][2] in text
    mixed = text.encode() + "2;Ödem\n".encode("latin-1")
    with pytest.raises(UserError, match="0xd6, which is not UTF-8, in line 3, and line 2 is in UTF-8"):
        read_foreign(written(tmp_path / "c.csv", mixed), ["id"])


def test_gzip_is_opened_and_other_files_are_named(tmp_path: Path) -> None:
    packed = gzip.compress(b"id,x\n007,1\n")
    assert read_foreign(written(tmp_path / "a.csv.gz", packed), ["id"]).cells["id"].tolist() == ["007"]
    with pytest.raises(UserError, match="damaged or incomplete"):
        read_foreign(written(tmp_path / "b.csv.gz", packed[:-9]), ["id"])
    for content, word in [
        (b"\xd0\xcf\x11\xe0" + bytes(99), r"old kind \(\.xls\).*Save it as CSV in UTF-8, as Parquet or as \.xlsx"),
        (b"PK\x03\x04" + bytes(99), "zip archive"),
        (b"PAR1 no", "Parquet file that cannot be read"),
        (b"\x01\x00\x01\x02", "a zero byte in line 1"),
    ]:
        with pytest.raises(UserError, match=word):
            read_foreign(written(tmp_path / "x.csv", content), ["id"])
    with pytest.raises(UserError, match="no such file"):
        read_foreign(tmp_path, ["id"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,x\n1,2\n3\n", "line 3 has 1 cells and the header 2"),
        ("id,x\n1,2,\n", "line 2 has 3 cells and the header 2"),
        ("id,x\n1,2\n\n3,4\n", "line 3 is empty"),
        ("id,x\n1,2\n,\n3,4\n", "line 3 is empty"),
        ('id,x\n1,"2\n3,4\n', "quote that does not begin or end a cell, in the row after that of line 1"),
        ('id,x\n1,"a"b\n', "quote that does not begin or end a cell"),
        ("id,x,id\n1,2,3\n", "found twice: id"),
        ("Export of 3 May\nid,x\n1,2\n", "in the first line; they are in line 2"),
        ("id,x\n", "a header but no rows"),
        ("\n\n", "the file is empty"),
    ],
)
def test_what_would_shift_or_hide_a_row_is_refused_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_foreign(written(tmp_path / "table.csv", content), ["id", "x"])


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    cells = read_foreign(written(tmp_path / "a.csv", 'id,x,\n1,"two\nlines",\n2,b,\n,,\n\n'), ["id"]).cells
    assert (cells.index.name, cells.index.tolist()) == ("line", [2, 4])
    assert list(cells.columns) == ["id", "x"]  # the one without a name is left out


def test_cells_of_parquet_are_as_one_sees_them(tmp_path: Path) -> None:
    columns = {
        "id": pa.array([7, None], pa.int64()),
        "gap": pa.array([3.0, None], pa.float64()),
        "half": pa.array([0.1, np.nan], pa.float32()),
        "flag": pa.array([True, None]),
        "day": pa.array([date(2020, 5, 1), None]),
        "time": pa.array([datetime(2020, 5, 1, 9, 30), datetime(2020, 5, 1)], pa.timestamp("ns")),
        "price": pa.array([Decimal("1.50"), Decimal("2.00")]),
        "kind": pa.array(["a", None]).dictionary_encode(),
        "vector": pa.array([[1.0], [2.0]]),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    cells = read_foreign(tmp_path / "a.parquet", ["id"]).cells
    assert cells.loc[1].tolist() == ["7", "3", "0.1", "True", "2020-05-01", "2020-05-01 09:30:00", "1.5", "a"]
    assert cells.loc[2].tolist() == ["", "", "", "", "", "2020-05-01", "2", ""]
    with pytest.raises(UserError, match="column vector holds list"):
        read_foreign(tmp_path / "a.parquet", ["vector"])
    frame = pd.DataFrame({"x": [1]}, index=pd.Index(["k"], name="id"))
    frame.to_parquet(tmp_path / "index.parquet")
    assert read_foreign(tmp_path / "index.parquet", ["id"]).cells["id"].tolist() == ["k"]


def workbook(path: Path, **sheets: list[list[object]]) -> openpyxl.Workbook:
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
    made.save(path)
    return made


def test_a_workbook_is_read_as_it_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    rows = [["id", "flag", "day", "n", None], [10000032, True, date(2020, 5, 1), -1.0], ["007", False, None, 0.5]]
    made = workbook(path, Notes=[["hello", None], ["=1+1", None]], Data=rows)
    made["Notes"].merge_cells("A1:B1")  # what is on other sheets does not matter
    made.save(path)
    table = read_foreign(path, ["id", "n"])
    assert table.cells.to_numpy().tolist() == [
        ["10000032", "True", "2020-05-01", "-1"],
        ["007", "False", "", "0.5"],
    ]
    assert table.found == "workbook, sheet 'Data' (the columns are not on Notes), 2 rows"
    made["Data"]["A2"].number_format = "000000000"
    made.save(path)
    assert read_foreign(path, ["id", "n"]).cells["id"].tolist() == ["010000032", "007"]


def test_workbooks_that_hide_something_are_refused(tmp_path: Path) -> None:
    path, rows = tmp_path / "a.xlsx", [["id", "x"], [1, 2], [3, 4]]
    workbook(path, a=rows, b=rows)
    with pytest.raises(UserError, match="several sheets have the needed columns: a, b"):
        read_foreign(path, ["id"])
    with pytest.raises(
        UserError, match=r"missing: age; found \(workbook, first row of sheet 'a', one of 2\): 'id', 'x'"
    ):
        read_foreign(path, ["id", "age"])
    workbook(path, a=[["id", "x"], [1, "=1+1"]])
    with pytest.raises(UserError, match="B2 holds the formula '=1\\+1' without its result"):
        read_foreign(path, ["id"])
    workbook(path, a=[["id", "x"], [1234567890123456789, 1]])
    with pytest.raises(UserError, match=r"A2 holds the number .* more than 15 digits"):
        read_foreign(path, ["id"])
    workbook(path, a=[["Table 1"], *rows])
    with pytest.raises(UserError, match="in the first row; they are in row 2"):
        read_foreign(path, ["id"])
    made = workbook(path, a=rows)
    made["a"].merge_cells("B2:B3")
    made.save(path)
    with pytest.raises(UserError, match="B2:B3 is one merged cell"):
        read_foreign(path, ["id"])
    written(path, path.read_bytes()[:500])
    with pytest.raises(UserError, match=r"zip archive that is no \.xlsx workbook"):
        read_foreign(path, ["id"])
