"""Tables on the data: what is there and what is not, and the data set in numbers."""

import argparse
from collections.abc import Sequence

import pandas as pd

from evenhand.data.availability import count_available, count_statuses
from evenhand.data.dataset_card import dataset_card
from evenhand.data.metadata import SKIN_TYPE_COLUMNS, assign_group, given_levels, several_sources
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--availability", required=True, help="data/availability.csv")
    parser.add_argument("--duplicates", required=True, help="data/duplicates.csv")
    parser.add_argument("--tone", required=True, help="data/tone.csv")
    parser.add_argument("--label", required=True, choices=SKIN_TYPE_COLUMNS, help="column that decides on the group")
    parser.add_argument("--light", required=True, type=int, nargs="+", help="skin types of the light group")
    parser.add_argument("--dark", required=True, type=int, nargs="+", help="skin types of the dark group")
    parser.add_argument("--counts", required=True, help="output CSV: what is there by type, group, atlas, condition")
    parser.add_argument("--statuses", required=True, help="output CSV: number of rows by outcome")
    parser.add_argument("--card", required=True, help="output CSV: the data set in numbers")
    args = parser.parse_args(argv)

    availability = read_table(args.availability)
    other = next(column for column in SKIN_TYPE_COLUMNS if column != args.label)
    availability["group"] = assign_group(availability[args.label], args.light, args.dark)
    availability["other_group"] = assign_group(availability[other], args.light, args.dark)
    duplicates = read_table(args.duplicates)
    tone = read_table(args.tone)
    sources = ["atlas"] if several_sources(availability["atlas"]) else []
    by = [args.label, "group", *sources, *reversed(given_levels(availability))]
    named = availability.assign(group=availability["group"].replace("", "neither"))
    write_csv(pd.concat([count_available(named, column) for column in by]), args.counts)
    write_csv(count_statuses(availability), args.statuses)
    card = dataset_card(availability, duplicates, tone)
    write_csv(card, args.card)
    print(card.to_string(index=False))


if __name__ == "__main__":
    run(main)
