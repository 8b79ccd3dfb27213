"""Pairs of photographs that share local features, found without comparing all pairs.

Every descriptor has a key: the signs of its principal components. A picture asks for its own keys and for those that
differ where a component is nearly zero, as they are and mirrored. Two pictures are compared when two of the features
found this way fit the same similarity transform. The components are those of noise with the spectrum of natural
pictures, and keys are computed in whole numbers: a key depends on its picture alone. Other pictures of the study matter
in one way: keys that more than `MAX_HELD` of them have are not asked for.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import maximum_filter
from threadpoolctl import threadpool_limits

from evenhand.data.local_features import (
    APART,
    BLOCKS,
    FEATURE,
    Features,
    Match,
    Places,
    blocks_of,
    count_places,
    extract_features,
    likeness,
    match_pictures,
    mirror_features,
)
from evenhand.workflow.files import atomic_path
from evenhand.workflow.progress import track
from evenhand.workflow.seeds import generator

Picture = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Pairs = npt.NDArray[np.int64]  # (n, 3): two pictures, and 1 if one of them is mirrored

CHUNK = 1024  # pictures whose features are in one file
ASKING = 64  # pictures that ask at a time, which bounds the memory
KEY_BITS = 28
PROBED_BITS = 4  # nearest to zero: all 16 combinations of their signs are asked for
MAX_HELD = 128  # pictures with a key; what more of them share is a watermark, a border or plain texture
# Two features found by key against each other: natural logarithm of the scale, turn in radians, pixels, and per
# pixel of their distance. Twice as wide, seven times as many pairs are compared, for 1.7 % more links.
SCALE_TOLERANCE, TURN_TOLERANCE, PLACE_TOLERANCE = 0.25, 0.35, (2.0, 0.1)
# What a match must have to count, beside the inliers: pixels, and correlation. Declared from 160 pairs of strangers and
# of one patient, looked at: a watermark has inliers on a line or in a corner, and around it the pictures differ.
SPREAD, LIKENESS = 4.0, 0.6
COPY_LIKENESS = 0.8  # of pictures with too few features, whose hashes are near, laid one over the other as they are
RECURRING = 10  # pictures, unlike each other, that share what is at one place: more than that mask it
SAME_PLACE = (0.03, 2.0, 3.0)  # of a transform that leaves everything where it is: log of scale, degrees, pixels
LOOKED_AT = 5  # inliers from which on it is measured how alike the pictures are; with fewer a pair is dropped


class Stored:
    """Pictures, with their features on disk in files of `CHUNK` pictures that are named after what these hold.

    A run that was killed finds those that it wrote.
    """

    def __init__(self, images: Path, folder: Path, workers: int) -> None:
        self._images = np.load(images, mmap_mode="r")
        self._path = images
        self.n, self.side = self._images.shape[:2]
        self._files: list[Path] = []
        counts: list[npt.NDArray[np.int64]] = []
        first = range(0, self.n, CHUNK)
        with ThreadPoolExecutor(workers) as pool:  # OpenCV lets others run
            for start in track(first, len(first), "finding local features", "thousand photographs"):
                chunk = np.stack([self.picture(row) for row in range(start, min(start + CHUNK, self.n))])
                path = folder / f"{hashlib.sha256(chunk.data).hexdigest()[:32]}.features"
                if not path.exists():
                    found = list(pool.map(extract_features, chunk))
                    _save(np.array([len(features) for features in found]), path.with_suffix(".counts"))
                    _save(np.concatenate(found), path)
                counts.append(np.fromfile(path.with_suffix(".counts"), np.int64))
                self._files.append(path)
        self.starts: Rows = np.cumsum(np.concatenate([[0], *counts]))  # of each picture, counting the features of all

    # Read, not mapped: what was read of a mapped file counts as memory of the process.
    def picture(self, row: int) -> Picture:
        """One picture (side, side, 3), RGB."""
        shape = self._images.shape[1:]
        size = int(np.prod(shape))
        return np.fromfile(self._path, np.uint8, size, offset=self._images.offset + row * size).reshape(shape)

    def of(self, pictures: range) -> Features:
        """The features of consecutive pictures of one chunk."""
        chunk = pictures.start // CHUNK
        before, first, last = self.starts[[chunk * CHUNK, pictures.start, pictures.stop]]
        offset = int(first - before) * FEATURE.itemsize
        return np.fromfile(self._files[chunk], FEATURE, last - first, offset=offset)

    def chunks(self) -> Iterator[Features]:
        """The features of all pictures, file by file."""
        return (np.fromfile(path, FEATURE) for path in self._files)


class Index(NamedTuple):
    """Where the features of all pictures are, in their order, and which have a key."""

    picture: npt.NDArray[np.int32]
    place: npt.NDArray[np.complex64]
    log_size: npt.NDArray[np.complex64]  # + i times the angle
    keys: npt.NDArray[np.uint32]  # sorted, without those that too many pictures have
    features: npt.NDArray[np.int32]  # that have them


class Found(NamedTuple):
    """Two pictures, their match, and where its inliers are in each."""

    first: int
    second: int
    match: Match
    first_places: Places
    second_places: Places


def find_matches(images: Path, rank: Rows, more: Pairs, mirrored: bool, folder: Path, workers: int) -> pd.DataFrame:
    """Pairs of pictures that share local features.

    Args:
        images: .npy of pictures.
        rank: of each picture among all by something that does not depend on the order of the pictures.
        more: pairs to be compared as well.
        mirrored: whether a mirrored picture may match.
        folder: for the features; left to the caller to delete.
        workers: threads; the result does not depend on it.

    Returns:
        first and second (pictures, that of the smaller rank first) and the fields of `Match`, of at least `LOOKED_AT`
        inliers; sorted by rank.
    """
    cv2.setNumThreads(1)  # one picture is too little work for several, and so are the products of two
    with threadpool_limits(1):
        return _find_matches(Stored(images, folder, workers), rank, more, mirrored, workers)


def _find_matches(stored: Stored, rank: Rows, more: Pairs, mirrored: bool, workers: int) -> pd.DataFrame:
    pairs = np.concatenate([candidates(stored, mirrored, workers), more])
    turned = rank[pairs[:, 0]] > rank[pairs[:, 1]]
    pairs[turned, :2] = pairs[turned, 1::-1]
    pairs = np.unique(pairs, axis=0)
    with ThreadPoolExecutor(workers) as pool:
        compared = track(pool.map(partial(match_pair, stored), pairs.tolist()), len(pairs), "comparing", "pairs")
        found = [
            Found(one, two, *match) for (one, two, _), match in zip(pairs.tolist(), compared, strict=True) if match
        ]
    found = _without_recurring(found, stored.side)
    table = pd.DataFrame([match for _, _, match, _, _ in found], columns=Match._fields)
    table.insert(0, "first", np.array([one.first for one in found], np.int64))
    table.insert(1, "second", np.array([one.second for one in found], np.int64))
    table = table.assign(one=rank[table["first"]], two=rank[table["second"]])
    # As it is or mirrored, whichever more features agree with.
    table = table.sort_values(["one", "two", "inliers", "mirrored"], ascending=[True, True, False, True])
    return table.drop_duplicates(["one", "two"]).drop(columns=["one", "two"]).reset_index(drop=True)


def candidates(stored: Stored, mirrored: bool, workers: int) -> Pairs:
    """Pairs of pictures of which two features agree."""
    if not stored.starts[-1]:
        return np.empty((0, 3), np.int64)
    index = _index(stored)
    n = stored.n
    blocks = [range(start, min(start + ASKING, n)) for start in range(0, n, ASKING)]
    with ThreadPoolExecutor(workers) as pool:  # NumPy lets others run while it sorts and searches
        found = pool.map(lambda asking: _asked(stored, index, asking, mirrored), blocks)
        pairs = list(track(found, len(blocks), "looking for pairs", f"times {ASKING} photographs"))
    return np.unique(np.concatenate(pairs), axis=0)


def trusted(matches: pd.DataFrame) -> "pd.Series[bool]":
    """Which matches are of pictures that are alike around the inliers, and not on a line or in a corner alone."""
    return (matches["spread"] >= SPREAD) & (matches["likeness"] >= LIKENESS)


def match_pair(stored: Stored, pair: tuple[int, int, int]) -> tuple[Match, Places, Places] | None:
    """The match of two pictures, the first of them mirrored or not, and where its inliers are; None for too few."""
    first, second, mirrored = pair
    one, two = (stored.of(range(picture, picture + 1)) for picture in (first, second))
    match, *places = match_pictures(one, two, stored.side, bool(mirrored))
    if match.inliers < LOOKED_AT:
        return None
    alike = likeness(stored.picture(first), stored.picture(second), match, (places[0], places[1]))
    return match._replace(likeness=alike), places[0], places[1]


def _without_recurring(found: Sequence[Found], side: int) -> list[Found]:
    """The matches without those of their inliers that are where unlike pictures share something at the same place.

    Such is a watermark or a frame. It is masked in a picture, with the blocks around it, from `RECURRING` others on.
    """
    shared: dict[int, npt.NDArray[np.int64]] = {}
    for first, second, match, *places in found:
        moved = (abs(np.log(match.scale)), abs(match.turn), abs(complex(match.shift_x, match.shift_y)))
        if match.likeness < LIKENESS and not match.mirrored and all(np.less(moved, SAME_PLACE)):
            for picture, where in zip((first, second), places, strict=True):
                counts = shared.setdefault(picture, np.zeros(BLOCKS**2, np.int64))
                counts[np.unique(blocks_of(where, side))] += 1
    masks = {
        picture: maximum_filter(counts.reshape(BLOCKS, BLOCKS) >= RECURRING, 3).reshape(-1)
        for picture, counts in shared.items()
        if counts.max() >= RECURRING
    }
    nothing = np.zeros(BLOCKS**2, bool)
    left = []
    for one in found:
        match = one.match
        if one.first in masks or one.second in masks:
            masked = masks.get(one.first, nothing)[blocks_of(one.first_places, side)]
            masked |= masks.get(one.second, nothing)[blocks_of(one.second_places, side)]
            inliers, spread = count_places(one.first_places[~masked], one.second_places[~masked])
            match = match._replace(inliers=inliers, spread=spread)
        if match.inliers >= LOOKED_AT:
            left.append(one._replace(match=match))
    return left


@cache
def _components() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Principal components (128, KEY_BITS) of descriptors of noise; what their means and deviations are (KEY_BITS,).

    Whole numbers of at most 8 bits: with descriptors of 8 bits, sums of 128 products are exact.
    """
    side, spectrum = 160, 1.3
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    frequency[0, 0] = np.inf
    descriptors = []
    for picture in range(100):
        noise = generator(0, "descriptors", picture).normal(size=(side, side))
        smooth = np.fft.ifft2(np.fft.fft2(noise) / frequency**spectrum).real
        grey = np.clip(128 + 50 * smooth / smooth.std(), 0, 255).astype(np.uint8)
        descriptors.append(extract_features(grey[..., None].repeat(3, axis=2))["descriptor"])
    found = np.concatenate(descriptors).astype(np.float32)
    vectors = np.linalg.eigh(np.cov(found.T, dtype=np.float64))[1][:, : -KEY_BITS - 1 : -1]
    components = np.rint(255 * vectors / np.abs(vectors).max(axis=0)).astype(np.float32)
    projected = found @ components
    return components, np.rint(projected.mean(axis=0)), projected.std(axis=0)


def _keys(descriptors: npt.NDArray[np.uint8], probed: int) -> npt.NDArray[np.uint32]:
    """The keys (n, 2 ** probed) of descriptors (n, 128), the first column with the signs as they are."""
    components, means, deviations = _components()
    projected = descriptors.astype(np.float32) @ components - means
    bit = np.uint32(1) << np.arange(KEY_BITS, dtype=np.uint32)
    keys: npt.NDArray[np.uint32] = ((projected > 0) * bit).sum(axis=1, dtype=np.uint32)[:, None]
    if probed:
        for column in np.argpartition(np.abs(projected) / deviations, probed, axis=1)[:, :probed].T:
            keys = np.concatenate([keys, keys ^ bit[column][:, None]], axis=1)
    return keys


def _index(stored: Stored) -> Index:
    picture = np.repeat(np.arange(stored.n, dtype=np.int32), np.diff(stored.starts))
    parts = []
    for chunk in stored.chunks():
        blocks = [chunk["descriptor"][start : start + 2**16] for start in range(0, max(len(chunk), 1), 2**16)]
        parts.append((chunk["place"], _log_size(chunk), np.concatenate([_keys(block, 0)[:, 0] for block in blocks])))
    place, log_size, keys = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(keys, kind="stable").astype(np.int32)
    keys = keys[order]
    new = np.r_[True, keys[1:] != keys[:-1]]
    held_by_another = new | np.r_[True, picture[order][1:] != picture[order][:-1]]
    number = np.cumsum(new) - 1
    few = (np.bincount(number, held_by_another) <= MAX_HELD)[number]
    return Index(picture, place, log_size, keys[few], order[few])


def _asked(stored: Stored, index: Index, pictures: range, mirrored: bool) -> Pairs:
    """The pairs of these pictures with any others."""
    found = [np.empty((0, 3), np.int64)]
    for mirror in range(1 + mirrored):
        asking = stored.of(pictures)
        if mirror:
            asking = mirror_features(asking, stored.side)
        probes = _keys(asking["descriptor"], PROBED_BITS)
        order = np.argsort(probes, axis=None)
        probe = probes.reshape(-1)[order]
        left = np.searchsorted(index.keys, probe, "left")
        held = np.searchsorted(index.keys, probe, "right") - left
        feature = np.repeat(order // probes.shape[1], held)
        other = index.features[np.repeat(left - np.cumsum(held) + held, held) + np.arange(held.sum())]
        one, two = index.picture[stored.starts[pictures.start] + feature], index.picture[other]
        apart = one != two
        feature, other, one, two = feature[apart], other[apart], one[apart], two[apart]
        implied = index.log_size[other] - _log_size(asking)[feature]
        agreeing = _agreeing(one, two, asking["place"][feature], index.place[other], implied)
        found.append(np.insert(np.sort(agreeing, axis=1), 2, mirror, axis=1))
    return np.concatenate(found)


def _agreeing(
    one: npt.NDArray[np.int32],
    two: npt.NDArray[np.int32],
    place: npt.NDArray[np.complex64],
    other_place: npt.NDArray[np.complex64],
    implied: npt.NDArray[np.complex64],
) -> Pairs:
    """The pairs of pictures (n, 2) of which two features, at different places, fit one transform."""
    code = one.astype(np.int64) << 32 | two
    order = np.argsort(code, kind="stable")
    code, place, other_place, implied = code[order], place[order], other_place[order], implied[order]
    found = np.empty(0, np.int64)
    offset = 1
    rows = np.flatnonzero(code[1:] == code[:-1])
    while rows.size:
        later = rows + offset
        difference = implied[later] - implied[rows]
        step = place[later] - place[rows]
        transform = (np.exp(implied[later]) + np.exp(implied[rows])) / 2
        missed = np.abs(transform * step - (other_place[later] - other_place[rows]))
        agree = (np.abs(difference.real) < SCALE_TOLERANCE) & (np.cos(difference.imag) > np.cos(TURN_TOLERANCE))
        agree &= (np.abs(step) > APART) & (missed < PLACE_TOLERANCE[0] + PLACE_TOLERANCE[1] * np.abs(step))
        found = np.union1d(found, code[rows[agree]])
        offset += 1
        rows = rows[rows + offset < len(code)]
        rows = rows[code[rows + offset] == code[rows]]
        rows = rows[~np.isin(code[rows], found)]
    return np.stack([found >> 32, found & 0xFFFFFFFF], axis=1)


def _log_size(features: Features) -> npt.NDArray[np.complex64]:
    return (np.log(features["size"]) + 1j * features["angle"]).astype(np.complex64)


def _save(array: npt.NDArray[np.generic], path: Path) -> None:
    with atomic_path(path) as temporary:
        array.tofile(temporary)
