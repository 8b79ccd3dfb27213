"""Draw the gap between the test groups per training set, with intervals."""

from collections.abc import Sequence
from pathlib import Path

from evenhand.figures.common import figure_parser, group_names, rows_to_draw, write_figure
from evenhand.figures.gaps import COLUMNS, draw_gaps, gap_data, gap_text
from evenhand.workflow.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--table", required=True, type=Path, help="tables/gaps.csv")
    options = parser.parse_args(argv)
    data = gap_data(rows_to_draw(options.table, COLUMNS))
    write_figure(lambda: draw_gaps(data), gap_text(data, group_names(options)), options)


if __name__ == "__main__":
    run(main)
