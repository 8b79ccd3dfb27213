"""The apparent tone of generated images against that of the training images."""

from collections.abc import Sequence

import pandas as pd

from evenhand.stats.gaps import size_ratios
from evenhand.stats.rows import parse_tables, paths_of, study_parser
from evenhand.stats.tone import describe_samples, sample_table
from evenhand.workflow.errors import run
from evenhand.workflow.progress import track
from evenhand.workflow.tables import read_parquet, read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "stats")
    args = parse_tables(parser, argv, reads=["design"], writes=["samples"])

    paths = paths_of(args)
    tables = track(paths, len(paths), "reading", "models")
    models = [describe_samples(read_parquet(path.with_name("samples.parquet"))) for path in tables]
    ratios = size_ratios(read_table(args.read["design"]))
    write_csv(sample_table(pd.concat(models), ratios, args.config["stats"]["alpha"]), args.write["samples"])


if __name__ == "__main__":
    run(main)
