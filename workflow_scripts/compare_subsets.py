"""The gap where both annotators agree on the group, and within each atlas."""

import json
from collections.abc import Sequence

import pandas as pd

from evenhand.stats.gaps import size_ratios
from evenhand.stats.study import stream, study_parser
from evenhand.stats.subsets import subset_means, subset_table
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--design", required=True, help="tables/design.csv")
    parser.add_argument("--config", required=True, type=json.loads, help='JSON: {"stats": {...}, "light", "dark"}')
    parser.add_argument("--output", required=True, help="CSV: one row per subset, training set and metric")
    args = parser.parse_args(argv)

    config = args.config
    metrics = ["mse", "latent_std"]
    models = stream(args, metrics, ["atlas", "fitzpatrick_scale", "fitzpatrick_centaur"])
    means = pd.concat([subset_means(model, config["light"], config["dark"], metrics) for model in models])
    ratios = size_ratios(read_table(args.design))
    write_csv(subset_table(means, metrics, ratios, config["stats"]["alpha"]), args.output)


if __name__ == "__main__":
    run(main)
