"""Draw the reconstruction error of both groups against the dark share of the training set."""

from collections.abc import Sequence
from pathlib import Path

from evenhand.figures.common import figure_parser, group_names, rows_to_draw, write_figure
from evenhand.figures.sweep import COLUMNS, METRIC, draw_sweep, sweep_data, sweep_text
from evenhand.workflow.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--table", required=True, type=Path, help="tables/runs.csv")
    parser.add_argument("--trends", required=True, type=Path, help="tables/sweep.csv")
    options = parser.parse_args(argv)
    names = group_names(options)
    runs = rows_to_draw(options.table, ["train_set", "dark_share", "run", "group", "n_images", METRIC])
    trends = rows_to_draw(options.trends, COLUMNS)
    trends = trends[trends["metric"] == METRIC]
    data = sweep_data(runs)
    write_figure(lambda: draw_sweep(data, runs, trends, names), sweep_text(data, trends, names), options)


if __name__ == "__main__":
    run(main)
