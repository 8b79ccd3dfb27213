"""Names in scripts that the house font lacks: fonts of the machine draw them, or the figure says what is lacking."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawing import GROUPS, PAPER
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.text import Text
from PIL import Image

from evenhand.figures.metadata import draw_prevalence, prevalence_data
from evenhand.figures.style import HOUSE_FONT, choose_fonts, describe_fonts, house_style, uncovered_characters
from evenhand.workflow.tables import write_csv

SCRIPTS = Path(__file__).parents[1] / "workflow_scripts"
# Of a private area, which no font of any machine has by these shapes; and letters that the house font has.
ONE, TWO, NONE = "\U00105c51", "\U00105c52", "\U00105c53"


def make_font(folder: Path, family: str, characters: str) -> Path:
    """A font with a black square for each of the characters."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 800), (800, 800), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    names = [".notdef", *(f"u{ord(character):X}" for character in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(character): f"u{ord(character):X}" for character in characters})
    builder.setupGlyf(dict.fromkeys(names, square))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (900, 0)))
    builder.setupHorizontalHeader(ascent=900, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=900, usWinAscent=900, usWinDescent=200, usWeightClass=400)
    builder.setupPost()
    path = folder / "fonts" / f"{family}.ttf"
    path.parent.mkdir(parents=True, exist_ok=True)
    builder.save(path)
    return path


def prevalence(names: list[str]) -> pd.DataFrame:
    counts = np.arange(1, len(names) + 1)
    shares = counts / counts.sum()
    table = {"level": "fine", "condition": names, "n_reference": counts, "n_compared": counts[::-1]}
    return pd.DataFrame(table | {"compared": "dark", "share_reference": shares, "share_compared": shares[::-1]})


def draw(folder: Path, names: list[str]) -> str:
    """Draw the figure in a process that finds the fonts in `folder`/fonts; its caption."""
    write_csv(prevalence(names), folder / "prevalence.csv")
    outputs = ["--svg", str(folder / "x.svg")]
    config = {"groups": PAPER, "synthetic": False, "settings": {"label_conditions": 3}}
    config |= {"formats": ["png"], "dpi": 200, "text": "outline"}
    command = [sys.executable, str(SCRIPTS / "draw_figure.py"), "--figure", "prevalence", *outputs]
    command += ["--files", str(folder / "prevalence.csv"), "--models", str(folder), "--config", json.dumps(config)]
    done = subprocess.run(
        [*command, "--text", str(folder / "x.json")],
        env=os.environ | {"XDG_DATA_HOME": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    caption = str(json.loads((folder / "x.json").read_text())["caption"])
    remarks = done.stdout.partition(": ")[2].strip()  # the log has them, too
    assert caption.endswith(remarks)
    assert bool(remarks) == ("font" in caption or "Letters" in caption)
    return caption


def test_a_font_of_the_machine_is_taken_and_named_and_what_none_has_is_said(tmp_path: Path) -> None:
    plain = draw(tmp_path, ["acne", "eczema", "lupus"])
    assert "font" not in plain
    with Image.open(tmp_path / "x.png") as image:
        height = image.height
    make_font(tmp_path, "Squares", ONE + TWO)
    caption = draw(tmp_path, [ONE, TWO + TWO, "lupus"])
    assert f"Letters that {HOUSE_FONT} lacks are from Squares." in caption
    assert "No installed font" not in caption
    with Image.open(tmp_path / "x.png") as image:
        assert image.height == height
    caption = draw(tmp_path, [ONE, NONE, "lupus"])
    assert f"No installed font has {NONE} (U+105C53): boxes stand in its place." in caption
    with Image.open(tmp_path / "x.png") as image:
        assert image.height > height  # the strip that says so in the picture itself


def test_the_fewest_fonts_that_draw_the_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [make_font(tmp_path, name, has) for name, has in (("One", ONE), ("Both", ONE + TWO), ("Two", TWO))]
    with monkeypatch.context() as only:
        only.setattr("evenhand.figures.style._installed", lambda: tuple(map(str, paths)))
        assert choose_fonts(["acne é\n"]).families == (HOUSE_FONT,)
        chosen = choose_fonts([ONE + "a", TWO])
        assert chosen.families == (HOUSE_FONT, "Both")
        assert describe_fonts(chosen) == f"Letters that {HOUSE_FONT} lacks are from Both."
        assert uncovered_characters([ONE, NONE, "a\u200d\u200f b"]) == {NONE}  # joiners and marks have no shape
        (tmp_path / "fonts" / "broken.ttf").write_bytes(b"no font")
        only.setattr("evenhand.figures.style._installed", lambda: (str(tmp_path / "fonts" / "broken.ttf"),))
        assert uncovered_characters([ONE]) == {ONE}
    assert font_manager.findfont(HOUSE_FONT).endswith("DejaVuSans.ttf")


@pytest.mark.parametrize("name", ["$x_1^{2}$", "a$b", "$\\frac$", "5 % {\\alpha}", "<b>x</b>", "& # ~", "_a", "\\$5"])
def test_a_name_is_drawn_as_it_is(name: str) -> None:
    with house_style():
        figure = draw_prevalence(prevalence_data(prevalence([name, "acne", "lupus"])), GROUPS, 3)
        figure.draw_without_rendering()
        drawn = [artist for artist in figure.findobj(Text) if artist.get_text() == name]
        assert len(drawn) == 1
        plain = figure.text(0, 0, name, fontsize=drawn[0].get_fontsize(), parse_math=False)
        assert drawn[0].get_window_extent().width == pytest.approx(plain.get_window_extent().width, abs=1.5)
