"""Draw how many images there are of each Fitzpatrick skin type (figure 2 of the paper)."""

from collections.abc import Sequence
from pathlib import Path

from evenhand.figures.common import figure_parser, group_names, rows_to_draw, write_figure
from evenhand.figures.fst_counts import COLUMNS, draw_fst_counts, fst_count_data, fst_count_text
from evenhand.workflow.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--table", required=True, type=Path, help="tables/fst_counts.csv")
    options = parser.parse_args(argv)
    names = group_names(options)
    data = fst_count_data(rows_to_draw(options.table, COLUMNS))
    write_figure(lambda: draw_fst_counts(data, names), fst_count_text(data, names), options)


if __name__ == "__main__":
    run(main)
