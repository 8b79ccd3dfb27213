"""Codecs: what has learned nothing from anyone, as the control of what a trained model does to a group.

A picture that is saved and read again has an error, too, and what that is in one group against another the pictures
alone decide: their light, contrast and texture. So beside each trained model stands the codec whose mean error on the
reference group is the model's (claim K1).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from evenhand.models.architecture import Architecture
from evenhand.models.family import Frozen, Reconstruction
from evenhand.training.loop import to_pixels, to_unit_range

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

# Below it JPEG keeps little but one colour for each 8 x 8 pixels; larger errors come from smaller pictures.
LOWEST_QUALITY = 10


class Setting(NamedTuple):
    """JPEG at `quality` (1 to 100) of the picture reduced to `side` pixels."""

    quality: int
    side: int


class EqualError(NamedTuple):
    """The codec whose mean error on some images is a given one.

    errors: of each image, squared, pixels in [-1, 1], (n,); bits: per pixel of the whole picture, (n,); quality, side:
    of the setting, between two settings their weighted mean. All NaN where no setting has that error.
    """

    errors: Floats
    bits: Floats
    quality: float
    side: float


def recode(image: Pixels, kind: str, quality: int, side: int) -> tuple[Pixels, int]:
    """An image (S, S, 3) after a codec, and the bytes of the file that it was.

    Args:
        image: sRGB.
        kind: `JPEG` or `WEBP`, as Pillow calls them.
        quality: 1 to 100, in the units of that codec.
        side: pixels to which the picture is reduced before (Lanczos), and from which it is enlarged after (bicubic).
    """
    whole = image.shape[:2]
    picture = Image.fromarray(image)
    reduced = (side, side) != whole
    if reduced:
        picture = picture.resize((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, kind, quality=quality)
    found = Image.open(file).convert("RGB")
    if reduced:
        found = found.resize(whole, Image.Resampling.BICUBIC)
    return np.asarray(found), file.getbuffer().nbytes


class Codec(Frozen):
    """JPEG or WebP at one quality, perhaps of a smaller picture (`recode`)."""

    TITLE = "codec"
    GIVES = ("bits",)
    TRAINED = False

    def __init__(self, architecture: Architecture, kind: str, quality: int, side: int | None = None) -> None:
        super().__init__(architecture, kind=kind, quality=quality, side=side)

    def reconstruct(self, target: Tensor) -> Reconstruction:
        """The pictures read back, with the bits of their files per pixel."""
        pixels = to_pixels(target)
        side = self.options["side"] or pixels.shape[1]
        found = [recode(image, self.options["kind"], self.options["quality"], side) for image in pixels]
        image = to_unit_range(torch.from_numpy(np.stack([image for image, _ in found])).to(target.device))
        bits = torch.tensor([8.0 * size for _, size in found], device=target.device) / pixels[0, ..., 0].size
        return Reconstruction(image, bits=bits)


def squared_error(image: Pixels, found: Pixels) -> float:
    """Mean squared error of pixels in [-1, 1]."""
    return float(np.square(image.astype(np.float64) - found).mean() / 127.5**2)


def cost_of_codec(image: Pixels, kind: str, quality: int, side: int) -> tuple[float, float]:
    """The error of an image after `recode`, and bits per pixel of the whole picture."""
    found, size = recode(image, kind, quality, side)
    return squared_error(image, found), 8 * size / (image.shape[0] * image.shape[1])


def ladder(side: int) -> list[Setting]:
    """JPEG from the best to the worst: lower and lower quality, then smaller and smaller pictures at the lowest."""
    qualities = [Setting(quality, side) for quality in range(100, LOWEST_QUALITY - 1, -1)]
    return qualities + [Setting(LOWEST_QUALITY, reduced) for reduced in range(side - 1, 0, -1)]


def equal_error(images: Pixels, reference: Sequence[bool], target: float, workers: int = 1) -> EqualError:
    """The codec whose mean error on the reference images is `target`, on all images.

    Two neighbours of the ladder have errors at most and above the target (found by bisection). Each image has the mean
    of its errors under both, weighted so that the mean over the reference is the target: what it has on average where
    one of the two is drawn by that weight. So the errors are equal, and not as near as whole qualities come.

    Args:
        images: (n, S, S, 3), sRGB.
        reference: (n,), which of them are of the reference group.
        target: mean squared error, pixels in [-1, 1].
        workers: threads; no number depends on how many.
    """
    chosen = np.asarray(reference, dtype=bool)
    side = images.shape[1]
    steps = ladder(side)

    with ThreadPoolExecutor(workers) as pool:

        def coded(which: npt.NDArray[np.bool_], step: int) -> Floats:
            """Error and bits of these images, (images, 2)."""
            found = pool.map(lambda image: cost_of_codec(image, "JPEG", *steps[step]), images[which])
            return np.array(list(found)).reshape(-1, 2)

        on_reference = cache(lambda step: coded(chosen, step))

        def mean(step: int) -> float:
            return float(on_reference(step)[:, 0].mean())

        low, high = 0, len(steps) - 1
        if not mean(low) <= target < mean(high):
            nothing = np.full(len(images), np.nan)
            return EqualError(nothing, nothing, np.nan, np.nan)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if mean(middle) <= target else (low, middle)
        weight = (target - mean(low)) / (mean(high) - mean(low))
        found = np.empty((len(images), 2))
        found[chosen] = (1 - weight) * on_reference(low) + weight * on_reference(high)
        found[~chosen] = (1 - weight) * coded(~chosen, low) + weight * coded(~chosen, high)
    quality, reduced = (
        float((1 - weight) * before + weight * after) for before, after in zip(steps[low], steps[high], strict=True)
    )
    return EqualError(found[:, 0], found[:, 1], quality, reduced)
