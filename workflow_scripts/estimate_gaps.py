"""The gap between the test groups per training set and metric, with its tests."""

import argparse
import json
from collections.abc import Sequence

import pandas as pd

from fairgen.errors import run
from fairgen.files import write_csv
from fairgen.stats.gaps import gap_table, run_table

METRICS = ["mse", "latent_std", "kl"]  # those outside stats.family are reported without an adjusted p


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-means", required=True, help="tables/runs.csv")
    parser.add_argument("--design", required=True, help="tables/design.csv")
    parser.add_argument("--config", required=True, type=json.loads, help='JSON: {"stats": {...}}')
    parser.add_argument("--output", required=True, help="CSV: one row per training set and metric")
    args = parser.parse_args(argv)

    stats = args.config["stats"]
    text = {"train_set": str}
    table = run_table(pd.read_csv(args.run_means, dtype=text), pd.read_csv(args.design, dtype=text), METRICS)
    gaps = gap_table(table, METRICS, stats["family"], stats["alpha"], stats["margins"])
    print(gaps.to_string(index=False))
    write_csv(gaps, args.output)


if __name__ == "__main__":
    run(main)
