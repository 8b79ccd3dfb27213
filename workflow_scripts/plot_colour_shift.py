"""Draw how reconstructions shift colour, per training set and test group."""

from collections.abc import Sequence
from pathlib import Path

from evenhand.figures.colour_shift import COLUMNS, colour_data, colour_text, draw_colour
from evenhand.figures.common import figure_parser, group_names, rows_to_draw, write_figure
from evenhand.workflow.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--table", required=True, type=Path, help="tables/colour.csv")
    options = parser.parse_args(argv)
    data = colour_data(rows_to_draw(options.table, COLUMNS))
    write_figure(lambda: draw_colour(data, group_names(options)), colour_text(data, group_names(options)), options)


if __name__ == "__main__":
    run(main)
