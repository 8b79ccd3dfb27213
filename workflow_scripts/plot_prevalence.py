"""Draw how common each condition is in the light and in the dark group (figure 7 of the paper)."""

from collections.abc import Sequence
from pathlib import Path

from evenhand.figures.common import figure_parser, group_names, rows_to_draw, write_figure
from evenhand.figures.prevalence import COLUMNS, draw_prevalence, prevalence_data, prevalence_text
from evenhand.workflow.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--table", required=True, type=Path, help="tables/prevalence.csv")
    parser.add_argument("--label-count", type=int, default=4, help="conditions named in each panel, at most")
    options = parser.parse_args(argv)
    names, count = group_names(options), options.label_count
    data = prevalence_data(rows_to_draw(options.table, COLUMNS))
    write_figure(lambda: draw_prevalence(data, names, count), prevalence_text(data, names), options)


if __name__ == "__main__":
    run(main)
