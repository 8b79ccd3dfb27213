"""Draw AUC against the share of features removed, with the controls."""

from collections.abc import Sequence
from pathlib import Path

from evenhand.figures.common import figure_parser, rows_to_draw, write_figure
from evenhand.figures.probes import COLUMNS, draw_probe_curves, probe_data, probe_text
from evenhand.workflow.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--table", required=True, type=Path, help="tables/probe_curves.csv")
    options = parser.parse_args(argv)
    data = probe_data(rows_to_draw(options.table, COLUMNS))
    write_figure(lambda: draw_probe_curves(data), probe_text(data), options)


if __name__ == "__main__":
    run(main)
