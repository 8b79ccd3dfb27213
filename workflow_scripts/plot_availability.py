"""Draw which photographs are there and what that does to the design."""

from collections.abc import Sequence
from pathlib import Path

from evenhand.figures.availability import (
    COLUMNS,
    DESIGN_COLUMNS,
    availability_data,
    availability_text,
    draw_availability,
)
from evenhand.figures.common import figure_parser, group_names, rows_to_draw, write_figure
from evenhand.workflow.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--table", required=True, type=Path, help="tables/availability.csv")
    parser.add_argument("--design", required=True, type=Path, help="tables/design.csv")
    options = parser.parse_args(argv)
    bars, conditions = availability_data(rows_to_draw(options.table, COLUMNS))
    design = rows_to_draw(options.design, DESIGN_COLUMNS)
    text = availability_text(bars, conditions, design, group_names(options))
    write_figure(lambda: draw_availability(bars, conditions, design), text, options)


if __name__ == "__main__":
    run(main)
