"""The claims in a terminal."""

import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from matplotlib.text import Text
from test_report import claims, config

import show_claims
from evenhand.figures.style import house_style
from evenhand.report.claims import claims_text
from evenhand.report.one_page import draw_verdicts
from evenhand.report.page import read_dictionary
from evenhand.workflow.errors import UserError


def study(folder: Path, synthetic: bool = True) -> Path:
    (folder / "data").mkdir(parents=True)
    (folder / "tables").mkdir()
    (folder / "data" / "images.json").write_text(f'{{"synthetic": {str(synthetic).lower()}}}')
    claims().to_csv(folder / "tables" / "claims.csv", index=False)
    return folder


def test_all_that_a_verdict_rests_on_is_shown() -> None:
    text = claims_text("demo", False, claims(), 200, long=True)
    first, c1, c9 = text.split("\n\n")
    assert first == "Study demo: 2 claims, 1 supported, 1 not testable."
    for expected in ("C1  SUPPORTED  Dark is worse (v2 4.1)", "A sentence.", "estimate 0.01235"):
        assert expected in c1
    for expected in ("interval 0.01 to 0.02 (90 %)", "p < 0.0001", "Holm p 0.04", "n 10", "paired t"):
        assert expected in c1
    # What there is no number for is left out, not shown as a dash or nan.
    assert "C9  NOT TESTABLE" in c9
    assert "estimate" not in c9
    assert "nan" not in claims_text("demo", False, claims().assign(test=None), 200, long=True)


def test_a_line_a_claim_fits_a_screen() -> None:
    many = pd.concat([claims()] * 8, ignore_index=True)
    lines = claims_text("demo", True, many, 80).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert lines[2].startswith("C1  supported*")
    assert lines[3].startswith("C9  not testable ")


def test_synthetic_data_are_called_so() -> None:
    assert "SYNTHETIC" in claims_text("demo", True, claims(), 80)
    assert "SYNTHETIC" not in claims_text("demo", False, claims(), 80)


@pytest.mark.parametrize("width", [40, 60, 100])
def test_lines_are_no_wider_than_the_terminal(width: int) -> None:
    long = claims().assign(sentence="In a study of this size nobody can tell. " * 9)
    lines = claims_text("demo", True, long, width, long=True).splitlines()
    assert max(map(len, lines)) <= width
    assert any(len(line) > width - 15 for line in lines)


def test_probe_claims_are_shown_with_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = study(tmp_path / "demo")
    claims().head(1).assign(claim="P1").to_csv(folder / "tables" / "probe_claims.csv", index=False)
    show_claims.main([str(folder)])
    shown = capsys.readouterr().out
    assert shown.startswith("Study demo: 3 claims")
    assert shown.index("C9 ") < shown.index("P1 ")


@pytest.mark.parametrize("synthetic", [True, False])
def test_a_study_of_embeddings_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str], synthetic: bool) -> None:
    for name in ("tables", "figures"):
        (tmp_path / "cxr" / name).mkdir(parents=True)
    claims().assign(claim="P1").to_csv(tmp_path / "cxr" / "tables" / "probe_claims.csv", index=False)
    alt = "Synthetic data. Curves." if synthetic else "Curves."
    (tmp_path / "cxr" / "figures" / "probe_curves.json").write_text(json.dumps({"alt": alt}))
    show_claims.main([str(tmp_path / "cxr")])
    assert ("SYNTHETIC" in capsys.readouterr().out) == synthetic


def test_a_study_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    study(tmp_path / "demo")
    with pytest.raises(UserError, match=r"claims\.csv of a finished study, found none.* there: demo\."):
        show_claims.main([str(tmp_path / "papper")])


def gaps(folder: Path) -> Path:
    """A study with a table of gaps, in which a name is a formula and has signs of LaTeX and Markdown."""
    study(folder)
    dictionary = read_dictionary(show_claims.DICTIONARY)
    numbers = {name: [0.0123456, -1668.0, float("nan")] for name in dictionary["gaps"] if not name.startswith("$")}
    names = {"train_set": ["=1+1", "a_b & 5 % <|>", "C"], "compared": "dark", "metric": "mse", "note": ""}
    pd.DataFrame(numbers | names).to_csv(folder / "tables" / "gaps.csv", index=False)
    return folder


def test_a_table_for_a_paper(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = gaps(tmp_path / "demo")
    show_claims.main([str(folder), "--table", "gaps", "--format", "latex"])
    latex = capsys.readouterr().out
    assert r"=1+1 & 0.0123 & dark & mse & 0.0123 & 0.0123 & 0.0123 & 0.0123 to 0.0123 & 0.0123" in latex
    assert r"a\_b \& 5 \% $<$|$>$ & $-$1,668 & dark" in latex
    assert latex.splitlines()[4].startswith(r"\begin{tabular}{lrllrrrr")
    assert "C & -- & dark & mse & --" in latex
    assert "SYNTHETIC DATA" in latex
    assert "ci low" not in latex
    show_claims.main([str(folder), "--table", "gaps"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("| ratio | ratio interval | gap | interval | p | n runs | n test |")
    assert r"| a\_b & 5 % \<\|\> | −1,668 | dark | mse |" in lines[3]  # noqa: RUF001
    show_claims.main([str(folder), "--format", "markdown"])
    assert "| C1 | Dark is worse | supported | 0.0123 | 0.01 to 0.02 |" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"tables/gap\.csv of a finished study, found none.* claims, gaps\."):
        show_claims.main([str(folder), "--table", "gap"])


def test_all_tables_in_one_workbook(tmp_path: Path) -> None:
    folder = gaps(tmp_path / "demo")
    written = []
    for _ in range(2):
        show_claims.main([str(folder), "--format", "xlsx"])
        written.append((folder / "tables.xlsx").read_bytes())
    assert written[0] == written[1]
    book = openpyxl.load_workbook(folder / "tables.xlsx")
    assert book.sheetnames == ["contents", "claims", "gaps"]
    frame = pd.read_csv(folder / "tables" / "gaps.csv")
    found = pd.read_excel(folder / "tables.xlsx", sheet_name="gaps")
    pd.testing.assert_frame_equal(found, frame, check_dtype=False)  # in full precision
    assert book["gaps"]["A2"].data_type == "s"  # "=1+1" is a name
    meanings = {(row[0], row[1]): row[2] for row in book["contents"].iter_rows(values_only=True)}
    assert meanings["gaps", "ratio"] == "mean_compared / mean_reference."


def test_the_verdicts_on_one_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = study(tmp_path / "demo")
    (folder / "settings").mkdir()
    (folder / "settings" / "study.json").write_text(json.dumps(config()))
    written = []
    for _ in range(2):
        show_claims.main([str(folder), "--format", "pdf"])
        written.append((folder / "verdicts.pdf").read_bytes())
    assert written[0] == written[1]
    assert written[0].count(b"/Type /Page ") == 1
    assert capsys.readouterr().out.startswith("verdicts: ")
    with pytest.raises(UserError, match="pdf is not of one; found claims"):
        show_claims.main([str(folder), "--format", "pdf", "--table", "claims"])
    # As many claims as there may be, in words as long as any: nothing is cut, nothing covers anything else.
    statement = "Reconstructions of dark images change colour with the training set, those of light images do not"
    many = pd.concat([claims().head(1).assign(verdict="no relevant difference", statement=statement)] * 22)
    many = many.assign(claim=[f"C{place}" for place in range(1, 23)])
    with house_style():
        figure = draw_verdicts("demo", True, many, "Two sentences. " * 30, {"code": "a1b2c3, modified since"})
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in figure.findobj(Text) if text.get_text()]
    assert len(boxes) == 4 + 4 * 22
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 for box in boxes)
    assert not any(first.overlaps(second) for first, second in combinations(boxes, 2))


def test_the_reader_may_stop_early(tmp_path: Path) -> None:
    folder = study(tmp_path / "demo")
    many = pd.concat([claims()] * 2000)
    many.to_csv(folder / "tables" / "claims.csv", index=False)
    script = str(Path(show_claims.__file__))
    line = f"{sys.executable} {script} {folder} | head -n 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Study demo")
    assert done.stderr == ""
