"""Draw the apparent skin tone of the photographs by Fitzpatrick skin type."""

from collections.abc import Sequence
from pathlib import Path

from evenhand.figures.common import figure_parser, group_names, rows_to_draw, write_figure
from evenhand.figures.tone_by_type import COLUMNS, draw_tone_by_type, tone_by_type_data, tone_by_type_text
from evenhand.workflow.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--table", required=True, type=Path, help="tables/tone_by_type.csv")
    options = parser.parse_args(argv)
    data = tone_by_type_data(rows_to_draw(options.table, COLUMNS), options.light, options.dark)
    write_figure(lambda: draw_tone_by_type(data), tone_by_type_text(data, group_names(options)), options)


if __name__ == "__main__":
    run(main)
