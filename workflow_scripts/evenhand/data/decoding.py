"""One image file to one square RGB array, whatever the file turns out to be.

Decisions: EXIF orientation is applied; an embedded ICC profile is converted to sRGB (the colour
measurements assume sRGB, and a ninth of the originals come in Adobe RGB), or ignored on request;
transparent pixels are laid on white; 16-bit values are scaled to 8; of an animation, the first frame.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

Status = Literal["not-an-image", "corrupt", "too-many-pixels"]
IccPolicy = Literal["convert", "ignore"]
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 60_000_000  # a decoded image of that size takes 180 MB; the largest original has 9 million
# The decoder may halve a JPEG while it decodes, down to this many times the target side. From twice the
# side on, the result differs by 0.01 of 255 levels on average, 0.4 at most (95 originals at 128 px).
DRAFT_FACTOR = 2
# Damaged files raise whatever the format's parser stumbles over.
DAMAGE = (OSError, SyntaxError, ValueError, LookupError, TypeError, EOFError, OverflowError)
# What decoders ask for at most, in bytes: coefficients of a progressive JPEG or two canvases of a WebP, and the pixels.
DECODER_BYTES = 12 * MAX_PIXELS
# What puts an image upright, by its EXIF orientation (Exif 2.32, tag 0x0112); 1 is upright already.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class DecodeError(Exception):
    """The bytes are no usable image: `status` is the machine's word for it, the text is the reader's."""

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def decode_square(
    data: bytes, side: int, icc: IccPolicy = "convert", max_pixels: int = MAX_PIXELS
) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """Decode `data`, resize its shorter side to `side` pixels (bilinear, antialiased) and crop the centre.

    The geometry is that of torchvision's Resize(side) and CenterCrop(side), as in the published code; values in the
    middle between two levels may be rounded to the other one.

    Returns:
        The pixels, uint8 (side, side, 3) in RGB, and (width, height) of the image as stored, upright.

    Raises:
        DecodeError: not an image, damaged, or more than `max_pixels` pixels.
        MemoryError: there is too little to tell.
    """
    with _failures_named(data), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        size = image.size
        # A strip of a few pixels' height would grow beyond measure when its height is brought to `side`.
        if max(size[0] * size[1], side * side * max(size) // max(1, min(size))) > max_pixels:
            raise DecodeError("too-many-pixels", f"{size[0]} x {size[1]} pixels; the limit is {max_pixels}")
        drafted = image.draft(None, (DRAFT_FACTOR * side, DRAFT_FACTOR * side))
        orientation = _orientation(image)
        profile = image.info.get("icc_profile") if icc == "convert" else None
        # Halving rounds the sides up; this box is the photograph's own edge within the result.
        box = drafted[1] if drafted else None
        small = _resize_and_crop(_to_8_bit(image), size, box, side)
    square = _to_srgb(small, profile)
    if orientation in UPRIGHT:
        # Turning the cropped square equals cropping the turned image, but for a pixel of rounding.
        square = square.transpose(UPRIGHT[orientation])
    return np.asarray(square), (size[1], size[0]) if orientation >= 5 else size


def identify(data: bytes) -> None:
    """Raise a `DecodeError` unless `data` begins like an image."""
    with _failures_named(data):
        Image.open(io.BytesIO(data), formats=FORMATS).close()


@contextmanager
def _failures_named(data: bytes) -> Iterator[None]:
    """Turn what Pillow raises into a `DecodeError`.

    Decoders that get no memory say that the data stream is broken: a photograph is damaged only where there was memory.
    """
    try:
        yield
    except UnidentifiedImageError as error:
        raise DecodeError("not-an-image", _looks_like(data)) from error
    except Image.DecompressionBombError as error:
        raise DecodeError("too-many-pixels", str(error)) from error
    except DAMAGE as error:
        np.empty(DECODER_BYTES, np.uint8)  # raises MemoryError; touches nothing
        raise DecodeError("corrupt", f"{type(error).__name__}: {error}") from error


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; 1 (upright) where the EXIF block is damaged, which should not cost the picture."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except DAMAGE:
        return 1
    return value if value in UPRIGHT else 1


def _to_8_bit(image: Image.Image) -> Image.Image:
    """The decoded image with 8 bits a channel in mode L, RGB or CMYK, transparency laid on white."""
    if image.mode in ("RGB", "L", "CMYK"):
        image.load()
        return image
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise DecodeError("corrupt", f"pixels of type {image.mode} have no defined white")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        colour = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour).convert("RGB")
    return image.convert("RGB")


def _resize_and_crop(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None, side: int
) -> Image.Image:
    """Resize the stretch `box` of `image` as an image of `size` would be, and crop the centre.

    Only what the crop keeps is computed; the filter still sees the pixels beyond its edge.
    """
    width, height = (side * length // min(size) for length in size)
    left, top = round((width - side) / 2), round((height - side) / 2)
    x, y, right, bottom = box or (0, 0, *image.size)
    across, down = (right - x) / width, (bottom - y) / height
    kept = (x + left * across, y + top * down, x + (left + side) * across, y + (top + side) * down)
    return image.resize((side, side), Image.Resampling.BILINEAR, kept)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to sRGB; a profile that cannot be read or does not fit the pixels is ignored."""
    if profile:
        try:
            transformed = ImageCms.applyTransform(image, _transform(profile, image.mode))
        except (ImageCms.PyCMSError, ValueError, OSError):
            transformed = None
        if transformed is not None:
            return transformed
    return image.convert("RGB")


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")


def _looks_like(data: bytes) -> str:
    if not data:
        return "empty file"
    head = data[:512].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<script")):
        return "an HTML page"
    return f"unknown format, first bytes {data[:8].hex()}"
