"""The gap between the test groups per training set and metric, with its tests, and in equivalents of known damages."""

from collections.abc import Sequence

import pandas as pd

from evenhand.evaluation.measures import RULED
from evenhand.stats.gaps import gap_table, run_table
from evenhand.stats.plan import start_table
from evenhand.stats.rows import optional_table, parse_tables, study_pairs, table_parser
from evenhand.stats.ruler import equivalent_table, with_bias
from evenhand.stats.summary import GAP_METRICS
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = table_parser(__doc__, "stats, groups")
    args = parse_tables(
        parser,
        argv,
        reads=["runs", "covariances", "design"],
        writes=["gaps"],
        optional=[
            *("ruler", "ruler_bias", "colour_runs", "colour_covariances", "equivalents"),
            *("start_covariances", "starts"),
        ],
    )

    stats = args.config["stats"]
    runs, covariances, design = (read_table(args.read[name]) for name in ("runs", "covariances", "design"))
    starts = optional_table(args.read.get("start_covariances"))
    parts, tables, metrics = [], [], [name for name in GAP_METRICS if name in runs]
    for pair in study_pairs(args):
        table = run_table(runs, covariances, design, pair, metrics, starts=starts)
        tables.append(table)
        parts.append(gap_table(table, metrics, stats["family"], stats["alpha"], stats["margins"]))
    gaps = with_bias(pd.concat(parts), args.read.get("ruler_bias"))
    print(gaps.to_string(index=False))
    write_csv(gaps, args.write["gaps"])
    if "starts" in args.write:
        of_models = start_table(tables)
        print(of_models.to_string(index=False))
        write_csv(of_models, args.write["starts"])
    if "equivalents" not in args.write:
        return
    ruler, means = read_table(args.read["ruler"]), [(runs, covariances, False)]
    if "colour_runs" in args.read:
        means.append((read_table(args.read["colour_runs"]), read_table(args.read["colour_covariances"]), True))
    parts = []
    for pair in study_pairs(args):
        for of_runs, of_covariances, partial in means:
            measures = [name for name in RULED if name in of_runs]
            table = run_table(of_runs, of_covariances, design, pair, measures, partial, starts)
            parts.append(equivalent_table(table, ruler, stats["alpha"]))
    write_csv(with_bias(pd.concat(parts), args.read["ruler_bias"]), args.write["equivalents"])


if __name__ == "__main__":
    run(main)
