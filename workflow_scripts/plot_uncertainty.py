"""Draw how well measures of uncertainty flag high error or an unrepresented group."""

from collections.abc import Sequence
from pathlib import Path

from evenhand.figures.common import figure_parser, rows_to_draw, write_figure
from evenhand.figures.uncertainty import COLUMNS, draw_uncertainty, uncertainty_data, uncertainty_text
from evenhand.workflow.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--table", required=True, type=Path, help="tables/uncertainty.csv")
    options = parser.parse_args(argv)
    data = uncertainty_data(rows_to_draw(options.table, COLUMNS))
    write_figure(lambda: draw_uncertainty(data), uncertainty_text(data), options)


if __name__ == "__main__":
    run(main)
