"""What every figure script shares: reading a table, command-line options, and the three files it writes."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from fairgen.errors import UserError
from fairgen.files import write_json
from fairgen.style import fst_range, house_style, mark_synthetic, save_figure


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


def read_table(path: str | Path, columns: Sequence[str], may_be_empty: bool = False) -> pd.DataFrame:
    """Read a CSV and keep `columns`.

    Raises:
        UserError: a column is absent, or the table has no row and must have one.
    """
    # A name may look like a number.
    table = pd.read_csv(path, dtype={"train_set": str})
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise UserError(
            f"{path}: expected the columns {', '.join(columns)}; {', '.join(missing)} not found. "
            "It was written by another version of the code."
        )
    if table.empty and not may_be_empty:
        raise UserError(f"{path}: expected at least one row, found none. There is nothing to draw.")
    return table[list(columns)]


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


def set_with_share(text: str) -> tuple[str, float]:
    """Parse "A=0.5" as the name and the dark share of a training set."""
    name, _, share = text.partition("=")
    try:
        return name, float(share)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected NAME=DARK_SHARE such as A=0.5, found {text!r}") from None


def group_names(options: argparse.Namespace) -> GroupNames:
    """The groups' names from the parsed `--light` and `--dark`."""
    return GroupNames(f"light skin ({fst_range(options.light)})", f"dark skin ({fst_range(options.dark)})")


def write_figure(draw: Callable[[], Figure], text: FigureText, options: argparse.Namespace) -> None:
    """Draw in the house style and write the SVG, the PNG and the text that go with it."""
    with house_style():
        figure = draw()
        if options.synthetic:
            mark_synthetic(figure)
            text = text._replace(caption=f"Synthetic data. {text.caption}", alt=f"Synthetic data. {text.alt}")
        save_figure(figure, options.svg, options.png, options.dpi)
    write_json(text._asdict(), options.text)
