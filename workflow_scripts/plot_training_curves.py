"""Draw the loss and its terms by epoch, a line per model."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fairgen.errors import run
from fairgen.figures.common import figure_parser, rows_to_draw, set_with_share, write_figure
from fairgen.figures.training_curves import COLUMNS, draw_training, training_data, training_text


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--models", required=True, type=Path, help="folder of <train_set>/run<r>/history.csv")
    parser.add_argument(
        "--sets", required=True, nargs="+", type=set_with_share, help="training sets as NAME=DARK_SHARE"
    )
    parser.add_argument("--runs", required=True, type=int, help="number of runs")
    options = parser.parse_args(argv)
    histories = [
        rows_to_draw(options.models / name / f"run{number}" / "history.csv", COLUMNS).assign(
            train_set=name, dark_share=share, run=number
        )
        for name, share in options.sets
        for number in range(options.runs)
    ]
    data = training_data(pd.concat(histories, ignore_index=True))
    write_figure(lambda: draw_training(data), training_text(data), options)


if __name__ == "__main__":
    run(main)
