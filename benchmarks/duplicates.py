"""What the search for near-duplicates finds and costs.

    python benchmarks/duplicates.py hashes
    python benchmarks/duplicates.py damage --images results/pilot/data/searched/images.npy --n 200
    python benchmarks/duplicates.py size --images results/pilot/data/searched/images.npy --sizes 16577 100000
    python benchmarks/duplicates.py whole --images results/pilot/data/searched/images.npy --sizes 4087 16577

hashes: time of the search by hash and how it grows. Every size has the same share of planted copies (5 %, up to 4 of 64
bits changed, every fifth one mirrored), and all of them have to be found. The exponent is that of seconds against n;
comparing all pairs would give 2.

damage: of photographs damaged in known ways, the share that is linked to the photograph it was made from, and links
between photographs that have nothing in common but what was done to both, by kind of damage (docs/duplicates.md).

size: processor time of each part of the search by local features. Where a size is larger than the file, further
photographs are made from those in it, up to 26 times as many: parts, stretched, and negatives.

whole: time and memory of the whole search by local features at those sizes, each in a process of its own.
"""

import argparse
import io
import math
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

from evenhand.data.duplicates import clusters, hash_links, perceptual_hashes
from evenhand.data.feature_search import Stored, candidates, find_matches, match_pair, trusted

Picture = npt.NDArray[np.uint8]
RADIUS = 10  # the largest threshold of tables/duplicates_by_threshold.csv


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["hashes", "damage", "size", "whole"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[4_087, 16_577, 100_000])
    parser.add_argument("--images", type=Path, help=".npy of photographs of 160 px")
    parser.add_argument("--n", type=int, default=200, help="photographs to damage")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    if args.what == "hashes":
        time_hashes(args.sizes)
    elif args.what == "damage":
        photographs = np.load(args.images, mmap_mode="r")
        chosen = np.sort(np.random.default_rng(0).choice(len(photographs), args.n, replace=False))
        print(damage_table(photographs[chosen], args.workers).to_string(index=False))
    else:
        timed = time_features if args.what == "size" else time_whole
        for n in args.sizes:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:  # its memory is its own
                print(process.submit(timed, args.images, n, args.workers).result(), flush=True)


def moved(image: Picture, scale: float, degrees: float) -> Picture:
    """Closer (scale above 1) or farther, turned about the centre; what was outside mirrors what is inside."""
    side = len(image)
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), degrees, scale)
    result = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(result, np.uint8)


def cropped(image: Picture, rng: np.random.Generator) -> Picture:
    """A square of half the side, anywhere, at full size again: a crop of which the rest is gone."""
    side = len(image)
    top, left = rng.integers(0, side // 2, 2)
    return np.asarray(Image.fromarray(image[top : top + side // 2, left : left + side // 2]).resize((side, side)))


def exposed(image: Picture, factor: float) -> Picture:
    """Linear light times `factor`, as by another exposure: clipped where it is too bright."""
    return np.asarray(np.clip(255 * ((image / 255) ** 2.2 * factor) ** (1 / 2.2), 0, 255), np.uint8)


def saved(image: Picture, quality: int) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def marked(image: Picture) -> Picture:
    """A watermark of an atlas: an address in two corners, a logo, a ruler along one side."""
    result = image.copy()
    cv2.putText(result, "www.atlas-of-skin.org", (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
    cv2.putText(result, "ATLAS OF SKIN", (50, 152), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1)
    cv2.circle(result, (140, 24), 12, (255, 255, 255), 2)
    for tick in range(20, 140, 6):
        cv2.line(result, (0, tick), (4 + 4 * (tick % 4 == 0), tick), (0, 0, 0), 1)
    return result


DAMAGE: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "crop to half the side": cropped,
    "crop to 0.7 of the side": lambda image, rng: moved(image, 1 / 0.7, 0),
    "turned by 5 to 45 degrees": lambda image, rng: moved(image, 1.0, rng.uniform(5, 45)),
    "scale 0.5": lambda image, rng: moved(image, 0.5, 0),
    "scale 2": lambda image, rng: moved(image, 2.0, 0),
    "exposure x 0.4": lambda image, rng: exposed(image, 0.4),
    "exposure x 2.5": lambda image, rng: exposed(image, 2.5),
    "blur, 1.5 px": lambda image, rng: np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(1.5))),
    "JPEG at quality 20": lambda image, rng: saved(image, 20),
    "mirrored": lambda image, rng: np.ascontiguousarray(image[:, ::-1]),
    "watermark": lambda image, rng: marked(image),
    "mirrored, 0.7, turned, JPEG 50": lambda image, rng: saved(
        moved(image[:, ::-1].copy(), 0.7, rng.uniform(-30, 30)), 50
    ),
}


def damage_table(photographs: Picture, workers: int) -> pd.DataFrame:
    """For each kind of damage: photographs, found (linked to their original), share, false links among the damaged.

    A link between two photographs counts as false unless the photographs as they are are linked as well.
    """
    rng = np.random.default_rng(1)
    n = len(photographs)
    damaged = [[harm(image, rng) for image in photographs] for harm in DAMAGE.values()]
    known = linked(photographs, workers)
    rows = []
    for kind, images in zip(DAMAGE, damaged, strict=True):
        pairs = linked(np.concatenate([photographs, np.stack(images)]), workers)
        found = sum((image, image + n) in pairs for image in range(n))
        strangers = {tuple(sorted((one % n, two % n))) for one, two in pairs if one % n != two % n} - known
        rows.append(
            {"damage": kind, "photographs": n, "found": found, "share": found / n, "false_links": len(strangers)}
        )
    return pd.DataFrame(rows)


def linked(images: Picture, workers: int) -> set[tuple[int, int]]:
    """The pairs that local features link at the default threshold."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "images.npy", images)
        none = np.empty((0, 3), np.int64)
        matches = find_matches(
            Path(folder) / "images.npy", np.arange(len(images)), none, True, Path(folder) / "features", workers
        )
    good = matches[trusted(matches) & (matches["inliers"] >= 10)]
    return set(zip(good["first"].tolist(), good["second"].tolist(), strict=True))


def time_whole(path: Path, n: int, workers: int) -> str:
    """Time and memory of the search, from the packed photographs to the matches."""
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        _strangers(np.load(path, mmap_mode="r"), n, images)
        wall, processor = time.perf_counter(), time.process_time()
        matches = find_matches(
            images, np.arange(n), np.empty((0, 3), np.int64), True, Path(folder) / "features", workers
        )
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return (
        f"{n} photographs, {trusted(matches).sum()} matches: {wall:.0f} s with {workers} threads, {processor:.0f} s of "
        f"processor time, {_peak_mb():.0f} MB"
    )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def time_features(path: Path, n: int, workers: int) -> str:
    """Processor time of each part of the search, memory, and the comparisons of a sample of the candidates."""
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        _strangers(np.load(path, mmap_mode="r"), n, images)
        start = time.process_time()
        stored = Stored(images, Path(folder) / "features", workers)
        extracted = time.process_time()
        pairs = candidates(stored, True, workers)
        searched = time.process_time()
        sample = pairs[:: max(1, len(pairs) // 5_000)]
        for pair in sample.tolist():
            match_pair(stored, pair)
        each = (time.process_time() - searched) / len(sample)
        total = searched - start + each * len(pairs)
        return (
            f"{n} photographs, {stored.starts[-1] / n:.0f} features each: features {extracted - start:.0f} s, "
            f"pairs {searched - extracted:.0f} s, {len(pairs)} compared in {1e3 * each:.2f} ms each (a sample of "
            f"{len(sample)}): {total:.0f} s of processor time, {_peak_mb():.0f} MB"
        )


def _strangers(photographs: Picture, n: int, path: Path) -> None:
    """Write `n` photographs: those given, then parts of them, then the negatives of all.

    The parts, three in each of four directions, do not overlap where the direction is the same, and are three times as
    long in it, which similarity transforms do not undo; a negative turns the gradients and not the places.
    """
    if n > 26 * len(photographs):
        raise SystemExit(f"--sizes: expected at most {26 * len(photographs)}, 26 for each photograph; found {n}.")
    side = photographs.shape[1]
    made = np.lib.format.open_memmap(path, "w+", np.uint8, (n, side, side, 3))
    for row in range(n):
        version, original = divmod(row, len(photographs))
        negative, view = divmod(version, 13)
        image = 255 - photographs[original] if negative else photographs[original]
        made[row] = _part(image, *divmod(view - 1, 4)) if view else image
    made.flush()


def _part(image: Picture, part: int, direction: int) -> Picture:
    """Part 0, 1 or 2 of a photograph in direction 0 to 3, eighths of a turn, three times as long; nothing beyond it."""
    side = len(image)
    along = np.array([np.cos(np.pi / 4 * direction), np.sin(np.pi / 4 * direction)])
    closer, step = ((1, 1 / 3), (1.6, 0.29))[direction % 2]  # aslant, less fits into the square
    matrix = closer * (np.eye(2) + 2 * np.outer(along, along))
    shift = (side - 1) / 2 - matrix @ ((side - 1) / 2 + (part - 1) * step * side * along)
    moved = cv2.warpAffine(image, np.column_stack([matrix, shift]), (side, side), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8)


def time_hashes(sizes: list[int]) -> None:
    """Time of the search by hash."""
    images = np.random.default_rng(0).integers(0, 256, (2_000, 128, 128, 3), np.uint8)
    start = time.perf_counter()
    perceptual_hashes(images, mirrored=True)
    per_image = (time.perf_counter() - start) / len(images)
    print(f"hashing: {1 / per_image:.0f} images/s, with their mirror images, on one core")
    before: tuple[int, float] | None = None
    for n in sizes:
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
