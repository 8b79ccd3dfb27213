"""Generated images: their apparent tone against that of the training images, all of them against held-out images."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from evenhand.evaluation.pictures import read_pictures
from evenhand.stats.gaps import size_ratios
from evenhand.stats.generated import generated_table
from evenhand.stats.rows import (
    group_names,
    parse_tables,
    paths_of,
    read_clusters,
    start_paths,
    study_pairs,
    study_parser,
)
from evenhand.stats.tone import describe_samples, sample_table
from evenhand.workflow.errors import run
from evenhand.workflow.progress import track
from evenhand.workflow.tables import read_parquet, read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "stats, groups")
    optional = ["together", "samples", "generated"]  # of the tables those that the study has
    args = parse_tables(parser, argv, reads=["design"], writes=[], optional=optional)

    paths, alpha = paths_of(args), args.config["stats"]["alpha"]

    def of_starts(path: Path, name: str) -> list[Path]:
        return start_paths(path.with_name(name), args.starts)

    if "samples" in args.write:
        tables = [path for one in paths for path in of_starts(one, "samples.parquet")]
        models = [describe_samples(read_parquet(path)) for path in track(tables, len(tables), "reading", "models")]
        ratios = size_ratios(read_table(args.read["design"]))
        write_csv(sample_table(pd.concat(models), ratios, alpha), args.write["samples"])
    if "generated" in args.write:
        runs = (
            [read_pictures(path) for one in paths[number :: args.runs] for path in of_starts(one, "pictures.npz")]
            for number in track(range(args.runs), args.runs, "comparing", "runs")
        )
        clusters = read_clusters(args.read.get("together"))
        write_csv(generated_table(runs, group_names(args), study_pairs(args), clusters, alpha), args.write["generated"])


if __name__ == "__main__":
    run(main)
