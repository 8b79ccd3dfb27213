"""Means per run, per training set and per condition, from the evaluation tables of all models."""

from collections.abc import Sequence

from evenhand.stats.pooling import pooled_conditions
from evenhand.stats.study import stream, study_parser
from evenhand.stats.summary import RUN_METRICS, condition_table, headline_table, summarise
from evenhand.workflow.errors import run
from evenhand.workflow.tables import write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--level", required=True, type=float, help="level of the intervals, such as 0.95")
    parser.add_argument("--run-means", required=True, help="CSV: one row per model and test group")
    parser.add_argument("--headline", required=True, help="CSV: mean and SD over runs")
    parser.add_argument("--conditions", required=True, help="CSV: mean MSE per condition")
    parser.add_argument("--pooled", required=True, help="CSV: partially pooled mean MSE per condition")
    args = parser.parse_args(argv)

    runs, images = summarise(stream(args, RUN_METRICS, ["label"]))
    headline = headline_table(runs, images)
    print(headline.to_string(index=False))
    write_csv(runs, args.run_means)
    write_csv(headline, args.headline)
    write_csv(condition_table(images), args.conditions)
    write_csv(pooled_conditions(images, runs, args.level), args.pooled)


if __name__ == "__main__":
    run(main)
