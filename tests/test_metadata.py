"""The annotation table: what is accepted, what is filled in, what is refused and with which words."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from paper import GROUPS, read_fitzpatrick17k

from evenhand.data.datasets.fitzpatrick17k import atlas_of
from evenhand.data.image_names import checksum_of
from evenhand.data.metadata import COLUMNS, alike, assign_group, given_levels, without_checksum
from evenhand.data.tables import read_images
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import read_rows
from fetch_metadata import main as fetch_metadata

HASHES = [f"{i:032x}" for i in range(6)]


def table(**columns: list[str]) -> pd.DataFrame:
    rows = {
        "md5hash": HASHES,
        "fitzpatrick_scale": ["1", "2", "5", "6", "-1", "3"],
        "fitzpatrick_centaur": ["1", "3", "5", "6", "-1", ""],
        "label": ["acne"] * 6,
        "nine_partition_label": ["inflammatory"] * 6,
        "three_partition_label": ["non-neoplastic"] * 6,
        "qc": [""] * 6,
        "url": ["https://www.dermaamin.com/a.jpg", "http://atlasdermatologico.com.br/b", "", "x", "https://[", "?"],
    }
    return pd.DataFrame(rows | columns)


def written(frame: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    return path


def fetch(source: Path, output: Path, sha256: list[str] | None = None) -> None:
    config = {"sha256": sha256 or [], "dataset": "fitzpatrick17k", "columns": {}, "skin_types": {}, "join": None}
    fetch_metadata(["--tables", str(source), "--config", json.dumps(config), "--output", str(output)])


def plain(path: Path, columns: dict[str, Any], skin_types: dict[Any, Any] | None = None) -> pd.DataFrame:
    """A table of no known data set."""
    return read_fitzpatrick17k(path, dataset=None, columns=columns, skin_types=skin_types or {})


def test_a_good_table_is_kept_in_order_with_its_source(tmp_path: Path) -> None:
    result = read_fitzpatrick17k(written(table(), tmp_path))
    assert list(result.columns) == [*COLUMNS, "qc"]
    assert result["id"].tolist() == HASHES
    assert result["skin_type"].tolist() == [1, 2, 5, 6, -1, 3]
    assert result["second_skin_type"].tolist() == [1, 3, 5, 6, -1, -1]
    assert result["source"].tolist() == ["dermaamin", "atlasdermatologico", *["unknown"] * 4]


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    # "nan" and "NA" are names like any other, not missing values.
    path = written(table(label=["NA", "nan", "None", "a, b", 'c "d"', "é"]), tmp_path)
    fetch(path, tmp_path / "out.csv")
    assert list(read_rows(tmp_path / "out.csv")) == read_fitzpatrick17k(path).astype(str).to_dict("records")


def test_a_line_break_in_a_cell_breaks_no_row(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    frame = table(qc=["two\r\nlines", *[""] * 5], url=["http://x/a\rb.jpg", *[""] * 5])
    frame.to_csv(path, index=False, quoting=csv.QUOTE_ALL)
    fetch(path, tmp_path / "out.csv")
    rows = list(read_rows(tmp_path / "out.csv"))
    assert [row["id"] for row in rows] == HASHES
    assert (rows[0]["qc"], rows[0]["url"]) == ("two  lines", "http://x/a b.jpg")


def test_optional_columns_are_filled(tmp_path: Path) -> None:
    result = read_fitzpatrick17k(written(table().drop(columns=["fitzpatrick_centaur", "url"]), tmp_path))
    assert set(result["second_skin_type"]) == {-1}
    assert set(result["url"]) == {""}
    assert set(result["source"]) == {"unknown"}


def test_whole_numbers_written_as_decimals_are_skin_types(tmp_path: Path) -> None:
    frame = table(fitzpatrick_scale=["1.0", "2.0", "-1.0", "", "6", "5"])
    assert read_fitzpatrick17k(written(frame, tmp_path))["skin_type"].tolist() == [1, 2, -1, -1, 6, 5]


def test_capital_hashes_are_lowered_and_said(tmp_path: Path) -> None:
    frame = table(md5hash=["A" * 32, *HASHES[1:]])
    with pytest.warns(UserWarning, match="1 values of md5hash have capitals"):
        assert read_fitzpatrick17k(written(frame, tmp_path))["id"][0] == "a" * 32


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("md5hash", ["../../../../etc/passwd", *HASHES[1:]], r"md5hash.*id that can be a file name.*'\.\./.*line 2"),
        ("md5hash", [*HASHES[:5], HASHES[0]], "md5hash.*every id once.*line 7"),
        (
            "fitzpatrick_scale",
            ["1", "7", "0", "1.5", "x", "1"],
            "fitzpatrick_scale.*'7' in 1 row .*line 3.*'x' in 1 row .*line 6",
        ),
        (
            "fitzpatrick_centaur",
            ["1", "1", "1", "1", "1", "ten"],
            "fitzpatrick_centaur.*'ten' in 1 row .*line 7",
        ),
        ("label", ["acne", " ", *["acne"] * 4], "column label.*condition name.*line 3"),
        ("label", ["acne", "acne ", *["acne"] * 4], "column label.*without blanks at its ends.*'acne ' in line 3"),
        ("label", ["acne", "a\x92b", *["acne"] * 4], "column label.*condition name.*line 3"),
        ("nine_partition_label", ["\u00e9", *["e\u0301"] * 5], "one spelling of every name.* in line 3"),
    ],
)
def test_a_wrong_value_is_named_with_column_and_line(
    tmp_path: Path, column: str, values: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_fitzpatrick17k(written(table(**{column: values}), tmp_path))


def test_capitals_do_not_hide_a_second_row_of_an_image(tmp_path: Path) -> None:
    frame = table(md5hash=["a" * 32, "A" * 32, *HASHES[2:]])
    with pytest.warns(UserWarning, match="capitals"), pytest.raises(UserError, match="every id once"):
        read_fitzpatrick17k(written(frame, tmp_path))


def test_names_that_differ_in_case_are_kept_apart_and_said(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="column label: 'Acne', 'acne' differ in case or blanks alone; kept apart"):
        result = read_fitzpatrick17k(written(table(label=["acne", "Acne", *["NA"] * 4]), tmp_path))
    assert result["condition"].tolist() == ["acne", "Acne", *["NA"] * 4]
    assert alike(pd.Series(["a  b", "A b", "c", "e\u0301"])) == [["A b", "a  b"]]


def test_missing_columns_and_empty_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing: md5hash, label; found \(first line, separated by comma\): 'fitz"):
        read_fitzpatrick17k(written(table().drop(columns=["md5hash", "label"]), tmp_path))
    with pytest.raises(UserError, match="no rows"):
        read_fitzpatrick17k(written(table().head(0), tmp_path))
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(UserError, match="expected a table; the file is empty"):
        read_fitzpatrick17k(tmp_path / "empty.csv")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(UserError, match="expected UTF-8 or Windows-1252; found 0x80"):
        read_fitzpatrick17k(tmp_path / "binary.csv")


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_table_from_a_spreadsheet_is_the_same_table(
    tmp_path: Path, separator: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = read_fitzpatrick17k(written(table(), tmp_path))
    table().to_csv(tmp_path / "other.csv", sep=separator, index=False, encoding="utf-16")
    table().to_excel(tmp_path / "sheet.xlsx", index=False)
    for name in ("other.csv", "sheet.xlsx"):
        pd.testing.assert_frame_equal(read_fitzpatrick17k(tmp_path / name), expected)
    assert "UTF-16, 6 rows" in capsys.readouterr().out


def test_the_line_of_a_wrong_value_is_the_one_in_the_file(tmp_path: Path) -> None:
    frame = table(qc=["two\nlines", *[""] * 5], fitzpatrick_scale=["1", "9", *["1"] * 4])
    with pytest.raises(UserError, match=r"'9' in 1 row .*line 4"):
        read_fitzpatrick17k(written(frame, tmp_path))
    frame.to_parquet(tmp_path / "table.parquet")
    with pytest.raises(UserError, match=r"'9' in 1 row .*row 2"):
        read_fitzpatrick17k(tmp_path / "table.parquet")


def test_a_pin_that_does_not_fit_stops_and_says_both_sums(tmp_path: Path) -> None:
    path = written(table(), tmp_path)
    with pytest.raises(UserError, match=f"expected SHA-256 {'0' * 64}; found [0-9a-f]{{64}}"):
        fetch(path, tmp_path / "out.csv", ["0" * 64])
    assert not (tmp_path / "out.csv").exists()


def test_a_path_to_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        fetch(tmp_path / "x.csv", tmp_path / "o")


def test_groups_are_the_listed_types_and_nothing_else() -> None:
    table = pd.DataFrame({"skin_type": [-1, 1, 2, 3, 4, 5, 6]})
    assert assign_group(table, GROUPS).tolist() == ["", "light", "light", "", "", "dark", "dark"]


@pytest.mark.parametrize(
    ("url", "atlas"),
    [
        ("https://www.dermaamin.com/x.jpg", "dermaamin"),
        ("HTTP://DERMAAMIN.COM:80/x", "dermaamin"),
        ("https://evil.org/dermaamin.com/x", "unknown"),
        ("https://dermaamin.com.evil.org/x", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_atlas_is_that_of_the_host(url: str, atlas: str) -> None:
    assert atlas_of(url) == atlas


@pytest.mark.skipif("FITZ_METADATA" not in os.environ, reason="FITZ_METADATA (path of fitzpatrick17k.csv) is not set")
def test_the_published_table_has_its_published_counts() -> None:
    result = read_fitzpatrick17k(os.environ["FITZ_METADATA"])
    counts = result["skin_type"].value_counts().to_dict()
    assert counts == {-1: 565, 1: 2947, 2: 4808, 3: 3308, 4: 2781, 5: 1533, 6: 635}
    group = assign_group(result, GROUPS)
    other = (result["source"] == "atlasdermatologico").groupby(group).mean()
    assert other["light"] == pytest.approx(0.106, abs=5e-4)
    assert other["dark"] == pytest.approx(0.387, abs=5e-4)
    assert result["condition"].nunique() == 114
    assert (result["url"] == "").sum() == 41


DDI = pd.DataFrame(
    {
        "DDI_ID": ["1", "2", "3", "4"],
        "DDI_file": ["000001.png", "000002.png", "dir/000003.png", "000004.PNG"],
        "skin_tone": ["12", "34.0", "56", "n/a"],
        "malignant": ["True", "False", "False", "True"],
        "disease": ["melanoma", "NA", "wart", "nevus"],
        "clinic": ["Stanford", "", "Stanford", "Bern"],
    }
)
DDI_COLUMNS = {"id": "DDI_ID", "skin_type": "skin_tone", "conditions": ["disease"]}


def test_a_table_with_other_columns_and_codes_is_read_as_it_is(tmp_path: Path) -> None:
    result = plain(
        written(DDI, tmp_path),
        DDI_COLUMNS | {"file": "DDI_file", "source": "clinic", "conditions": ["disease", "malignant"]},
        {12: 1, "34": 3, "56": 5, "missing": ["n/a"]},
    )
    assert list(result.columns) == [*COLUMNS, "file"]
    assert result["id"].tolist() == ["1", "2", "3", "4"]
    assert result["skin_type"].tolist() == [1, 3, 5, -1]
    assert set(result["second_skin_type"]) == {-1}
    assert result["condition"].tolist() == ["melanoma", "NA", "wart", "nevus"]
    assert given_levels(result) == ["condition", "condition_2"]
    assert result["source"].tolist() == ["Stanford", "unknown", "Stanford", "Bern"]
    assert result["file"].tolist() == DDI["DDI_file"].tolist()


def test_a_code_that_is_not_mapped_is_refused_with_counts_and_lines(tmp_path: Path) -> None:
    path = written(DDI, tmp_path)
    with pytest.raises(UserError, match=r"skin_tone: expected 12, 56 or an empty cell; found '34.0' in 1 row .*line 3"):
        plain(path, DDI_COLUMNS, {"12": 1, "56": 5, "missing": []})
    # With codes, 1 to 6 do not mean themselves: in another coding they may stand for something else.
    scin = written(table(fitzpatrick_scale=["FST1", "FST1", "FST5", "FST6", "2", ""]), tmp_path)
    with pytest.raises(UserError, match=r"found '2' in 1 row \(the first is line 6\)"):
        read_fitzpatrick17k(scin, skin_types={f"FST{kind}": kind for kind in range(1, 7)})
    with pytest.raises(UserError, match=r"found 'FST1' in 2 rows .*line 2\), 'FST5' in 1 row"):
        read_fitzpatrick17k(scin)


def test_types_as_numbers_with_a_word_for_missing_need_no_codes(tmp_path: Path) -> None:
    path = written(table(fitzpatrick_scale=["1", "NA", "5", "6", "-1", "3"]), tmp_path)
    found = read_fitzpatrick17k(path, skin_types={"missing": ["NA"]})
    assert found["skin_type"].tolist() == [1, -1, 5, 6, -1, 3]


def test_a_column_that_was_named_and_is_not_there_is_refused(tmp_path: Path) -> None:
    path = written(DDI, tmp_path)
    for key, name in [("url", "link"), ("file", "name"), ("second_skin_type", "other"), ("source", "site")]:
        with pytest.raises(UserError, match=rf"missing: {name}; found .*'DDI_ID'.*data\.columns"):
            plain(path, DDI_COLUMNS | {key: name})


@pytest.mark.parametrize("wrong", [".hidden", "a/b", "a\\b", "x" * 101, " "])
def test_an_id_that_cannot_be_a_file_name_is_refused(tmp_path: Path, wrong: str) -> None:
    path = written(DDI.assign(DDI_ID=["1", wrong, "3", "4"]), tmp_path)
    with pytest.raises(UserError, match=r"DDI_ID: expected an id that can be a file name.*line 3"):
        plain(path, DDI_COLUMNS)
    path = written(DDI.assign(DDI_ID=["A", "b", "a", "4"]), tmp_path)
    with pytest.raises(UserError, match="every id once, capitals or not; found 'a' in line 4"):
        plain(path, DDI_COLUMNS)


def test_checksums_are_kept_and_what_is_none_is_refused(tmp_path: Path) -> None:
    sums = ["A" * 32, "b" * 64, " " + "c" * 32, ""]
    columns = DDI_COLUMNS | {"checksum": "sum"}
    codes = {12: 1, 34: 3, 56: 5, "missing": ["n/a"]}
    result = plain(written(DDI.assign(sum=sums), tmp_path), columns, codes)
    assert result["checksum"].tolist() == ["a" * 32, "b" * 64, "c" * 32, ""]
    assert [checksum_of(row) for row in result.to_dict("records")] == result["checksum"].tolist()
    assert without_checksum(result).tolist() == ["4"]
    for wrong in ("a" * 31, "a" * 33, "g" * 32, "a" * 63):
        path = written(DDI.assign(sum=["", wrong, "", ""]), tmp_path)
        with pytest.raises(UserError, match=rf"column sum: expected an MD5 \(32 .*; found '{wrong}' in line 3"):
            plain(path, columns, codes)
    # Without such a column an id that is an MD5 is one; that of Fitzpatrick17k is.
    result = plain(written(DDI.assign(DDI_ID=HASHES[:4]), tmp_path), DDI_COLUMNS, codes)
    assert set(result["checksum"]) == {""}
    assert [checksum_of(row) for row in result.to_dict("records")] == HASHES[:4]
    assert not len(without_checksum(result))
    assert read_fitzpatrick17k(written(table(), tmp_path))["checksum"].tolist() == HASHES


def test_patients_are_names_and_who_is_not_named_is_by_oneself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = DDI.assign(who=["7", " 007 ", "n/a", ""], source="x", status="y")
    result = plain(
        written(given, tmp_path), DDI_COLUMNS | {"patient": "who"}, {12: 1, 34: 3, 56: 5, "missing": ["n/a"]}
    )
    assert result["patient"].tolist() == ["7", "007", "", ""]
    said = capsys.readouterr().out
    assert "2 rows name no patient in who: each is taken for one of its own" in said
    assert "not kept, as the workflow's tables have columns of that name: source, status" in said


def test_tables_are_joined_by_a_column_and_what_has_no_partner_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    DDI[["DDI_ID", "skin_tone", "disease"]].to_csv(tmp_path / "images.csv", index=False)
    people = pd.DataFrame({"DDI_ID": ["4", "1", "9"], "sex": ["F", "M", "F"]})
    people.to_excel(tmp_path / "people.xlsx", index=False)
    data = {"dataset": None, "columns": {"id": "DDI_ID", "conditions": ["disease"]}, "skin_types": {}, "join": "DDI_ID"}
    result = read_images([tmp_path / "images.csv", tmp_path / "people.xlsx"], data)
    assert result["sex"].tolist() == ["M", "", "", "F"]
    assert "2 of 4 rows of" in capsys.readouterr().out
    pd.concat([people, people.head(1)]).to_excel(tmp_path / "people.xlsx", index=False)
    with pytest.raises(UserError, match="every DDI_ID once, to be joined by it; found 1 again, such as '4' in row"):
        read_images([tmp_path / "images.csv", tmp_path / "people.xlsx"], data)
    with pytest.raises(UserError, match="expected the tables of fitzpatrick17k: table; found"):
        read_images([tmp_path / "images.csv"] * 2, data | {"dataset": "fitzpatrick17k"})
