"""Which uncertainty flags high error, and which an unrepresented group?"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from evenhand.stats.rows import (
    evaluation_paths,
    group_names,
    pair_generator,
    parse_tables,
    read_clusters,
    read_evaluations,
    stream_runs,
    study_pairs,
    study_parser,
)
from evenhand.stats.uncertainty import SCORES, ensemble_table, uncertainty_table
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_parquet, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "seed, stats, groups")
    args = parse_tables(parser, argv, reads=[], writes=["uncertainty"], optional=["together"])

    stats = args.config["stats"]
    clusters = read_clusters(args.read.get("together"))
    folder, names = Path(args.evaluations), [train_set.name for train_set in args.train_sets]
    ensembles = {name: read_parquet(folder / name / "ensemble.parquet") for name in names}
    level = 1 - stats["alpha"]
    parts = []
    for pair in study_pairs(args):
        design = (pair, args.train_sets)
        runs = stream_runs(args, ["mse", *SCORES])
        parts.append(uncertainty_table(runs, *design, SCORES, clusters, stats["alpha"]))
        first = read_evaluations(evaluation_paths(folder, names, 1), group_names(args), ["mse"])
        rng = pair_generator(args, "ensemble", pair)
        parts.append(ensemble_table(first, ensembles, *design, args.runs, level, stats["resamples"], rng))
    write_csv(pd.concat(parts), args.write["uncertainty"])


if __name__ == "__main__":
    run(main)
