"""Draw a metric by training set and test group, one point per run (figures 3 and 6 of the paper)."""

from collections.abc import Sequence
from pathlib import Path

from evenhand.figures.common import figure_parser, group_names, rows_to_draw, write_figure
from evenhand.figures.group_boxes import COLUMNS, METRICS, draw_group_boxes, group_box_data, group_box_text
from evenhand.workflow.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--table", required=True, type=Path, help="tables/runs.csv")
    parser.add_argument("--metric", required=True, choices=METRICS, help="column of the table to draw")
    options = parser.parse_args(argv)
    names, metric = group_names(options), options.metric
    data = group_box_data(rows_to_draw(options.table, [*COLUMNS, metric]), metric)
    write_figure(lambda: draw_group_boxes(data, metric, names), group_box_text(data, metric, names), options)


if __name__ == "__main__":
    run(main)
