"""Count the test images that have a near-duplicate, or a picture of the same series, in a training set."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from evenhand.splits.manifests import ids_of, read_cluster_of, read_draw, seen_in_training
from evenhand.workflow.errors import run
from evenhand.workflow.tables import write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", required=True, type=Path, help="folder of run<r>/test.csv and train_<set>.csv")
    parser.add_argument("--runs", required=True, type=int)
    parser.add_argument("--train-sets", required=True, nargs="+")
    parser.add_argument("--duplicates", required=True, help="data/duplicates.csv")
    parser.add_argument("--output", required=True, help="CSV: one row per run, training set and group")
    args = parser.parse_args(argv)

    cluster_of = read_cluster_of(args.duplicates)
    rows = []
    for number in range(args.runs):
        folder = args.splits / f"run{number}"
        test = read_draw(folder / "test.csv", number, None)
        for train_set in args.train_sets:
            trained_on = ids_of(read_draw(folder / f"train_{train_set}.csv", number, train_set))
            for group, ids in test.items():
                copies = sum(seen_in_training(ids, trained_on, cluster_of))
                counts = {"n": len(ids), "with_copy": copies, "share": copies / len(ids)}
                rows.append({"run": number, "train_set": train_set, "group": group, **counts})
    table = pd.DataFrame(rows)
    print(table.groupby(["train_set", "group"])["share"].agg(["mean", "min", "max"]).to_string())
    write_csv(table, args.output)


if __name__ == "__main__":
    run(main)
