"""Means per run, per training set and per condition, and their covariances, from the evaluations of all models."""

from collections.abc import Iterator, Sequence

import pandas as pd

from evenhand.stats.components import StartSums
from evenhand.stats.crossed import CrossedSums
from evenhand.stats.rows import (
    by_model,
    group_names,
    measured,
    parse_tables,
    read_clusters,
    stream_runs,
    stream_starts,
    study_parser,
)
from evenhand.stats.summary import (
    GAP_METRICS,
    RUN_METRICS,
    condition_table,
    headline_table,
    pooled_conditions,
    summarise,
)
from evenhand.workflow.errors import run
from evenhand.workflow.tables import write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "stats, groups")
    writes = ["runs", "covariances", "headline", "conditions", "pooled_conditions"]
    args = parse_tables(parser, argv, reads=[], writes=writes, optional=["together", "start_covariances"])

    groups = group_names(args)
    metrics = measured(args, RUN_METRICS)
    of_gaps, clusters = [name for name in metrics if name in GAP_METRICS], read_clusters(args.read.get("together"))
    sums = CrossedSums(groups, of_gaps, clusters)

    def models() -> Iterator[pd.DataFrame]:
        """The evaluations, read once for both: `summarise` takes them, `sums` those of a run together."""
        for every in stream_runs(args, metrics, ["condition"]):
            sums.add(every)
            yield from by_model(every)

    runs, images = summarise(models(), groups, metrics)
    headline = headline_table(runs, images, metrics)
    print(headline.to_string(index=False))
    write_csv(runs, args.write["runs"])
    write_csv(sums.table(), args.write["covariances"])
    write_csv(headline, args.write["headline"])
    write_csv(condition_table(images, groups), args.write["conditions"])
    pooled = pooled_conditions(images, runs, groups, 1 - args.config["stats"]["alpha"])
    write_csv(pooled, args.write["pooled_conditions"])
    if "start_covariances" in args.write:
        starts = StartSums(groups, of_gaps, clusters)
        for of_run in stream_starts(args, of_gaps):
            starts.add(of_run)
        write_csv(starts.table(), args.write["start_covariances"])


if __name__ == "__main__":
    run(main)
