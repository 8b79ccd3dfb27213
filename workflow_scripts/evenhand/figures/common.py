"""What all figures share: what they are drawn from, and the three files in which they end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text

from evenhand.figures.fonts import HOUSE_FONT, Fonts, choose_fonts, describe_fonts, uncovered_words
from evenhand.figures.style import SYNTHETIC, fst_range, house_style, mark, save_figure
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import write_json
from evenhand.workflow.tables import read_table

# What a module declares of its figures: `evenhand.figures.registry`.
Declared = dict[str, dict[str, Any]]


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


class Drawing(NamedTuple):
    """A figure before it is drawn, which may happen more than once: words, and a function that draws."""

    text: FigureText
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Given:
    """What the figure `name` is drawn from.

    Attributes:
        name: of its declaration.
        files: by the names of its declaration.
        models: folder of <train_set>/run<r>/history.csv.
        light: Fitzpatrick types of the light group.
        dark: ... of the dark group.
        settings: the ones that it declares.
        synthetic: whether anything in it is made up by a generator.
    """

    name: str
    files: Mapping[str, Path]
    models: Path
    light: Sequence[int]
    dark: Sequence[int]
    settings: Mapping[str, Any]
    synthetic: bool

    @property
    def groups(self) -> GroupNames:
        """How the groups are called."""
        return GroupNames(f"light skin ({fst_range(self.light)})", f"dark skin ({fst_range(self.dark)})")

    def table(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        """Columns of the declared table of that name; `UserError` as `rows_to_draw`."""
        return rows_to_draw(self.files[name], columns)


def rows_to_draw(path: str | Path, columns: Sequence[str]) -> pd.DataFrame:
    """The columns of a table that has at least one row.

    Raises:
        UserError: it has none, or a column is absent.
    """
    table = read_table(path, columns)
    if table.empty:
        raise UserError(f"{path}: expected at least one row, found none. There is nothing to draw.")
    return table


def write_figure(drawing: Drawing, synthetic: bool, svg: Path, png: Path, words: Path, dpi: int) -> None:
    """Draw in the house style and write the SVG, the PNG and the text that go with it.

    Where names need other fonts, the caption says which were taken; figure and caption say which characters none has.
    """
    figure, fonts = _draw_with_fonts(drawing.draw)
    text = drawing.text
    marks = [SYNTHETIC] if synthetic else []
    if fonts.uncovered:
        marks.append(uncovered_words(fonts.uncovered, shapes=False))
    with house_style(fonts.families):
        if marks:
            mark(figure, *marks)
        save_figure(figure, svg, png, dpi)
    if synthetic:
        text = text._replace(caption=f"Synthetic data. {text.caption}", alt=f"Synthetic data. {text.alt}")
    remarks = describe_fonts(fonts)
    if remarks:
        print(f"{svg}: {remarks}")
        text = text._replace(caption=f"{text.caption} {remarks}")
    write_json(text._asdict(), words)


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
