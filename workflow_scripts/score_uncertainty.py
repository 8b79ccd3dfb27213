"""Which uncertainty flags high error, and which an unrepresented group?"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from evenhand.evaluation.measures import CONTROLS, SCORES_OF
from evenhand.stats.rows import measured, parse_tables, read_clusters, stream_runs, study_pairs, study_parser
from evenhand.stats.uncertainty import uncertainty_table, with_other_sets
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_parquet, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "stats, groups")
    args = parse_tables(parser, argv, reads=[], writes=["uncertainty"], optional=["together"])

    alpha = args.config["stats"]["alpha"]
    clusters = read_clusters(args.read.get("together"))
    folder, names = Path(args.evaluations), [train_set.name for train_set in args.train_sets]
    ensembles = [read_parquet(folder / name / "ensemble.parquet").assign(train_set=name) for name in names]
    of_models = pd.concat(ensembles)
    from_models = [score for score in SCORES_OF["models"] if score in of_models]
    of_models = of_models[["train_set", "id", *from_models]]
    alone, bound = measured(args, [*CONTROLS, *SCORES_OF["evaluation"]]), measured(args, ["bound"])
    scores = [*alone, *(SCORES_OF["sets"] if bound and len(names) > 1 else ())]

    def scored() -> Iterator[pd.DataFrame]:
        runs = stream_runs(args, ["mse", *alone, *bound])
        return map(with_other_sets, runs) if bound else runs

    parts = []
    for pair in study_pairs(args):
        design = (pair, args.train_sets)
        parts.append(uncertainty_table(scored(), *design, scores, CONTROLS, clusters, alpha))
        # All models contribute to one score per image, on the test images of the first run: over images alone.
        first = next(scored()).merge(of_models, on=["train_set", "id"], how="left")
        of_first = uncertainty_table([first], *design, from_models, CONTROLS, clusters, alpha)
        parts.append(of_first.assign(n_runs=args.runs))
    write_csv(pd.concat(parts), args.write["uncertainty"])


if __name__ == "__main__":
    run(main)
