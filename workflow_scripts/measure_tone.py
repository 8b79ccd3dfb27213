"""Measure the apparent skin tone of every photograph."""

import argparse
import json
import os
from collections.abc import Sequence

import numpy as np
import pandas as pd

from evenhand.data.metadata import SKIN_TYPE_COLUMNS, several_sources, skin_type_column
from evenhand.data.tone import measure_tone, summarise_tone, tone_class
from evenhand.splits.groups import groups_from
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_image_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="data/images.npy")
    parser.add_argument("--index", required=True, help="data/images.csv")
    parser.add_argument("--config", required=True, type=json.loads, help="JSON: groups")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--tone", required=True, help="output CSV: one row per image")
    parser.add_argument("--by-type", required=True, help="output CSV: ITA by Fitzpatrick skin type")
    parser.add_argument("--by-source", required=True, help="output CSV: ITA by source")
    args = parser.parse_args(argv)

    column = skin_type_column(groups_from(args.config["groups"]))
    index = read_image_table(args.index, ["id", *SKIN_TYPE_COLUMNS, "source"])
    tone = pd.concat([index, measure_tone(np.load(args.images, mmap_mode="r"), args.workers)], axis=1)
    tone["tone_class"] = tone_class(tone["ita"])
    write_csv(tone, args.tone)
    write_csv(summarise_tone(tone.assign(skin_type=tone[column]), "skin_type"), args.by_type)
    by_source = summarise_tone(tone, "source")
    write_csv(by_source if several_sources(tone["source"]) else by_source.head(0), args.by_source)
    typed = tone[(tone[column] > 0) & ~tone["few_skin"]]
    correlation = typed[column].corr(typed["ita"], method="spearman")
    print(
        f"{len(tone)} images, {int(tone['few_skin'].sum())} with few skin pixels; Spearman(FST, ITA) {correlation:.2f}"
    )


if __name__ == "__main__":
    run(main)
