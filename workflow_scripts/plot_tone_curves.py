"""Draw reconstruction error against the apparent skin tone of the input."""

from collections.abc import Sequence
from pathlib import Path

from evenhand.figures.common import figure_parser, write_figure
from evenhand.figures.tone import COLUMNS, draw_tone, tone_data, tone_text
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--table", required=True, type=Path, help="tables/tone_curves.csv")
    options = parser.parse_args(argv)
    data = tone_data(read_table(options.table, COLUMNS))
    write_figure(lambda: draw_tone(data), tone_text(data), options)


if __name__ == "__main__":
    run(main)
