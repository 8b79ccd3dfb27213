"""The apparent tone of generated images against that of the training images."""

import json
from collections.abc import Sequence

import pandas as pd

from fairgen.errors import run
from fairgen.files import write_csv
from fairgen.progress import track
from fairgen.stats.colour import describe_samples, sample_table
from fairgen.stats.gaps import size_ratios
from fairgen.stats.study import paths_of, read_table, study_parser


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--design", required=True, help="tables/design.csv")
    parser.add_argument("--config", required=True, type=json.loads, help='JSON: {"stats": {...}}')
    parser.add_argument("--output", required=True, help="CSV: one row per training set, source and quantity")
    args = parser.parse_args(argv)

    paths = paths_of(args)
    tables = track(paths, len(paths), "reading", "models")
    models = [describe_samples(pd.read_parquet(path.with_name("samples.parquet"))) for path in tables]
    ratios = size_ratios(read_table(args.design))
    write_csv(sample_table(pd.concat(models), ratios, args.config["stats"]["alpha"]), args.output)


if __name__ == "__main__":
    run(main)
