"""The gap where both annotators agree on the group, and within each source."""

from collections.abc import Sequence

import pandas as pd

from evenhand.evaluation.measures import PRINCIPAL
from evenhand.stats.crossed import CrossedSums
from evenhand.stats.rows import groups_of, measured, parse_tables, read_clusters, stream_runs, study_pairs, study_parser
from evenhand.stats.ruler import with_bias
from evenhand.stats.subsets import columns_for_subsets, parts_of, subset_means, subset_table
from evenhand.workflow.errors import run
from evenhand.workflow.tables import write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "stats, groups")
    args = parse_tables(parser, argv, reads=[], writes=["subsets"], optional=["together", "ruler_bias"])

    groups, clusters = groups_of(args), read_clusters(args.read.get("together"))
    metrics = measured(args, PRINCIPAL)
    means, sums = [], {}
    for every in stream_runs(args, metrics, columns_for_subsets(groups)):
        parts = parts_of(every, groups)
        means.append(subset_means(parts, metrics))
        for name, rows in parts.items():
            if name not in sums:
                sums[name] = CrossedSums([group.name for group in groups], metrics, clusters)
            sums[name].add(rows)
    covariances = {name: of_part.table() for name, of_part in sums.items()}
    alpha = args.config["stats"]["alpha"]
    tables = [subset_table(pd.concat(means), covariances, pair, metrics, alpha) for pair in study_pairs(args)]
    write_csv(with_bias(pd.concat(tables), args.read.get("ruler_bias")), args.write["subsets"])


if __name__ == "__main__":
    run(main)
