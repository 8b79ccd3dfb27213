"""Generated images: their apparent tone against that of the training images, all of them against held-out images."""

from collections.abc import Sequence

import pandas as pd

from evenhand.evaluation.pictures import read_pictures
from evenhand.stats.gaps import size_ratios
from evenhand.stats.generated import generated_table
from evenhand.stats.rows import group_names, parse_tables, paths_of, read_clusters, study_pairs, study_parser
from evenhand.stats.tone import describe_samples, sample_table
from evenhand.workflow.errors import run
from evenhand.workflow.progress import track
from evenhand.workflow.tables import read_parquet, read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "stats, groups")
    optional = ["together", "samples", "generated"]  # of the tables those that the study has
    args = parse_tables(parser, argv, reads=["design"], writes=[], optional=optional)

    paths, alpha = paths_of(args), args.config["stats"]["alpha"]
    if "samples" in args.write:
        tables = track(paths, len(paths), "reading", "models")
        models = [describe_samples(read_parquet(path.with_name("samples.parquet"))) for path in tables]
        ratios = size_ratios(read_table(args.read["design"]))
        write_csv(sample_table(pd.concat(models), ratios, alpha), args.write["samples"])
    if "generated" in args.write:
        runs = (
            [read_pictures(path.with_name("pictures.npz")) for path in paths[number :: args.runs]]
            for number in track(range(args.runs), args.runs, "comparing", "runs")
        )
        clusters = read_clusters(args.read.get("together"))
        write_csv(generated_table(runs, group_names(args), study_pairs(args), clusters, alpha), args.write["generated"])


if __name__ == "__main__":
    run(main)
