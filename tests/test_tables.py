"""Tables between stages: whatever the text, it comes back; numbers are numbers; nothing else is missing."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.workflow.errors import UserError
from evenhand.workflow.files import read_rows, row_writer
from evenhand.workflow.tables import TEXT, read_parquet, read_table, write_csv, write_parquet

# Words that pandas, R, YAML or a spreadsheet take for something else, and characters that mean something to CSV.
WORDS = [
    *("", "NA", "N/A", "n/a", "None", "nan", "NaN", "null", "NULL", "<NA>", "#N/A", "-nan", "true", "True", "FALSE"),
    *("1.0", "007", "1e5", "-1", "-1.0", "inf", "-inf", "0x10", "1_000", "no", "~"),
    *(" ", " a", "a ", "\ta", '"', '""', "'", ",", ";", "a,b;c", 'a "b"', "#a", "=1+1", "\\", "a\\"),
    *("\n", "\r", "\r\n", "a\rb", "a\nb", "\x1a", "\x00", "\ufeff", "\u2028", "condition", "id", "é", "银屑病"),
]
texts = st.one_of(st.sampled_from(WORDS), st.text(st.characters(exclude_categories=["Cs"])))


@given(st.lists(texts, min_size=1, max_size=6), st.sampled_from(sorted(TEXT)))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, words: list[str], column: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    among = {"row": range(len(words)), column: words, "mse": np.linspace(0, 1, len(words))}
    for table in ({column: words}, among):
        frame = pd.DataFrame(table).astype({column: "str"})
        write_csv(frame, folder / "words.csv")
        write_parquet(frame, folder / "words.parquet")
        for read in (read_table(folder / "words.csv"), read_parquet(folder / "words.parquet")):
            assert read[column].tolist() == words
            assert all(read[other].dtype.kind in "if" for other in read if other != column)
        assert [row[column] for row in read_rows(folder / "words.csv")] == words


@given(st.lists(texts, min_size=1, max_size=6))
def test_any_text_comes_back_row_by_row(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    with row_writer(path, ["row", "condition", "verified"]) as write:
        for row, word in enumerate(words):
            write({"row": row, "condition": word, "verified": True, "other": "left out"})
    assert [row["condition"] for row in read_rows(path)] == words
    table = read_table(path)
    assert table["condition"].tolist() == words
    assert table["row"].tolist() == list(range(len(words)))
    assert table["verified"].all()


# Without -0.0, which comes back as 0 in a column of whole numbers.
numbers = st.floats(-1e300, 1e300).map(lambda value: value + 0.0) | st.sampled_from([np.nan, np.inf, -np.inf])


@given(st.lists(numbers, min_size=1, max_size=6), st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=6))
def test_numbers_come_back(tmp_path_factory: pytest.TempPathFactory, floats: list[float], whole: list[int]) -> None:
    path = tmp_path_factory.getbasetemp() / "numbers.csv"
    write_csv(pd.DataFrame({"mse": floats}), path)
    expected = [float(f"{value:.10g}") for value in floats]  # ten digits; NaN is an empty cell, infinity a number
    assert read_table(path)["mse"].to_numpy(float) == pytest.approx(expected, rel=1e-15, abs=0, nan_ok=True)
    write_csv(read_table(path), path.with_name("again.csv"))
    assert path.with_name("again.csv").read_bytes() == path.read_bytes()
    write_csv(pd.DataFrame({"n": whole}), path)
    assert read_table(path)["n"].tolist() == whole


def test_a_missing_text_is_an_empty_one_and_a_missing_number_none(tmp_path: Path) -> None:
    table = pd.DataFrame({"note": ["a", None, np.nan, ""], "mse": [1.5, None, np.nan, np.inf], "few_skin": [True] * 4})
    write_csv(table, tmp_path / "t.csv")
    read = read_table(tmp_path / "t.csv")
    assert read["note"].tolist() == ["a", "", "", ""]
    assert read["mse"].isna().tolist() == [False, True, True, False]
    assert read["few_skin"].dtype == bool
    write_csv(table.head(0), tmp_path / "t.csv")
    read = read_table(tmp_path / "t.csv")
    assert read.empty
    assert (read["mse"] + 1).dtype == float
    assert read["note"].dtype == "str"


def test_the_kind_of_a_column_is_declared_on_both_sides(tmp_path: Path) -> None:
    for wrong in ({"mse": ["a"]}, {"mse": ["1.0"]}, {"condition": [7]}, {"condition": ["a", 7]}, {"condition": [True]}):
        with pytest.raises(ValueError, match="expected text where"):
            write_csv(pd.DataFrame(wrong), tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()
    (tmp_path / "t.csv").write_text("condition,mse\nNA,1\nNA,NA\n")
    with pytest.raises(UserError, match=r"column mse: expected numbers; found 'NA' \(row 2\)"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(UserError, match="missing: n; found: condition, mse"):
        read_table(tmp_path / "t.csv", ["condition", "n"])
    assert read_table(tmp_path / "t.csv", ["condition"])["condition"].tolist() == ["NA", "NA"]
    with pytest.raises(ValueError, match="text in every row of condition"):
        write_parquet(pd.DataFrame({"condition": ["a", None]}), tmp_path / "t.parquet")


def test_a_level_of_labels_is_text_and_one_of_intervals_a_number(tmp_path: Path) -> None:
    for level, expected in ((["three", "fine"], ["three", "fine"]), ([0.95, np.nan], [0.95, np.nan])):
        write_csv(pd.DataFrame({"level": level, "n": 1}), tmp_path / "t.csv")
        assert read_table(tmp_path / "t.csv")["level"].tolist() == pytest.approx(expected, nan_ok=True)


def test_columns_come_in_the_order_asked_for(tmp_path: Path) -> None:
    write_csv(pd.DataFrame({"condition": ["a"], "mse": [1.0], "n": [2]}), tmp_path / "t.csv")
    assert list(read_table(tmp_path / "t.csv", ["n", "condition"])) == ["n", "condition"]
