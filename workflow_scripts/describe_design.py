"""Describe the sizes of the design: requested, possible with all images, and drawn."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from evenhand.splits.design import (
    Drawn,
    available,
    candidates_from,
    describe_design,
    design_from,
    draw_test,
    draw_train,
    feasible_train_size,
)
from evenhand.splits.manifests import read_draw
from evenhand.workflow.errors import run
from evenhand.workflow.files import read_rows
from evenhand.workflow.tables import write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metadata", required=True, help="data/metadata.csv: every image of the data set")
    parser.add_argument("--design", required=True, type=Path, help="settings/design.json: seed and splits")
    parser.add_argument("--splits", type=Path, help="folder of run<r>/train_<set>.csv; none: plan from metadata")
    parser.add_argument("--output", required=True, help="CSV: one row per training set")
    args = parser.parse_args(argv)

    config = json.loads(args.design.read_text("utf-8"))
    splits = config["splits"]
    design = design_from(config["seed"], splits)
    candidates = candidates_from(read_rows(args.metadata), design.groups)
    planned_size = feasible_train_size(design, available(candidates))
    draws: dict[str, list[Drawn]] = {train_set.name: [] for train_set in design.train_sets}
    for number in range(splits["runs"]):
        test = {} if args.splits else draw_test(candidates, design, number)
        for train_set in design.train_sets:
            if args.splits:
                path = args.splits / f"run{number}" / f"train_{train_set.name}.csv"
                drawn = read_draw(path, number, train_set.name)
            else:
                drawn = draw_train(candidates, design, number, train_set, planned_size, test)
            draws[train_set.name].append(drawn)
    table = pd.DataFrame(describe_design(design, planned_size, draws))
    print(table.to_string(index=False))
    write_csv(table, args.output)


if __name__ == "__main__":
    run(main)
