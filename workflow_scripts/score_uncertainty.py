"""Which uncertainty flags high error, and which an unrepresented group?"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from evenhand.evaluation.measures import CONTROLS, SCORES_OF
from evenhand.stats.rows import parse_tables, read_clusters, stream_runs, study_pairs, study_parser
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
    of_first = pd.concat(ensembles)
    # What was not asked for has no column.
    asked = [[score for score in SCORES_OF[kind] if score in of_first] for kind in ("models", "weights")]
    alone = [*CONTROLS, *SCORES_OF["evaluation"]]
    scores = [*alone, *(SCORES_OF["sets"] if len(names) > 1 else ())]

    def scored() -> Iterator[pd.DataFrame]:
        return map(with_other_sets, stream_runs(args, ["mse", *alone, "bound"]))

    parts = []
    for pair in study_pairs(args):
        design = (pair, args.train_sets)
        parts.append(uncertainty_table(scored(), *design, scores, CONTROLS, clusters, alpha))
        # One score per image, on the test images of the first run, from all models or from its own: over images alone.
        first = next(scored())
        for of_kind, n_runs in zip(asked, (args.runs, 1), strict=True):
            if of_kind:
                known = first.merge(of_first[["train_set", "id", *of_kind]], on=["train_set", "id"], how="left")
                table = uncertainty_table([known], *design, of_kind, CONTROLS, clusters, alpha)
                parts.append(table.assign(n_runs=n_runs))
    write_csv(pd.concat(parts), args.write["uncertainty"])


if __name__ == "__main__":
    run(main)
