"""Draw the reconstruction error of each condition, light against dark, per training set (figure 8 of the paper)."""

from collections.abc import Sequence
from pathlib import Path

from evenhand.figures.common import figure_parser, group_names, rows_to_draw, write_figure
from evenhand.figures.condition_mse import COLUMNS, condition_mse_data, condition_mse_text, draw_condition_mse
from evenhand.workflow.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--table", required=True, type=Path, help="tables/pooled_conditions.csv")
    parser.add_argument("--rare-below", type=int, default=10, help="fewer images than this in a group: drawn muted")
    parser.add_argument("--label-count", type=int, default=3, help="conditions named in each panel, at most")
    options = parser.parse_args(argv)
    names, rare, count = group_names(options), options.rare_below, options.label_count
    table = rows_to_draw(options.table, COLUMNS)
    data = condition_mse_data(table, rare)
    one_group_only = table["label"].nunique() - data["label"].nunique()
    text = condition_mse_text(data, names, rare, one_group_only)
    write_figure(lambda: draw_condition_mse(data, names, rare, count), text, options)


if __name__ == "__main__":
    run(main)
