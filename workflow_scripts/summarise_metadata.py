"""Tables from the metadata alone: counts by skin type, condition prevalence, and how far the mixes differ."""

from collections.abc import Sequence

from evenhand.data.metadata import assign_group
from evenhand.splits.groups import groups_from, pairs_of
from evenhand.stats.prevalence import condition_mix, fst_counts, prevalence_table
from evenhand.stats.rows import parse_tables, table_parser
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_image_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = table_parser(__doc__, "seed, resamples, alpha, groups")
    args = parse_tables(
        parser, argv, reads=["metadata"], writes=["prevalence", "condition_mix"], optional=["fst_counts"]
    )

    config = args.config
    metadata = read_image_table(args.read["metadata"])
    groups = groups_from(config["groups"])
    group = assign_group(metadata, groups)
    prevalence = prevalence_table(metadata, group, pairs_of(groups))
    mix = condition_mix(prevalence, config["seed"], config["resamples"], 1 - config["alpha"])
    print(mix.to_string(index=False))
    if "fst_counts" in args.write:
        write_csv(fst_counts(metadata, group), args.write["fst_counts"])
    write_csv(prevalence, args.write["prevalence"])
    write_csv(mix, args.write["condition_mix"])


if __name__ == "__main__":
    run(main)
