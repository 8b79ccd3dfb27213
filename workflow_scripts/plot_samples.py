"""Draw the apparent tone of generated images beside that of the training images."""

from collections.abc import Sequence
from pathlib import Path

from evenhand.figures.common import figure_parser, rows_to_draw, write_figure
from evenhand.figures.samples import COLUMNS, draw_samples, sample_data, sample_text
from evenhand.workflow.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--table", required=True, type=Path, help="tables/samples.csv")
    options = parser.parse_args(argv)
    data = sample_data(rows_to_draw(options.table, COLUMNS))
    write_figure(lambda: draw_samples(data), sample_text(data), options)


if __name__ == "__main__":
    run(main)
