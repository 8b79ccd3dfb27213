"""Draw test images beside their reconstructions (figures 1, 4 and 5 of the paper)."""

from collections.abc import Sequence
from pathlib import Path

from fairgen.errors import run
from fairgen.figures.common import figure_parser, group_names, set_with_share, write_figure
from fairgen.figures.reconstructions import (
    draw_reconstructions,
    read_examples,
    reconstruction_data,
    reconstruction_text,
)


def main(argv: Sequence[str] | None = None) -> None:
    parser = figure_parser(__doc__)
    parser.add_argument("--examples", required=True, type=Path, help="examples.npz")
    parser.add_argument("--groups", required=True, nargs="+", choices=("light", "dark"), help="groups to show")
    parser.add_argument(
        "--sets", required=True, nargs="+", type=set_with_share, help="training sets as NAME=DARK_SHARE"
    )
    options = parser.parse_args(argv)
    names = group_names(options)
    panel = reconstruction_data(read_examples(options.examples), options.groups, dict(options.sets))
    text = reconstruction_text(panel, names, options.synthetic)
    write_figure(lambda: draw_reconstructions(panel, names), text, options)


if __name__ == "__main__":
    run(main)
