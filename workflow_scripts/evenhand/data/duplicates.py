"""Near-duplicate photographs: the same picture again, smaller, recompressed, mirrored or with another label.

Perceptual hash: the signs of the 64 lowest frequencies of the discrete cosine transform against their median
(pHash; Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010, chapter 3),
from the imagehash library, 64 bits. Two images are near-duplicates when their hashes differ in few bits.
"""

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from math import comb, exp2, log2
from pathlib import Path
from typing import NamedTuple

import imagehash
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageOps
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from evenhand.workflow.errors import UserError
from evenhand.workflow.progress import track

Codes = npt.NDArray[np.uint64]
BITS = 64
WEAK = 0.5  # looseness above which a link is weak
# What becomes of a link.
JOINED, KEPT_APART, CHAIN, TOO_LOOSE = "joined", "not the same", "weak chain", "too loose"


class Links(NamedTuple):
    """Pairs of images (rows) that are alike, and how much."""

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    distance: npt.NDArray[np.float64]  # in bits, or 1 - cosine similarity

    def within(self, radius: float) -> "Links":
        """The links of at most this distance."""
        near = self.distance <= radius
        return Links(self.first[near], self.second[near], self.distance[near])


def perceptual_hashes(images: npt.NDArray[np.uint8], mirrored: bool) -> Codes:
    """The perceptual hash of every image, and of its mirror image if asked for.

    Args:
        images: (n, side, side, 3), RGB.
        mirrored: a mirrored copy counts as a copy.

    Returns:
        (n, 1) or, with the mirror image's hash, (n, 2).
    """
    codes = np.empty((len(images), 2 if mirrored else 1), np.uint64)
    for row, pixels in enumerate(track(images, len(images), "hashing", "images")):
        image = Image.fromarray(pixels)
        codes[row, 0] = _code(image)
        if mirrored:
            codes[row, 1] = _code(ImageOps.mirror(image))
    return codes


def hash_links(codes: Codes, radius: int) -> Links:
    """Links between images whose hashes differ in at most `radius` of 64 bits.

    Images of equal hash are linked in a chain, and one image of each hash stands for it in links to others:
    for every radius up to this one, images hang together exactly as they would with all pairs listed, but a
    thousand equal pictures cost a thousand links and not half a million.

    Args:
        codes: (n, k), any of an image's hashes may match any of another's.
        radius: in bits.
    """
    image = np.repeat(np.arange(len(codes)), codes.shape[1])
    flat = codes.reshape(-1)
    order = np.lexsort((image, flat))
    flat, image = flat[order], image[order]
    same = np.flatnonzero(flat[1:] == flat[:-1])
    unique, start = np.unique(flat, return_index=True)
    left, right, bits = _close_codes(unique, radius)
    first = np.concatenate([image[same], image[start[left]]])
    second = np.concatenate([image[same + 1], image[start[right]]])
    distance = np.concatenate([np.zeros(len(same), np.int64), bits])
    table = pd.DataFrame({"first": np.minimum(first, second), "second": np.maximum(first, second), "bits": distance})
    # An image may resemble its own mirror image; a pair and its mirrored pair are one.
    table = table[table["first"] != table["second"]].sort_values(["first", "second", "bits"])
    table = table.drop_duplicates(["first", "second"])
    return Links(table["first"].to_numpy(), table["second"].to_numpy(), table["bits"].to_numpy(np.float64))


def cosine_links(embeddings: npt.NDArray[np.float32], similarity: float, block: int = 2048) -> Links:
    """Links between images whose embeddings have at least this cosine similarity.

    Every pair is computed, in blocks of matrix products: 16,577 embeddings of 64 numbers take a second.

    Args:
        embeddings: (n, d); a row of zeros resembles nothing.
        similarity: in (0, 1].
        block: rows at a time, which bounds the memory.
    """
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = np.divide(embeddings, norms, out=np.zeros_like(embeddings), where=norms > 0)
    found = []
    for start in range(0, len(unit), block):
        cosine = unit[start : start + block] @ unit[start:].T
        row, column = np.nonzero(np.triu(cosine >= similarity, 1))
        found.append((row + start, column + start, 1.0 - cosine[row, column].astype(np.float64)))
    first, second, distance = (np.concatenate(part) for part in zip(*found, strict=True))
    return Links(first, second, distance)


def read_embeddings(path: Path, ids: Sequence[str]) -> npt.NDArray[np.float32]:
    """Embeddings of the images, in their order; zeros for those that the file lacks.

    Args:
        path: .npz with `id` (n,) and one other array of floating-point numbers (n, d).

    Raises:
        UserError: the file is something else.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = np.asarray(arrays["id"]).astype(str).tolist()
            matrices = [
                arrays[name] for name in arrays.files if arrays[name].ndim == 2 and arrays[name].dtype.kind == "f"
            ]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: expected an .npz file with id and embeddings; found: {error}.") from error
    if len(matrices) != 1 or len(matrices[0]) != len(names):
        raise UserError(
            f"{path}: expected id (n,) and one array of floating-point numbers (n, d); found "
            f"{len(matrices)} such arrays for {len(names)} ids."
        )
    rows = {image_id: row for row, image_id in enumerate(names)}
    absent = [image_id for image_id in ids if image_id not in rows]
    if len(absent) == len(ids):
        raise UserError(
            f"{path}: expected embeddings of the photographs, by their ids, such as {ids[0]}; found other ids, such "
            f"as {', '.join(names[:1]) or 'none at all'}."
        )
    if absent:
        warnings.warn(f"{path}: no embedding for {len(absent)} of {len(ids)} photographs", stacklevel=2)
    embeddings = np.zeros((len(ids), matrices[0].shape[1]), np.float32)
    for target, image_id in enumerate(ids):
        if image_id in rows:
            embeddings[target] = matrices[0][rows[image_id]]
    return embeddings


def clusters(n: int, links: Sequence[Links]) -> npt.NDArray[np.int64]:
    """The cluster of each of `n` images: those that hang together by links, numbered by first appearance."""
    first = np.concatenate([[], *(link.first for link in links)]).astype(np.int64)
    second = np.concatenate([[], *(link.second for link in links)]).astype(np.int64)
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(n, n))
    labels = connected_components(graph, directed=False)[1]
    return pd.factorize(labels)[0].astype(np.int64)


def join(n: int, links: pd.DataFrame, apart: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Clusters of `n` images by their links, the closest first, guarded against chains of weak ones.

    A link is weak in the outer half of what counts. A lone weak link, with no second link between the same two
    clusters, adds to a cluster once: two clusters of which one has grown that way are joined by two links or more.

    Args:
        links: first, second (images) and looseness (0 to 1); equally close ones in an order that means nothing.
        apart: images of one entry are never in one cluster.

    Returns:
        The cluster of each image, numbered by first appearance, and what became of each link: `JOINED`, `KEPT_APART` or
        `CHAIN`.
    """
    first, second = links["first"].tolist(), links["second"].tolist()
    looseness = links["looseness"].to_numpy(np.float64)
    cluster = list(range(n))
    members = {image: [image] for image in range(n)}
    grown: set[int] = set()  # clusters with a lone weak link in them
    strangers: dict[int, set[int]] = {}  # of a cluster: images that may not be in it
    for entry in apart:
        for image in entry:
            strangers.setdefault(image, set()).update(set(entry) - {image})
    partners: dict[int, list[int]] = {}
    for one, two in zip(first, second, strict=True):
        partners.setdefault(one, []).append(two)
        partners.setdefault(two, []).append(one)
    fates = [CHAIN] * len(first)
    left, before = np.argsort(looseness, kind="stable").tolist(), -1
    while len(left) != before:  # what a later link joins may be a second link to an earlier one
        before = len(left)
        for link in left:
            one, two = sorted((cluster[first[link]], cluster[second[link]]), key=lambda c: (len(members[c]), c))
            if one == two:
                fates[link] = JOINED
                continue
            if not strangers.get(two, set()).isdisjoint(members[one]):
                fates[link] = KEPT_APART
                continue
            lone = sum(cluster[other] == two for image in members[one] for other in partners[image]) < 2
            weak = looseness[link] > WEAK and lone
            if weak and (one in grown or two in grown):
                continue
            fates[link] = JOINED
            for image in members[one]:
                cluster[image] = two
            members[two] += members.pop(one)
            if one in strangers:
                strangers.setdefault(two, set()).update(strangers.pop(one))
            if weak or one in grown:
                grown.add(two)
        left = [link for link in left if fates[link] == CHAIN]
    return pd.factorize(np.array(cluster, np.int64))[0].astype(np.int64), fates


def _code(image: Image.Image) -> int:
    bits = imagehash.phash(image).hash.reshape(-1)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _close_codes(
    codes: Codes, radius: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs of distinct codes that differ in at most `radius` bits: their positions and the number of bits.

    Multi-index hashing (Norouzi, Punjani and Fleet, CVPR 2012): of radius + k blocks of bits, two such codes
    agree in at least k, so only codes that agree in some k whole blocks are compared.
    """
    shared = _shared_blocks(len(codes), radius)
    edges = np.linspace(0, BITS, radius + shared + 1).astype(int)
    blocks = [((1 << int(high)) - 1) ^ ((1 << int(low)) - 1) for low, high in pairwise(edges)]
    found = [np.empty((0, 3), np.int64)]
    for chosen in combinations(blocks, shared):
        keys = codes & np.uint64(sum(chosen))
        order = np.argsort(keys, kind="stable")
        found.extend(_pairs_with_equal_key(codes[order], keys[order], order, radius))
    left, right, bits = np.unique(np.concatenate(found), axis=0).T
    return left, right, bits


def _shared_blocks(n: int, radius: int) -> int:
    """The k with the least work: sorting `n` codes for each choice of k blocks, and comparing those that agree.

    It grows with n, which keeps the whole well below a comparison of all pairs.
    """

    def work(k: int) -> float:
        agreeing = n * n * exp2(-BITS * k / (radius + k))
        return comb(radius + k, k) * (n * log2(n + 1) + agreeing)

    return min(range(1, 5), key=work)


def _pairs_with_equal_key(
    codes: Codes, keys: Codes, positions: npt.NDArray[np.int64], radius: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Rows (position, position, bits) of close codes among neighbours of equal key, for keys in order."""
    offset = 1
    rows = np.flatnonzero(keys[1:] == keys[:-1])
    while rows.size:
        bits = np.bitwise_count(codes[rows] ^ codes[rows + offset]).astype(np.int64)
        near = bits <= radius
        pair = np.stack([positions[rows[near]], positions[rows[near] + offset]])
        yield np.stack([pair.min(0), pair.max(0), bits[near]], axis=1)
        offset += 1
        rows = rows[rows + offset < len(keys)]
        rows = rows[keys[rows + offset] == keys[rows]]
