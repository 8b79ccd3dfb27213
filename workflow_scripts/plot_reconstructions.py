"""Draw test images beside their reconstructions (figures 1, 4 and 5 of the paper)."""

from collections.abc import Sequence
from pathlib import Path

from evenhand.figures.common import figure_parser, group_names, write_figure
from evenhand.figures.reconstructions import (
    draw_reconstructions,
    read_examples,
    reconstruction_data,
    reconstruction_text,
)
from evenhand.splits.train_sets import read_train_sets
from evenhand.workflow.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--examples", required=True, type=Path, help="examples.npz")
    parser.add_argument("--groups", required=True, nargs="+", choices=("light", "dark"), help="groups to show")
    parser.add_argument("--train-sets", required=True, type=read_train_sets, help="settings/train_sets.json")
    parser.add_argument("--only", help="name of the one training set to show; none: all")
    options = parser.parse_args(argv)
    names = group_names(options)
    shares = {name: share for name, share in options.train_sets if options.only in (None, name)}
    panel = reconstruction_data(read_examples(options.examples), options.groups, shares)
    text = reconstruction_text(panel, names, options.synthetic)
    write_figure(lambda: draw_reconstructions(panel, names), text, options)


if __name__ == "__main__":
    run(main)
