"""Draw one manifest of a run: its two test sets, or a training set from the images that these leave."""

import argparse
import json
from collections.abc import Sequence

from evenhand.splits.design import (
    available,
    candidates_from,
    design_from,
    draw_test,
    draw_train,
    feasible_train_size,
    left_over,
    usable,
)
from evenhand.splits.groups import TrainSet
from evenhand.splits.manifests import read_draw, write_draw
from evenhand.workflow.errors import run
from evenhand.workflow.files import read_rows


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="data/images.csv: the images that are there")
    parser.add_argument("--clusters", required=True, help="data/isolated.csv: images that stay on one side")
    parser.add_argument(
        "--config", required=True, type=json.loads, help="JSON: seed, splits, mix (of the training set)"
    )
    parser.add_argument("--run", required=True, type=int)
    parser.add_argument("--train-set", help="name of the training set to draw; none: draw the test sets")
    parser.add_argument("--test", help="manifest of the test sets of the run, for a training set")
    parser.add_argument("--output", required=True, help="CSV: run, role, group, id; its sum is put beside it")
    args = parser.parse_args(argv)

    design = design_from(args.config["seed"], args.config["splits"])
    candidates = candidates_from(read_rows(args.images), design.groups, read_rows(args.clusters))
    counts = available(candidates)
    size = feasible_train_size(design, usable(candidates, design.test_size))
    dropped = sum(available(candidates_from(read_rows(args.images), design.groups)).values()) - sum(counts.values())
    if dropped:
        print(f"{dropped} images left out: others of their patient, or their near-duplicates, are in another group")
    print(f"run {args.run}: images available: {', '.join(f'{group} {n}' for group, n in counts.items())}")
    print(f"training sets of {size} images (requested: {design.train_size}), test sets of {design.test_size}")
    if args.train_set is None:
        test = draw_test(candidates, design, args.run)
        others = left_over(candidates, test)
        if others:
            print(
                f"whole clusters do not add up to {design.test_size} test images: {len(others)} left out of this "
                f"run, as others of their clusters are tested: {', '.join(others)}"
            )
        write_draw(test, args.run, None, args.output)
    else:
        test = read_draw(args.test, args.run, None)
        train_set = TrainSet(args.train_set, args.config["mix"])
        drawn = draw_train(candidates, design, args.run, train_set, size, test)
        write_draw(drawn, args.run, args.train_set, args.output)


if __name__ == "__main__":
    run(main)
