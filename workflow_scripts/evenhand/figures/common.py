"""What all figures share: what they are drawn from, and the three files in which they end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text

from evenhand.figures.panels import marked_values
from evenhand.figures.style import (
    HOUSE_FONT,
    SYNTHETIC,
    Fonts,
    capital,
    choose_fonts,
    describe_fonts,
    house_style,
    joined,
    mark,
    save_figure,
    uncovered_words,
)
from evenhand.splits.groups import Group
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import write_json
from evenhand.workflow.tables import read_table

# What a module declares of its figures: `evenhand.figures.registry`.
Declared = dict[str, dict[str, Any]]


class FigureText(NamedTuple):
    """The words that go with a figure: a title, a caption with n and what to see, a text for who cannot see.

    Of the caption the page shows the first paragraph, three lines at most, and folds what comes after an empty line.
    `pictures` is true where photographs are shown, which a report may have to leave out.
    """

    title: str
    caption: str
    alt: str
    pictures: bool = False


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
        groups: of the study, two at least: the reference, the compared one, further ones.
        settings: the ones that it declares.
        synthetic: whether anything in it is made up by a generator.
    """

    name: str
    files: Mapping[str, Path]
    models: Path
    groups: tuple[Group, ...]
    settings: Mapping[str, Any]
    synthetic: bool

    def table(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        """Columns of the declared table of that name; `UserError` as `rows_to_draw`."""
        return rows_to_draw(self.files[name], columns)


def rows_to_draw(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The columns of a table that has at least one row; None: all.

    Raises:
        UserError: it has none, or a column is absent.
    """
    table = read_table(path, columns)
    if table.empty:
        raise UserError(f"{path}: expected at least one row, found none. There is nothing to draw.")
    return table


def by_pair(found: Mapping[str, str], label: str = "") -> str:
    """What was found of each compared group, in a sentence each: "Gap: 3", or "Gap, men: 3. Gap, unknown: 4".

    Args:
        found: by name of the compared group, which is said only where there are several.
        label: what it is that was found; empty: "3", or "Men: 3. Unknown: 4".
    """
    labels = [capital(", ".join(filter(None, [label, name if len(found) > 1 else ""]))) for name in found]
    return ". ".join(f"{name}: {words}" if name else words for name, words in zip(labels, found.values(), strict=True))


def counts_by_pair(counts: Mapping[str, str]) -> str:
    """As `by_pair` for a number in the middle of a sentence: "3", or "3 (men) and 4 (unknown)"."""
    return joined([count if len(counts) == 1 else f"{count} ({name})" for name, count in counts.items()])


def compared_images(groups: Sequence[Group]) -> str:
    """The images that are compared with those of the reference: "dark images"."""
    return f"{groups[1].name} images" if len(groups) == 2 else "images of the compared group"


def write_figure(drawing: Drawing, synthetic: bool, svg: Path, words: Path, look: Mapping[str, Any]) -> None:
    """Draw in the house style and write the figure, its text and the values of its marks.

    Where names need other fonts, the caption says which were taken; figure and caption say which characters none has.

    Args:
        drawing: what to draw.
        synthetic: whether anything in it is made up by a generator.
        svg: the file; other formats go beside it.
        words: JSON with the text and the values.
        look: `formats`, `dpi` and `text` of the configuration of figures.
    """
    figure, fonts = draw_with_fonts(drawing.draw)
    text = drawing.text
    marks = [SYNTHETIC] if synthetic else []
    if fonts.uncovered:
        marks.append(uncovered_words(fonts.uncovered, shapes=False))
    with house_style(fonts.families):
        if marks:
            mark(figure, *marks)
        outputs = [svg.with_suffix(f".{kind}") for kind in look["formats"]]
        save_figure(figure, outputs, look["dpi"], look["text"])
    if synthetic:
        text = text._replace(caption=f"Synthetic data. {text.caption}", alt=f"Synthetic data. {text.alt}")
    remarks = describe_fonts(fonts)
    if remarks:
        print(f"{words.stem}: {remarks}")
        text = text._replace(caption=f"{text.caption} {remarks}")
    write_json(text._asdict() | {"marks": marked_values(figure)}, words)


def draw_with_fonts(draw: Callable[[], Figure]) -> tuple[Figure, Fonts]:
    """Draw, and again where the words drawn need other fonts, as letters have to be measured in the font they get."""
    fonts = Fonts((HOUSE_FONT,), frozenset())
    words: set[str] = set()
    while True:
        with house_style(fonts.families):
            figure = draw()
        words |= {str(artist.get_text()) for artist in figure.findobj(Text) if artist.get_visible()}
        wanted = choose_fonts(words)
        if wanted.families == fonts.families:
            return figure, wanted
        fonts = wanted
