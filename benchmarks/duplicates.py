"""Time of the search for near-duplicates, and how it grows with the number of images.

    python benchmarks/duplicates.py

Every size has the same share of planted copies (5 %, up to 4 of 64 bits changed, every fifth one mirrored), and all of
them have to be found. The exponent is that of seconds against n; comparing all pairs would give 2.
"""

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

from evenhand.data.duplicates import clusters, hash_links, perceptual_hashes

RADIUS = 10  # the largest threshold of tables/duplicates_by_threshold.csv


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[4_087, 16_577, 100_000])
    parser.add_argument("--hashed", type=int, default=2_000, help="images to hash for the speed of that part")
    args = parser.parse_args()
    images = np.random.default_rng(0).integers(0, 256, (args.hashed, 128, 128, 3), np.uint8)
    start = time.perf_counter()
    perceptual_hashes(images, mirrored=True)
    per_image = (time.perf_counter() - start) / args.hashed
    print(f"hashing: {1 / per_image:.0f} images/s, with their mirror images, on one core")
    before: tuple[int, float] | None = None
    for n in args.sizes:
        codes, copies = planted(n)
        start = time.perf_counter()
        cluster = clusters(n, [hash_links(codes, RADIUS)])
        seconds = time.perf_counter() - start
        assert (cluster[copies[:, 0]] == cluster[copies[:, 1]]).all()
        growth = f", exponent {math.log(seconds / before[1]) / math.log(n / before[0]):.2f}" if before else ""
        print(f"{n} images: search {seconds:.2f} s, with hashing {seconds + n * per_image:.0f} s{growth}")
        before = (n, seconds)


def planted(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Random hashes (n, 2) of images and their mirror images, and the rows of copies and what they copy."""
    rng = np.random.default_rng(n)
    codes = rng.integers(0, 2**64, (n, 2), np.uint64)
    copies = rng.choice(n, (n // 20, 2), replace=False)
    for number, (copy, original) in enumerate(copies):
        code = codes[original].copy()
        for bit in rng.choice(64, rng.integers(0, 5), replace=False):
            code ^= np.uint64(1 << int(bit))
        codes[copy] = code[::-1] if number % 5 == 0 else code
    return codes, copies


if __name__ == "__main__":
    main()
