"""Which uncertainty flags high error, and which an unrepresented group?"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from evenhand.stats.gaps import size_ratios
from evenhand.stats.rows import evaluation_paths, read_evaluations
from evenhand.stats.study import stream, study_parser
from evenhand.stats.uncertainty import SCORES, ensemble_table, uncertainty_table
from evenhand.workflow.arguments import parse_tables
from evenhand.workflow.errors import run
from evenhand.workflow.seeds import generator
from evenhand.workflow.tables import read_parquet, read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "seed, stats")
    args = parse_tables(parser, argv, reads=["design"], writes=["uncertainty"])

    stats = args.config["stats"]
    ratios = size_ratios(read_table(args.read["design"]))
    folder, names = Path(args.evaluations), [train_set.name for train_set in args.train_sets]
    ensembles = {name: read_parquet(folder / name / "ensemble.parquet") for name in names}
    first = read_evaluations(evaluation_paths(folder, names, 1), ["mse"])
    rng = generator(args.config["seed"], "ensemble")
    table = pd.concat(
        [
            uncertainty_table(stream(args, ["mse", *SCORES]), SCORES, ratios, stats["alpha"]),
            ensemble_table(first, ensembles, args.runs, 1 - stats["alpha"], stats["resamples"], rng),
        ]
    )
    write_csv(table, args.write["uncertainty"])


if __name__ == "__main__":
    run(main)
