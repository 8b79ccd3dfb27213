"""Measure what known damages to the images of the groups cost by each measure: the ruler, before any model."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from evenhand.data.metadata import assign_group
from evenhand.evaluation.ruler import choose_slow, measure_ruler, thirds
from evenhand.evaluation.scores import luminance
from evenhand.models.lpips import Lpips, load_lpips
from evenhand.models.perceptual import PerceptualLoss, load_features
from evenhand.splits.groups import groups_from
from evenhand.splits.manifests import read_images
from evenhand.training.devices import make_deterministic, place
from evenhand.workflow.errors import run
from evenhand.workflow.finished import make_once
from evenhand.workflow.tables import read_image_table, write_parquet


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="data/images.npy")
    parser.add_argument("--index", required=True, help="data/images.csv")
    parser.add_argument("--tone", help="data/tone.csv, where the images show skin")
    parser.add_argument("--features", required=True, help="VGG19 features from prepare_vgg19.py")
    parser.add_argument("--lpips", help="evaluate.lpips, where it names a file")
    parser.add_argument(
        "--config", required=True, type=json.loads, help="JSON: seed, groups, slow_images, perceptual_normalize"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--finished", type=Path, help="folder that keeps the product, for equal jobs of other studies")
    parser.add_argument("--output", required=True, type=Path, help="output Parquet: one row per image, damage and step")
    args = parser.parse_args(argv)
    make_deterministic()
    read = [args.images, args.index, args.features, *filter(None, [args.tone, args.lpips])]
    make_once(args.finished, [args.config, args.threads], read, [args.output], lambda: measure(args))


def measure(args: argparse.Namespace) -> None:
    """Measure the images of `args` and write the table."""
    seed = args.config["seed"]
    index = read_image_table(args.index)
    index["group"] = assign_group(index, groups_from(args.config["groups"]))
    rows = np.flatnonzero(index["group"] != "")
    shown = index.loc[rows, ["id", "group"]].assign(
        luminance=thirds(np.array([luminance(*read_images(args.images, rows[[place]])) for place in range(len(rows))]))
    )
    if args.tone:
        tone = read_image_table(args.tone, ["id", "tone_class"])
        shown = shown.merge(tone, on="id", how="left", validate="one_to_one")
    ids = shown["id"].tolist()
    slow = choose_slow(ids, shown["group"].tolist(), args.config["slow_images"], seed)
    networks: dict[str, PerceptualLoss | Lpips] = {
        "perceptual": PerceptualLoss(load_features(args.features), args.config["perceptual_normalize"])
    }
    if args.lpips:
        side = read_images(args.images, rows[:1]).shape[1]
        networks["lpips"] = load_lpips(args.lpips, side)
    for network in networks.values():
        place(network, torch.device("cpu"))
    costs = measure_ruler(args.images, rows, ids, slow, networks, skin=bool(args.tone), seed=seed, workers=args.threads)
    write_parquet(shown.merge(costs, on="id", validate="one_to_many"), args.output)
    print(f"{len(ids)} images of the groups of {len(index)}; features and skin of {slow.sum()}")


if __name__ == "__main__":
    run(main)
