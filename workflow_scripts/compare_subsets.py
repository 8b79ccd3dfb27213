"""The gap where both annotators agree on the group, and within each source."""

from collections.abc import Sequence

import pandas as pd

from evenhand.evaluation.measures import PRINCIPAL
from evenhand.stats.gaps import size_ratios
from evenhand.stats.rows import groups_of, parse_tables, stream, study_pairs, study_parser
from evenhand.stats.subsets import columns_for_subsets, subset_means, subset_table
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = study_parser(__doc__, "stats, groups")
    args = parse_tables(parser, argv, reads=["design"], writes=["subsets"])

    groups, alpha = groups_of(args), args.config["stats"]["alpha"]
    models = stream(args, PRINCIPAL, columns_for_subsets(groups))
    means = pd.concat([subset_means(model, groups, PRINCIPAL) for model in models])
    ratios = size_ratios(read_table(args.read["design"]))
    tables = [subset_table(means, pair, PRINCIPAL, ratios, alpha) for pair in study_pairs(args)]
    write_csv(pd.concat(tables), args.write["subsets"])


if __name__ == "__main__":
    run(main)
