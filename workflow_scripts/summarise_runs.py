"""Means per run, per training set and per condition, from the evaluation tables of all models."""

from collections.abc import Sequence

from evenhand.stats.pooling import pooled_conditions
from evenhand.stats.study import stream, study_parser
from evenhand.stats.summary import RUN_METRICS, condition_table, headline_table, summarise
from evenhand.workflow.arguments import parse_tables
from evenhand.workflow.errors import run
from evenhand.workflow.tables import write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "stats")
    args = parse_tables(parser, argv, reads=[], writes=["runs", "headline", "conditions", "pooled_conditions"])

    runs, images = summarise(stream(args, RUN_METRICS, ["label"]))
    headline = headline_table(runs, images)
    print(headline.to_string(index=False))
    write_csv(runs, args.write["runs"])
    write_csv(headline, args.write["headline"])
    write_csv(condition_table(images), args.write["conditions"])
    write_csv(pooled_conditions(images, runs, 1 - args.config["stats"]["alpha"]), args.write["pooled_conditions"])


if __name__ == "__main__":
    run(main)
