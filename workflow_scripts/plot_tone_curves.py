"""Draw reconstruction error against the apparent skin tone of the input."""

from collections.abc import Sequence
from pathlib import Path

from fairgen.errors import run
from fairgen.figures.common import figure_parser, write_figure
from fairgen.figures.tone import COLUMNS, draw_tone, tone_data, tone_text
from fairgen.tables import read_table


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--table", required=True, type=Path, help="tables/tone_curves.csv")
    options = parser.parse_args(argv)
    data = tone_data(read_table(options.table, COLUMNS))
    write_figure(lambda: draw_tone(data), tone_text(data), options)


if __name__ == "__main__":
    run(main)
