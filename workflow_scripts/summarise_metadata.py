"""Tables from the metadata alone: counts by skin type, condition prevalence, and how far the mixes differ."""

import argparse
import json
from collections.abc import Sequence

from evenhand.data.metadata import assign_group
from evenhand.stats.prevalence import condition_mix, fst_counts, prevalence_table
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metadata", required=True, help="data/metadata.csv")
    parser.add_argument(
        "--config",
        required=True,
        type=json.loads,
        help='JSON: {"seed", "label", "light", "dark", "resamples", "alpha"}',
    )
    parser.add_argument("--fst-counts", required=True, help="CSV: images per skin type")
    parser.add_argument("--prevalence", required=True, help="CSV: conditions per group at three levels")
    parser.add_argument("--condition-mix", required=True, help="CSV: distance between the mixes per level")
    args = parser.parse_args(argv)

    config = args.config
    metadata = read_table(args.metadata)
    group = assign_group(metadata[config["label"]], config["light"], config["dark"])
    prevalence = prevalence_table(metadata, group)
    mix = condition_mix(prevalence, config["seed"], config["resamples"], 1 - config["alpha"])
    print(mix.to_string(index=False))
    write_csv(fst_counts(metadata, config["label"], group), args.fst_counts)
    write_csv(prevalence, args.prevalence)
    write_csv(mix, args.condition_mix)


if __name__ == "__main__":
    run(main)
