"""Draw one of the declared figures in the formats asked for, with its title, caption and alternative text as JSON."""

import argparse
import importlib
import json
from collections.abc import Sequence
from pathlib import Path

from evenhand.figures.common import Given, write_figure
from evenhand.figures.registry import declared_figures
from evenhand.splits.groups import groups_from
from evenhand.workflow.errors import run


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", required=True, help="name of a figure that a module of evenhand/figures declares")
    parser.add_argument("--files", nargs="*", default=[], type=Path, help="what it declares, such as tables/gaps.csv")
    parser.add_argument("--models", required=True, type=Path, help="folder of <train_set>/run<r>/history.csv")
    parser.add_argument(
        "--config",
        required=True,
        type=json.loads,
        help="JSON: groups (as in the configuration), synthetic, formats, dpi, text, and the settings that it declares",
    )
    parser.add_argument("--svg", required=True, type=Path, help="the figure; other formats go beside it")
    parser.add_argument("--text", required=True, type=Path, help="title, caption, alternative text and values, as JSON")
    args = parser.parse_args(argv)
    config = args.config
    groups = groups_from(config["groups"])
    figures = {figure.name: figure for figure in declared_figures(groups)}
    if args.figure not in figures:
        parser.error(f"--figure: expected one of {', '.join(figures)}; found {args.figure}")
    given = Given(
        args.figure,
        {path.stem: path for path in args.files},
        args.models,
        groups,
        config["settings"],
        config["synthetic"],
    )
    # Only the module that declares it: the job depends on that one and not on the others.
    module = importlib.import_module(f"evenhand.figures.{figures[args.figure].module}")
    write_figure(module.drawing(given), given.synthetic, args.svg, args.text, config)


if __name__ == "__main__":
    run(main)
