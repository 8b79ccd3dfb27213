"""Means per run, per training set and per condition, from the evaluation tables of all models."""

from collections.abc import Sequence

from evenhand.stats.rows import group_names, parse_tables, stream, study_parser
from evenhand.stats.summary import RUN_METRICS, condition_table, headline_table, pooled_conditions, summarise
from evenhand.workflow.errors import run
from evenhand.workflow.tables import write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "stats, groups")
    args = parse_tables(parser, argv, reads=[], writes=["runs", "headline", "conditions", "pooled_conditions"])

    groups = group_names(args)
    runs, images = summarise(stream(args, RUN_METRICS, ["condition"]), groups)
    headline = headline_table(runs, images)
    print(headline.to_string(index=False))
    write_csv(runs, args.write["runs"])
    write_csv(headline, args.write["headline"])
    write_csv(condition_table(images, groups), args.write["conditions"])
    pooled = pooled_conditions(images, runs, groups, 1 - args.config["stats"]["alpha"])
    write_csv(pooled, args.write["pooled_conditions"])


if __name__ == "__main__":
    run(main)
