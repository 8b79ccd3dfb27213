"""What codecs do to the images of the groups: JPEG and WebP at several qualities, their errors, bits and gaps.

Only the data of a study are needed (`snakemake results/<study>/data/together.csv`):

    python benchmarks/codecs.py --data results/<study>/data --groups '{"light": [1, 2], "dark": [5, 6]}'

`--models` puts families that are not trained in their place, such as enlargement to four times the side:

    --models '{"bicubic": {"family": "upscale"}, "ESRGAN": {"family": "examples/esrgan.py:ESRGAN", "options": {...}}}'

Every image of the groups counts once, so intervals are over images alone (clusters of near-duplicates as the unit).
Adjusted ratios are 1 plus the gap at equal mix of conditions, or of conditions and sources, over the reference mean.
"""

import argparse
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from evenhand.evaluation.reconstructions import reconstruct
from evenhand.models.codec import Floats, Pixels, cost_of_codec, equal_error, squared_error
from evenhand.models.family import Frozen, build
from evenhand.splits.groups import Pair
from evenhand.stats.rows import read_clusters
from evenhand.stats.ruler import ratio_over_clusters
from evenhand.stats.strata import adjusted_gaps
from evenhand.stats.summary import error_totals
from evenhand.workflow.errors import UserError
from evenhand.workflow.progress import track
from evenhand.workflow.seeds import generator
from evenhand.workflow.tables import read_image_table

SETTINGS = [(kind, quality) for kind in ("JPEG", "WEBP") for quality in (10, 30, 50, 75, 95)]
TARGETS = (0.02, 0.04, 0.06)  # errors on the reference such as those of VAEs; the codecs of claim K1
ALPHA = 0.05
MIN_IMAGES = 5  # of each group in a condition, as stats.min_images
BATCH = 8  # images for a model at a time


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="results/<study>/data")
    parser.add_argument("--groups", required=True, type=json.loads, help="JSON: skin types of the reference, the other")
    parser.add_argument("--models", type=json.loads, default={}, help="JSON: blocks `model` by name, instead of codecs")
    parser.add_argument("--each", type=int, help="images of each group, drawn at random; left out: all")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)

    pair = Pair(*args.groups)
    images = np.load(args.data / "images.npy", mmap_mode="r")
    index = read_image_table(args.data / "images.csv")
    group_of = {kind: name for name, kinds in args.groups.items() for kind in kinds}
    rows = index.assign(row=range(len(index)), group=index["skin_type"].map(group_of)).dropna(subset=["group"])
    if args.each:
        order = np.argsort(generator(0, "codecs").random(len(rows)))
        rows = rows.iloc[order].groupby("group").head(args.each).sort_index()
    rows = rows.assign(compared_share=0.5, run=0)
    clusters = read_clusters(args.data / "together.csv") or {}
    started = time.perf_counter()
    pixels = images[rows["row"]]
    parts = []
    torch.set_num_threads(args.threads)
    for name, model in args.models.items():
        errors = errors_of_model(model, pixels, rows["id"].tolist())
        parts.append(rows.assign(train_set=name, mse=errors, bits=np.nan))
    with ThreadPoolExecutor(args.threads) as pool:
        for kind, quality in [] if args.models else SETTINGS:
            of_image = partial(cost_of_codec, kind=kind, quality=quality, side=images.shape[1])
            errors = np.array(list(pool.map(of_image, pixels)))
            parts.append(rows.assign(train_set=f"{kind} {quality}", mse=errors[:, 0], bits=errors[:, 1]))
    # Beside a model the codec of its error.
    for target in (
        [part.loc[part["group"] == pair.reference, "mse"].mean() for part in parts] if args.models else TARGETS
    ):
        codec = equal_error(pixels, (rows["group"] == pair.reference).tolist(), target, args.threads)
        name = f"JPEG {codec.quality:.3g}, {codec.side:.3g} px"
        parts.append(rows.assign(train_set=name, mse=codec.errors, bits=codec.bits))
    seconds = time.perf_counter() - started
    table = summarised(parts, pair, clusters)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    print(f"{len(rows)} images of {images.shape[1]} px, {len(parts)} settings: {seconds:.0f} s")


def errors_of_model(model: dict[str, Any], images: Pixels, names: Sequence[str]) -> Floats:
    """The squared error of each image (n, S, S, 3) under a family that is not trained, pixels in [-1, 1], (n,)."""
    defaults = yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text("utf-8"))["model"]
    network = build(defaults | model)
    if not isinstance(network, Frozen):
        raise UserError(f"--models: expected families that are not trained; found {model['family']}")
    network.prepare(images, names)
    starts = range(0, len(images), BATCH)
    found = [
        reconstruct(network.eval(), images[first : first + BATCH], torch.device("cpu"))[0]
        for first in track(starts, len(starts), model["family"], "batches")
    ]
    return np.array([squared_error(*pair) for pair in zip(images, np.concatenate(found), strict=True)])


def summarised(parts: Sequence[pd.DataFrame], pair: Pair, clusters: dict[str, str]) -> pd.DataFrame:
    """A row per codec: means, bits per pixel, ratio of the mean errors with its interval, and adjusted."""
    totals, _ = error_totals(parts, pair)
    runs = [pd.concat(parts, ignore_index=True)]
    gaps = adjusted_gaps(totals, runs, pair, clusters, 1, MIN_IMAGES, ALPHA, 0.05)
    gaps = gaps.set_index(["train_set", "adjustment"])
    rows = []
    for part in parts:
        name = part["train_set"].iloc[0]
        sides = [part.loc[part["group"] == group] for group in pair]
        of_image = part["id"].map(lambda image: clusters.get(image, image))
        ratio, low, high = ratio_over_clusters(sides[1]["mse"], sides[0]["mse"], of_image, 1 - ALPHA)
        row = {"codec": name, "n_reference": len(sides[0]), "n_compared": len(sides[1])}
        row |= {"mse_reference": sides[0]["mse"].mean(), "mse_compared": sides[1]["mse"].mean()}
        row |= {"bits_reference": sides[0]["bits"].mean(), "bits_compared": sides[1]["bits"].mean()}
        row |= {"ratio": ratio, "ratio_low": low, "ratio_high": high}
        for adjustment in ("condition", "condition and source"):
            found = gaps.loc[(name, adjustment)]
            scale = found["relative"] / found["gap"]
            key = f"at_equal_{adjustment.replace(' ', '_')}"
            row |= {key: 1 + found["relative"], f"{key}_low": 1 + found["ci_low"] * scale}
            row |= {f"{key}_high": 1 + found["ci_high"] * scale, f"{key}_coverage": found["coverage"]}
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
