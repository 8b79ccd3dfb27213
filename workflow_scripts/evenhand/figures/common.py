"""What every figure script shares: reading a table, command-line options, and the three files it writes."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text

from evenhand.figures.fonts import HOUSE_FONT, Fonts, choose_fonts, describe_fonts, uncovered_words
from evenhand.figures.style import SYNTHETIC, fst_range, house_style, mark, save_figure
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import write_json
from evenhand.workflow.tables import read_table


class FigureText(NamedTuple):
    """The words that go with a figure: a title, a caption with n and what to see, a text for who cannot see.

    `pictures` is true where photographs are shown, which a report may have to leave out.
    """

    title: str
    caption: str
    alt: str
    pictures: bool = False


class GroupNames(NamedTuple):
    """How the two test groups are called in a figure, such as "light skin (FST 1-2)"."""

    light: str
    dark: str


def rows_to_draw(path: str | Path, columns: Sequence[str]) -> pd.DataFrame:
    """The columns of a table that has at least one row.

    Raises:
        UserError: it has none, or a column is absent.
    """
    table = read_table(path, columns)
    if table.empty:
        raise UserError(f"{path}: expected at least one row, found none. There is nothing to draw.")
    return table


def figure_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options of every figure script: outputs, resolution, synthetic mark, the groups' skin types."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--svg", required=True, type=Path, help="vector output")
    parser.add_argument("--png", required=True, type=Path, help="bitmap output")
    parser.add_argument("--text", required=True, type=Path, help="title, caption and alternative text, as JSON")
    parser.add_argument("--dpi", type=int, default=200, help="pixels per inch of the PNG")
    parser.add_argument("--synthetic", action="store_true", help="mark the figure and its caption as synthetic")
    parser.add_argument("--light", type=int, nargs="+", default=[1, 2], help="Fitzpatrick types of the light group")
    parser.add_argument("--dark", type=int, nargs="+", default=[5, 6], help="Fitzpatrick types of the dark group")
    return parser


def group_names(options: argparse.Namespace) -> GroupNames:
    """The groups' names from the parsed `--light` and `--dark`."""
    return GroupNames(f"light skin ({fst_range(options.light)})", f"dark skin ({fst_range(options.dark)})")


def write_figure(draw: Callable[[], Figure], text: FigureText, options: argparse.Namespace) -> None:
    """Draw in the house style and write the SVG, the PNG and the text that go with it.

    Where names need other fonts, the caption says which were taken; figure and caption say which characters none has.
    """
    figure, fonts = _draw_with_fonts(draw)
    marks = [SYNTHETIC] if options.synthetic else []
    if fonts.uncovered:
        marks.append(uncovered_words(fonts.uncovered, shapes=False))
    with house_style(fonts.families):
        if marks:
            mark(figure, *marks)
        save_figure(figure, options.svg, options.png, options.dpi)
    if options.synthetic:
        text = text._replace(caption=f"Synthetic data. {text.caption}", alt=f"Synthetic data. {text.alt}")
    remarks = describe_fonts(fonts)
    if remarks:
        print(f"{options.svg}: {remarks}")
        text = text._replace(caption=f"{text.caption} {remarks}")
    write_json(text._asdict(), options.text)


def _draw_with_fonts(draw: Callable[[], Figure]) -> tuple[Figure, Fonts]:
    """Draw, and again where the words drawn need other fonts, as letters have to be measured in the font they get."""
    fonts = Fonts((HOUSE_FONT,), frozenset())
    words: set[str] = set()
    while True:
        with house_style(fonts.families):
            figure = draw()
        words |= {str(artist.get_text()) for artist in figure.findobj(Text)}
        wanted = choose_fonts(words)
        if wanted.families == fonts.families:
            return figure, wanted
        fonts = wanted
