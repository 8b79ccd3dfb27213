"""What codecs do to the images of the groups: JPEG and WebP at several qualities, their errors, bits and gaps.

No model is needed, only the data of a study (`snakemake results/<study>/data/together.csv`):

    python benchmarks/codecs.py --data results/<study>/data --groups '{"light": [1, 2], "dark": [5, 6]}'

Every image of the groups counts once, so intervals are over images alone (clusters of near-duplicates as the unit).
Adjusted ratios are 1 plus the gap at equal mix of conditions, or of conditions and sources, over the reference mean.
"""

import argparse
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from evenhand.models.codec import recode, squared_error
from evenhand.splits.groups import Pair
from evenhand.stats.rows import read_clusters
from evenhand.stats.ruler import ratio_over_clusters
from evenhand.stats.strata import adjusted_gaps
from evenhand.stats.summary import error_totals
from evenhand.workflow.tables import read_image_table, write_csv

SETTINGS = [(kind, quality) for kind in ("JPEG", "WEBP") for quality in (10, 30, 50, 75, 95)]
ALPHA = 0.05
MIN_IMAGES = 5  # of each group in a condition, as stats.min_images


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="results/<study>/data")
    parser.add_argument("--groups", required=True, type=json.loads, help="JSON: skin types of the reference, the other")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help="CSV")
    args = parser.parse_args(argv)

    pair = Pair(*args.groups)
    images = np.load(args.data / "images.npy", mmap_mode="r")
    index = read_image_table(args.data / "images.csv")
    group_of = {kind: name for name, kinds in args.groups.items() for kind in kinds}
    rows = index.assign(row=range(len(index)), group=index["skin_type"].map(group_of)).dropna(subset=["group"])
    rows = rows.assign(compared_share=0.5, run=0)
    clusters = read_clusters(args.data / "together.csv") or {}
    started = time.perf_counter()
    parts = []
    with ThreadPoolExecutor(args.threads) as pool:
        for place, (kind, quality) in enumerate(SETTINGS):

            def of_image(row: int, kind: str = kind, quality: int = quality) -> tuple[float, float]:
                found, size = recode(images[row], kind, quality, images.shape[1])
                return squared_error(images[row], found), 8 * size / images.shape[1] ** 2

            errors = np.array(list(pool.map(of_image, rows["row"])))
            parts.append(rows.assign(train_set=f"{place} {kind} {quality}", mse=errors[:, 0], bits=errors[:, 1]))
    seconds = time.perf_counter() - started
    table = summarised(parts, pair, clusters)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    print(f"{len(rows)} images of {images.shape[1]} px, {len(SETTINGS)} settings: {seconds:.0f} s")
    if args.output:
        write_csv(table, args.output)


def summarised(parts: Sequence[pd.DataFrame], pair: Pair, clusters: dict[str, str]) -> pd.DataFrame:
    """A row per setting: means, bits per pixel, ratio of the mean errors with its interval, and adjusted."""
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
        row = {"codec": name.partition(" ")[2], "n_reference": len(sides[0]), "n_compared": len(sides[1])}
        row |= {"mse_reference": sides[0]["mse"].mean(), "mse_compared": sides[1]["mse"].mean()}
        row |= {"bits_reference": sides[0]["bits"].mean(), "bits_compared": sides[1]["bits"].mean()}
        row |= {"ratio": ratio, "ratio_low": low, "ratio_high": high}
        for adjustment in ("condition", "condition and source"):
            found = gaps.loc[(name, adjustment)]
            scale = found["relative"] / found["gap"]
            key = adjustment.replace(" ", "_")
            row |= {key: 1 + found["relative"], f"{key}_low": 1 + found["ci_low"] * scale}
            row |= {f"{key}_high": 1 + found["ci_high"] * scale, f"{key}_coverage": found["coverage"]}
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
