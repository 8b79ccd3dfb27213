"""Pairs of photographs that share local features, found without comparing all pairs.

Every descriptor has a key: the signs of its principal components. A picture asks for its own keys and for those that
differ where a component is nearly zero, as they are and mirrored. Two of the features found this way fit one similarity
transform by chance in a share of all pairs of pictures. So each feature of such a picture takes the one of the other
picture with the nearest key, and the two are compared when three of these fit: that costs little, and leaves a seventh
of the strangers. The components are those of noise with the spectrum of natural pictures, and keys are computed in
whole numbers: a key depends on its picture alone. Other pictures of the study matter in one way: keys that more than
`MAX_HELD` of them have are not asked for.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

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
    descriptor_keys,
    extract_features,
    likeness,
    match_pictures,
    mirror_features,
)
from evenhand.workflow.files import atomic_path
from evenhand.workflow.progress import track

Picture = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Pairs = npt.NDArray[np.int64]  # (n, 3): two pictures, and 1 if one of them is mirrored
# (3, ...): places of a feature and of its partner in another picture, their log of the scale + i times the turn
Partners = npt.NDArray[np.complex64]

CHUNK = 1024  # pictures whose features are in one file
ASKING = 128  # pictures that ask at a time, which bounds the memory
PROBED_BITS = 4  # nearest to zero: all 16 combinations of their signs are asked for
NEAR_BITS = 4  # at most, between the keys of features that may be the third of three in agreement
MAX_HELD = 128  # pictures with a key; what more of them share is a watermark, a border or plain texture
# Two features found by key against each other: natural logarithm of the scale, turn in radians, pixels, and per
# pixel of their distance. Twice as wide, seven times as many pairs agree, for 1.7 % more links.
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


class Described(NamedTuple):
    """Features as the search sees them."""

    place: npt.NDArray[np.complex64]
    log_size: npt.NDArray[np.complex64]  # + i times the angle
    key: npt.NDArray[np.uint32]

    def at(self, rows: "slice | npt.NDArray[Any]") -> "Described":
        return Described(self.place[rows], self.log_size[rows], self.key[rows])


class Index(NamedTuple):
    """The features of all pictures, in their order, and which have a key."""

    features: Described
    picture: npt.NDArray[np.int32]
    keys: npt.NDArray[np.uint32]  # sorted, without those that too many pictures have; and one more, larger than any
    starts: Rows  # of the features that have them, and the end
    holders: npt.NDArray[np.int32]  # the features, key by key


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
    """Pairs of pictures of which three features agree, two of them found by key."""
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


def _index(stored: Stored) -> Index:
    picture = np.repeat(np.arange(stored.n, dtype=np.int32), np.diff(stored.starts))
    parts = []
    for chunk in stored.chunks():
        blocks = [chunk["descriptor"][start : start + 2**16] for start in range(0, max(len(chunk), 1), 2**16)]
        keys = np.concatenate([descriptor_keys(block, 0)[:, 0] for block in blocks])
        parts.append((chunk["place"], _log_size(chunk), keys))
    features = Described(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    order = np.argsort(features.key, kind="stable").astype(np.int32)
    keys, first, held = np.unique(features.key[order], return_index=True, return_counts=True)
    held_by_another = np.r_[True, picture[order][1:] != picture[order][:-1]]
    held_by_another[first] = True
    few = np.add.reduceat(held_by_another, first, dtype=np.int64) <= MAX_HELD
    starts = np.cumsum(np.r_[0, held[few], 0])
    return Index(features, picture, np.r_[keys[few], ~np.uint32(0)], starts, order[np.repeat(few, held)])


def _asked(stored: Stored, index: Index, pictures: range, mirrored: bool) -> Pairs:
    """The pairs of these pictures with any others."""
    found = [np.empty((0, 3), np.int64)]
    starts, start = stored.starts, stored.starts[pictures.start]
    for mirror in range(1 + mirrored):
        asking = stored.of(pictures)
        if mirror:
            asking = mirror_features(asking, stored.side)
        probes = descriptor_keys(asking["descriptor"], PROBED_BITS)
        own = Described(asking["place"], _log_size(asking), probes[:, 0])
        feature, other = _hits(index, probes)
        one, two = index.picture[start + feature], index.picture[other]
        apart = np.flatnonzero(one != two)
        pair = (one - pictures.start) * np.int64(stored.n) + two
        hits = np.sort(pair[apart] << 32 | apart)
        again = hits[1:] >> 32 == hits[:-1] >> 32
        several = np.zeros(len(hits), bool)  # most pairs have a single hit
        several[1:] = again
        several[:-1] |= again
        pair, hit = hits[several] >> 32, hits[several] & 0xFFFFFFFF
        by_two = _agreeing(pair, _partners(own.at(feature[hit]), index.features.at(other[hit])))
        agreeing = [
            (one, two)
            for one, two in zip(pictures.start + by_two // stored.n, by_two % stored.n, strict=True)
            if _three_agree(
                own.at(slice(*starts[one : one + 2] - start)), index.features.at(slice(*starts[two : two + 2]))
            )
        ]
        pairs = np.sort(np.array(agreeing, np.int64).reshape(-1, 2), axis=1)
        found.append(np.insert(pairs, 2, mirror, axis=1))
    return np.concatenate(found)


def _hits(index: Index, probes: npt.NDArray[np.uint32]) -> tuple[Rows, npt.NDArray[np.int32]]:
    """Which features of those asking (their probes are a row), and which of the index have a key that they ask for."""
    order = np.argsort(probes, axis=None)
    probe = probes.reshape(-1)[order]
    at = np.searchsorted(index.keys, probe)
    known = index.keys[at] == probe
    first = index.starts[at[known]]
    held = index.starts[at[known] + 1] - first
    holder = np.repeat(first - np.cumsum(held) + held, held) + np.arange(held.sum())
    return np.repeat(order[known] // probes.shape[1], held), index.holders[holder]


def _partners(one: Described, two: Described) -> Partners:
    return np.stack([one.place, two.place, two.log_size - one.log_size])


def _agreeing(pair: Rows, hits: Partners) -> Rows:
    """The pairs of which two hits agree, given the pair of each hit, in order."""
    found = np.empty(0, np.int64)
    offset = 1
    rows = np.flatnonzero(pair[1:] == pair[:-1])
    while rows.size:
        agree = _agree(hits[:, rows], hits[:, rows + offset])
        found = np.union1d(found, pair[rows[agree]])
        offset += 1
        rows = rows[rows + offset < len(pair)]
        rows = rows[pair[rows + offset] == pair[rows]]
        rows = rows[~np.isin(pair[rows], found)]
    return found


def _three_agree(one: Described, two: Described) -> bool:
    """Whether a feature and that of the other picture with the nearest key fit one transform with two more of these."""
    apart = np.bitwise_count(one.key[:, None] ^ two.key)
    rows = np.flatnonzero(apart.min(axis=1) <= NEAR_BITS)
    partners = _partners(one.at(rows), two.at(apart[rows].argmin(axis=1)))
    return bool((_agree(partners[:, :, None], partners[:, None]).sum(axis=1) >= 2).any())


def _agree(one: Partners, two: Partners) -> npt.NDArray[np.bool_]:
    """Whether two partners each, at different places, fit one transform."""
    step, other_step, difference = two - one
    distance = np.abs(step)
    missed = np.abs((np.exp(two[2]) + np.exp(one[2])) / 2 * step - other_step)
    agree: npt.NDArray[np.bool_] = (distance > APART) & (missed < PLACE_TOLERANCE[0] + PLACE_TOLERANCE[1] * distance)
    return agree & (np.abs(difference.real) < SCALE_TOLERANCE) & (np.cos(difference.imag) > np.cos(TURN_TOLERANCE))


def _log_size(features: Features) -> npt.NDArray[np.complex64]:
    return (np.log(features["size"]) + 1j * features["angle"]).astype(np.complex64)


def _save(array: npt.NDArray[np.generic], path: Path) -> None:
    with atomic_path(path) as temporary:
        array.tofile(temporary)
