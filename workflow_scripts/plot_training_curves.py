"""Draw the loss and its terms by epoch, a line per model."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from evenhand.figures.common import figure_parser, rows_to_draw, write_figure
from evenhand.figures.training_curves import COLUMNS, draw_training, training_data, training_text
from evenhand.splits.train_sets import read_train_sets
from evenhand.workflow.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--models", required=True, type=Path, help="folder of <train_set>/run<r>/history.csv")
    parser.add_argument("--train-sets", required=True, type=read_train_sets, help="settings/train_sets.json")
    parser.add_argument("--runs", required=True, type=int, help="number of runs")
    options = parser.parse_args(argv)
    histories = [
        rows_to_draw(options.models / name / f"run{number}" / "history.csv", COLUMNS).assign(
            train_set=name, dark_share=share, run=number
        )
        for name, share in options.train_sets
        for number in range(options.runs)
    ]
    data = training_data(pd.concat(histories, ignore_index=True))
    write_figure(lambda: draw_training(data), training_text(data), options)


if __name__ == "__main__":
    run(main)
