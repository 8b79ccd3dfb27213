"""The gap between the test groups per training set and metric, with its tests."""

from collections.abc import Sequence

import pandas as pd

from evenhand.stats.gaps import gap_table, run_table
from evenhand.stats.rows import parse_tables, study_pairs, table_parser
from evenhand.stats.summary import GAP_METRICS
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = table_parser(__doc__, "stats, groups")
    args = parse_tables(parser, argv, reads=["runs", "covariances", "design"], writes=["gaps"])

    stats = args.config["stats"]
    runs, covariances, design = (read_table(args.read[name]) for name in ("runs", "covariances", "design"))
    parts = []
    for pair in study_pairs(args):
        table = run_table(runs, covariances, design, pair, GAP_METRICS)
        parts.append(gap_table(table, GAP_METRICS, stats["family"], stats["alpha"], stats["margins"]))
    gaps = pd.concat(parts)
    print(gaps.to_string(index=False))
    write_csv(gaps, args.write["gaps"])


if __name__ == "__main__":
    run(main)
