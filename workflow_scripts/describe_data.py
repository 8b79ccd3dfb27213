"""Tables on the data: what is there and what is not, and the data set in numbers."""

import argparse
import json
from collections.abc import Sequence

import pandas as pd

from evenhand.data.availability import count_available, count_statuses, dataset_card
from evenhand.data.metadata import SKIN_TYPE_COLUMNS, assign_group, given_levels, several_sources
from evenhand.splits.groups import Range, columns_of, groups_from
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_image_table, read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--availability", required=True, help="data/availability.csv")
    parser.add_argument("--duplicates", required=True, help="data/duplicates.csv")
    parser.add_argument("--tone", help="data/tone.csv; without it, nothing is said of skin")
    parser.add_argument("--config", required=True, type=json.loads, help="JSON: groups (as in the configuration)")
    parser.add_argument("--counts", required=True, help="output CSV: what is there by group, what decides on it, ...")
    parser.add_argument("--statuses", required=True, help="output CSV: number of rows by outcome")
    parser.add_argument("--card", required=True, help="output CSV: the data set in numbers")
    args = parser.parse_args(argv)

    groups = groups_from(args.config["groups"])
    columns = columns_of(groups)
    availability = read_image_table(args.availability)
    availability["group"] = assign_group(availability, groups)
    if args.tone and {*columns} & {*SKIN_TYPE_COLUMNS}:
        # The same groups by the types of the other annotators.
        first, second = SKIN_TYPE_COLUMNS
        swapped = availability.rename(columns={first: second, second: first})
        availability["other_group"] = assign_group(swapped, groups)
    sources = ["source"] if several_sources(availability["source"]) else []
    # A column of numbers, such as an age, has too many values to count each.
    counted = [name for name in columns if not any(isinstance(group.where.get(name), Range) for group in groups)]
    by = dict.fromkeys([*counted, "group", *sources, *reversed(given_levels(availability))])
    named = availability.assign(group=availability["group"].replace("", "neither"))
    write_csv(pd.concat([count_available(named, column) for column in by]), args.counts)
    write_csv(count_statuses(availability), args.statuses)
    tone = read_table(args.tone) if args.tone else None
    card = dataset_card(availability, read_table(args.duplicates), tone, [group.name for group in groups])
    write_csv(card, args.card)
    print(card.to_string(index=False))


if __name__ == "__main__":
    run(main)
