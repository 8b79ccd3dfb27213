"""Draw one of the declared figures: as SVG and as PNG, with its title, caption and alternative text as JSON."""

import argparse
import importlib
import json
from collections.abc import Sequence
from pathlib import Path

from evenhand.figures.common import Given, write_figure
from evenhand.figures.registry import declared_figures
from evenhand.workflow.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    figures = {figure.name: figure for figure in declared_figures()}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", required=True, choices=figures, metavar="NAME", help=", ".join(figures))
    parser.add_argument("--files", nargs="*", default=[], type=Path, help="what it declares, such as tables/gaps.csv")
    parser.add_argument("--models", required=True, type=Path, help="folder of <train_set>/run<r>/history.csv")
    parser.add_argument(
        "--config",
        required=True,
        type=json.loads,
        help="JSON: light, dark, synthetic, dpi, and the settings that it declares",
    )
    parser.add_argument("--svg", required=True, type=Path, help="vector output")
    parser.add_argument("--png", required=True, type=Path, help="bitmap output")
    parser.add_argument("--text", required=True, type=Path, help="title, caption and alternative text, as JSON")
    args = parser.parse_args(argv)
    config = args.config
    given = Given(
        args.figure,
        {path.stem: path for path in args.files},
        args.models,
        config["light"],
        config["dark"],
        config["settings"],
        config["synthetic"],
    )
    # Only the module that declares it: the job depends on that one and not on the others.
    module = importlib.import_module(f"evenhand.figures.{figures[args.figure].module}")
    write_figure(module.drawing(given), given.synthetic, args.svg, args.png, args.text, config["dpi"])


if __name__ == "__main__":
    run(main)
