"""Means per run, per training set and per condition, from the evaluation tables of all models."""

import argparse
from collections.abc import Sequence

from tqdm import tqdm

from fairgen.errors import run
from fairgen.files import write_csv
from fairgen.stats.rows import evaluation_paths, read_evaluations
from fairgen.stats.summary import RUN_METRICS, condition_table, headline_table, summarise


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    # The folder, not the files: three thousand paths do not fit on a command line.
    parser.add_argument("--evaluations", required=True, help="folder with <train_set>/run<run>/evaluation.parquet")
    parser.add_argument("--train-sets", required=True, nargs="+", help="names of the training sets")
    parser.add_argument("--runs", required=True, type=int, help="number of runs, counted from 0")
    parser.add_argument("--run-means", required=True, help="CSV: one row per model and test group")
    parser.add_argument("--headline", required=True, help="CSV: mean and SD over runs")
    parser.add_argument("--conditions", required=True, help="CSV: mean MSE per condition")
    args = parser.parse_args(argv)

    paths = evaluation_paths(args.evaluations, args.train_sets, args.runs)
    runs, images = summarise(read_evaluations(tqdm(paths, unit="model"), RUN_METRICS, ["label"]))
    headline = headline_table(runs, images)
    print(headline.to_string(index=False))
    write_csv(runs, args.run_means)
    write_csv(headline, args.headline)
    write_csv(condition_table(images), args.conditions)


if __name__ == "__main__":
    run(main)
