"""Draw the gap with conditions or source atlases held fixed."""

from collections.abc import Sequence
from pathlib import Path

from evenhand.figures.adjusted import COLUMNS, adjusted_data, adjusted_text, draw_adjusted
from evenhand.figures.common import figure_parser, group_names, rows_to_draw, write_figure
from evenhand.workflow.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--table", required=True, type=Path, help="tables/adjusted.csv")
    options = parser.parse_args(argv)
    data = adjusted_data(rows_to_draw(options.table, COLUMNS))
    write_figure(lambda: draw_adjusted(data), adjusted_text(data, group_names(options)), options)


if __name__ == "__main__":
    run(main)
