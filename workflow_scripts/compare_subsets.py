"""The gap where both annotators agree on the group, and within each atlas."""

from collections.abc import Sequence

import pandas as pd

from evenhand.stats.gaps import size_ratios
from evenhand.stats.study import stream, study_parser
from evenhand.stats.subsets import subset_means, subset_table
from evenhand.workflow.arguments import parse_tables
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "stats, light, dark")
    args = parse_tables(parser, argv, reads=["design"], writes=["subsets"])

    config = args.config
    metrics = ["mse", "latent_std"]
    models = stream(args, metrics, ["atlas", "fitzpatrick_scale", "fitzpatrick_centaur"])
    means = pd.concat([subset_means(model, config["light"], config["dark"], metrics) for model in models])
    ratios = size_ratios(read_table(args.read["design"]))
    write_csv(subset_table(means, metrics, ratios, config["stats"]["alpha"]), args.write["subsets"])


if __name__ == "__main__":
    run(main)
