"""Local features of photographs, and whether two photographs show the same thing by them.

Features: SIFT (Lowe, International Journal of Computer Vision 60, 2004) of OpenCV on grey values; descriptors as
RootSIFT (Arandjelovic and Zisserman, CVPR 2012). Two pictures of one scene, closer, farther, turned, mirrored, cropped
or exposed otherwise, share features whose places one similarity transform takes into each other. Places are complex
numbers x + iy in pixels, so a transform is `factor * place + shift`.
"""

from functools import cache
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from evenhand.workflow.seeds import generator

Features = npt.NDArray[np.void]  # of FEATURE
FEATURE = np.dtype(
    [("place", np.complex64), ("size", np.float32), ("angle", np.float32), ("descriptor", np.uint8, (128,))]
)
MAX_FEATURES = 300  # of a picture, the strongest
CONTRAST = 0.01  # a quarter of OpenCV's threshold: skin is smooth
KEY_BITS = 28
UNIT = 512  # length of a descriptor; its 128 numbers are 8 bits each, so products of two are exact in float32
RATIO = 0.8  # nearest to second nearest descriptor (Lowe, section 7.1)
APART = 3.0  # pixels: nearer features are at the same place
TOLERANCE = 4.0  # pixels between where a feature is and where the transform takes its partner
LOOSE = (5.0, 0.15)  # the same for the transform that a single match implies: pixels, and per pixel of distance from it
SCALE_TOLERANCE, TURN_TOLERANCE = 0.6, 0.64  # of a match against the transform: natural logarithm, radians
SMOOTHING = 3.0  # pixels, of the grey values that are compared
BLOCKS = 16  # in a row
HYPOTHESES = 5  # transforms followed up, the best supported
MIN_MATCHES = 4  # fewer are not looked at
# A mirrored picture has the mirrored patches: the 4 x 4 cells of a descriptor across the feature's direction, the 8
# directions the other way round.
_MIRRORED = np.array([((3 - row) * 4 + column) * 8 + (8 - turn) % 8
                      for row in range(4) for column in range(4) for turn in range(8)])  # fmt: skip


Places = npt.NDArray[np.complex128]


class Match(NamedTuple):
    """The similarity transform from one picture to another that most features agree with."""

    inliers: int  # places in agreement
    scale: float
    turn: float  # degrees
    mirrored: bool  # the first picture, before it is turned
    shift_x: float  # pixels
    shift_y: float
    spread: float  # pixels: smaller standard deviation of the places of the inliers, where it is less of both pictures
    likeness: float  # as `likeness` says; 0 where it was not measured


NO_MATCH = Match(0, 1.0, 0.0, False, 0.0, 0.0, 0.0, 0.0)


def extract_features(image: npt.NDArray[np.uint8]) -> Features:
    """The strongest features of a picture (height, width, 3), RGB."""
    sift = cv2.SIFT.create(nfeatures=MAX_FEATURES, contrastThreshold=CONTRAST)
    points, raw = sift.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)
    features = np.zeros(len(points), FEATURE)
    if len(points):
        features["place"] = [complex(*point.pt) for point in points]
        features["size"] = [point.size for point in points]
        features["angle"] = np.radians([point.angle for point in points])
        root = np.sqrt(raw / np.maximum(raw.sum(axis=1, keepdims=True), 1e-9))
        features["descriptor"] = np.minimum(np.rint(root * UNIT), 255)
    return features


def mirror_features(features: Features, width: int) -> Features:
    """The features that the mirrored picture has, `width` pixels wide."""
    mirrored = features.copy()
    mirrored["place"] = _mirrored_places(features["place"], width)
    mirrored["angle"] = np.pi - features["angle"]
    mirrored["descriptor"] = features["descriptor"][:, _MIRRORED]
    return mirrored


def match_pictures(first: Features, second: Features, width: int, mirrored: bool) -> tuple[Match, Places, Places]:
    """The transform from the first picture, mirrored if asked for, to the second that most features agree with.

    Matches are mutually nearest descriptors that pass the ratio test; each implies a transform by itself, so all of
    them are tried and nothing is drawn at random. The best are fitted to those that agree, until these stay the same.

    Returns:
        The match, without its likeness, and where its inliers are in the first picture, as it is, and in the second.
    """
    turned = mirror_features(first, width) if mirrored else first
    rows, partners = _matches(turned, second)
    a, b = turned["place"][rows].astype(np.complex128), second["place"][partners].astype(np.complex128)
    found, inliers = NO_MATCH, np.zeros(len(rows), bool)
    if len(rows) >= MIN_MATCHES:
        # Of each match: log of the scale + i times the turn that it implies by itself.
        implied = np.log(second["size"][partners] / turned["size"][rows]).astype(np.complex128)
        implied += 1j * (second["angle"][partners] - turned["angle"][rows])
        step = a[None] - a[:, None]
        missed = np.abs(np.exp(implied)[:, None] * step - (b[None] - b[:, None]))
        agree = (missed < LOOSE[0] + LOOSE[1] * np.abs(step)) & _alike(implied[None], implied[:, None])
        for hypothesis in np.argsort(-agree.sum(axis=1), kind="stable")[:HYPOTHESES]:
            match, fitting = _fitted(a, b, implied, agree[hypothesis])
            if match.inliers > found.inliers:
                found, inliers = match._replace(mirrored=mirrored), fitting
    return found, first["place"][rows][inliers].astype(np.complex128), b[inliers]


def likeness(
    first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], match: Match, places: tuple[Places, Places]
) -> float:
    """How much alike two pictures (side, side, 3) are where the transform lays one over the other, beside the inliers.

    What two strangers share (a watermark, a border, a ruler) is alike, and the rest is not; so it is the median over
    blocks without an inlier of the correlation of smoothed grey values. Blocks without any contrast in either picture
    say nothing.

    Args:
        first: RGB.
        second: RGB.
        match: from the first to the second.
        places: of the inliers in the first picture and in the second.

    Returns:
        -1 to 1; 0 where no block is left.
    """
    side = len(first)
    one, two = (
        cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), SMOOTHING)
        for image in (first[:, ::-1] if match.mirrored else first, second)
    )
    factor = match.scale * np.exp(1j * np.radians(match.turn))
    transform = np.array([[factor.real, -factor.imag, match.shift_x], [factor.imag, factor.real, match.shift_y]])
    inliers = blocks_of(places[1], side)
    if match.scale > 1:  # the closer picture is made smaller, not the other one larger: that would make it smooth
        one, two, transform = two, one, cv2.invertAffineTransform(transform)
        inliers = blocks_of(_mirrored_places(places[0], side) if match.mirrored else places[0], side)
    moved = cv2.warpAffine(one, transform, (side, side), borderMode=cv2.BORDER_REPLICATE)
    compared = _blocks(cv2.warpAffine(np.ones_like(one), transform, (side, side))).min(axis=1) > 0.99
    compared[inliers] = False
    a, b = _blocks(moved)[compared], _blocks(two)[compared]
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    variances = (a * a).mean(axis=1), (b * b).mean(axis=1)
    correlation = (a * b).mean(axis=1) / np.sqrt((variances[0] + 1) * (variances[1] + 1))
    contrast = np.maximum(*variances) > 1
    return float(np.median(correlation[contrast])) if contrast.any() else 0.0


def copy_likeness(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], mirrored: bool) -> float:
    """The likeness of two pictures as they are, or of the first one mirrored and the second."""
    nowhere = np.empty(0, np.complex128)
    return likeness(first, second, NO_MATCH._replace(mirrored=mirrored), (nowhere, nowhere))


def descriptor_keys(descriptors: npt.NDArray[np.uint8], probed: int) -> npt.NDArray[np.uint32]:
    """The keys (n, 2 ** probed) of descriptors (n, 128): signs of principal components, in `KEY_BITS` bits.

    The first column has them as they are, the others with all other signs of the `probed` components nearest to zero.
    """
    components, means, deviations = _components()
    projected = descriptors.astype(np.float32) @ components - means
    bit = np.uint32(1) << np.arange(KEY_BITS, dtype=np.uint32)
    keys: npt.NDArray[np.uint32] = ((projected > 0) * bit).sum(axis=1, dtype=np.uint32)[:, None]
    if probed:
        for column in np.argpartition(np.abs(projected) / deviations, probed, axis=1)[:, :probed].T:
            keys = np.concatenate([keys, keys ^ bit[column][:, None]], axis=1)
    return keys


def blocks_of(places: Places, side: int) -> npt.NDArray[np.int64]:
    """The number, line by line, of the block of a picture of `side` pixels that each place is in."""
    column, row = (np.clip(part // (side // BLOCKS), 0, BLOCKS - 1) for part in (places.real, places.imag))
    return (row * BLOCKS + column).astype(np.int64)


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


def _blocks(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The pixels of the square blocks that a picture is made of: (blocks, pixels)."""
    block = len(image) // BLOCKS
    grid = image[: block * BLOCKS, : block * BLOCKS].reshape(BLOCKS, block, BLOCKS, block)
    return grid.swapaxes(1, 2).reshape(BLOCKS**2, -1)


def _matches(first: Features, second: Features) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows of matching features of two pictures."""
    none = np.empty(0, np.int64)
    if min(len(first), len(second)) < MIN_MATCHES:
        return none, none
    a, b = first["descriptor"].astype(np.float32), second["descriptor"].astype(np.float32)
    distance = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * (a @ b.T)
    nearest = distance.argmin(axis=1)
    mutual = np.flatnonzero(distance.argmin(axis=0)[nearest] == np.arange(len(a)))
    nearest = nearest[mutual]
    # The second nearest at another place: a place with two directions has two descriptors.
    elsewhere = np.abs(second["place"] - second["place"][nearest][:, None]) > APART
    second_nearest = np.where(elsewhere, distance[mutual], np.inf).min(axis=1)
    good = distance[mutual, nearest] < RATIO**2 * second_nearest
    return mutual[good], nearest[good]


def _mirrored_places(places: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    # OpenCV counts from a quarter of a pixel off the centre of the first one.
    return width - 0.5 - np.conj(places)


def _alike(implied: npt.NDArray[np.complex128], other: npt.NDArray[np.complex128]) -> npt.NDArray[np.bool_]:
    """Whether scales and turns are about the same."""
    difference = implied - other
    turned = np.cos(difference.imag) > np.cos(TURN_TOLERANCE)
    alike: npt.NDArray[np.bool_] = (np.abs(difference.real) < SCALE_TOLERANCE) & turned
    return alike


def _fitted(
    a: Places,
    b: Places,
    implied: npt.NDArray[np.complex128],
    inliers: npt.NDArray[np.bool_],
) -> tuple[Match, npt.NDArray[np.bool_]]:
    """The transform fitted by least squares to matches in agreement, again and again until these stay the same."""
    factor = 1.0 + 0.0j
    for _ in range(4):
        if inliers.sum() < MIN_MATCHES:
            return NO_MATCH, inliers
        centre_a, centre_b = a[inliers].mean(), b[inliers].mean()
        from_centre = a[inliers] - centre_a
        if np.abs(from_centre).max() < APART:
            return NO_MATCH, inliers
        factor = np.vdot(from_centre, b[inliers] - centre_b) / np.vdot(from_centre, from_centre).real
        if factor == 0:
            return NO_MATCH, inliers
        # Halfway between the pictures, so that neither of them is favoured.
        missed = np.abs(factor * (a - centre_a) - (b - centre_b)) / np.sqrt(np.abs(factor))
        agree = (missed < TOLERANCE) & _alike(implied, np.log(factor))
        if (agree == inliers).all():
            break
        inliers = agree
    if inliers.sum() < MIN_MATCHES:
        return NO_MATCH, inliers
    places, spread = count_places(a[inliers], b[inliers])
    shift = centre_b - factor * centre_a
    turn = float(np.degrees(np.angle(factor)))
    return Match(places, float(np.abs(factor)), turn, False, shift.real, shift.imag, spread, 0.0), inliers


def count_places(first: Places, second: Places) -> tuple[int, float]:
    """How many places the inliers of a match have, and their spread, in the picture where it is less."""
    return min(_distinct(first), _distinct(second)), min(_spread(first), _spread(second))


def _distinct(places: Places) -> int:
    """How many places there are, taking those in one square of `APART` pixels for one."""
    return len(np.unique(np.floor(places.real / APART) + 1j * np.floor(places.imag / APART)))


def _spread(places: Places) -> float:
    """The smaller of the two principal standard deviations, in pixels: 0 on a line."""
    if len(places) < 2:
        return 0.0
    variances = np.linalg.eigvalsh(np.cov(np.stack([places.real, places.imag])))
    return float(np.sqrt(max(variances[0], 0.0)))
