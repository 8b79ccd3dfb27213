"""One file to one square: geometry, colour, and files that are not what their name says."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

import evenhand.workflow.torchvision_import  # noqa: F401  (makes torchvision importable beside a CPU build of torch)
from evenhand.data.decoding import DecodeError, decode_square

from torchvision.transforms import functional as torchvision  # isort: skip

SIDE = 16


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(width: int, height: int) -> Image.Image:
    """Red grows to the right, green to the bottom, blue is noise: no two orientations look alike."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(0).integers(0, 256, (height, width))
    return Image.fromarray(np.stack([255 * x / width, 255 * y / height, noise], -1).astype(np.uint8))


@settings(max_examples=30, deadline=None)
@given(width=st.integers(1, 90), height=st.integers(1, 90), side=st.integers(1, 32))
def test_geometry_is_torchvisions_resize_and_centre_crop(width: int, height: int, side: int) -> None:
    image = gradient(width, height)
    expected = torchvision.center_crop(torchvision.resize(image, [side]), [side])
    pixels, size = decode_square(encoded(image), side)
    # Where a value lies in the middle between two levels, either is right.
    np.testing.assert_allclose(pixels.astype(int), np.asarray(expected).astype(int), rtol=0, atol=1)
    assert size == (width, height)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_put_upright(orientation: int) -> None:
    upright = gradient(40, 24)
    # How the camera stored it: the inverse of the turn that the tag asks for (Exif 2.32, tag 0x0112).
    turns = {1: [], 2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}[orientation]
    stored = upright
    for turn in turns:
        stored = stored.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels, size = decode_square(encoded(stored, "JPEG", quality=100, subsampling=0, exif=exif), SIDE)
    expected, _ = decode_square(encoded(upright, "JPEG", quality=100, subsampling=0), SIDE)
    assert np.abs(pixels.astype(int) - expected).mean() < 1
    assert size == (40, 24)


def test_damaged_exif_does_not_cost_the_picture() -> None:
    data = encoded(gradient(40, 40), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff garbage")
    pixels, _ = decode_square(data, SIDE)
    assert pixels.shape == (SIDE, SIDE, 3)


def flat(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (30, 20), colour)


@pytest.mark.parametrize(
    ("data", "colour"),
    [
        (encoded(flat("L", 100)), (100, 100, 100)),
        (encoded(flat("1", 1)), (255, 255, 255)),
        (encoded(flat("LA", (100, 0))), (255, 255, 255)),
        (encoded(flat("RGBA", (200, 0, 0, 0))), (255, 255, 255)),
        (encoded(flat("RGBA", (200, 100, 0, 255))), (200, 100, 0)),
        (encoded(flat("RGBA", (0, 0, 0, 51))), (204, 204, 204)),
        (encoded(flat("RGB", (200, 100, 0)).quantize(4)), (200, 100, 0)),
        (encoded(flat("RGB", (200, 100, 0)), "BMP"), (200, 100, 0)),
        (encoded(flat("RGB", (200, 100, 0)), "TIFF"), (200, 100, 0)),
        (encoded(flat("RGB", (200, 100, 0)), "WEBP", lossless=True), (200, 100, 0)),
        (encoded(Image.fromarray(np.full((20, 30), 0x8012, np.uint16))), (0x80,) * 3),
        # An Adobe CMYK JPEG stores its inks inverted; no ink is white, all black ink is black.
        (encoded(flat("CMYK", (0, 0, 0, 0)), "JPEG"), (255, 255, 255)),
        (encoded(flat("CMYK", (0, 0, 0, 255)), "JPEG"), (0, 0, 0)),
        (encoded(flat("CMYK", (255, 0, 0, 0)), "JPEG"), (0, 255, 255)),
    ],
    ids=[
        "grey",
        "bilevel",
        "clear",
        "clear-red",
        "opaque",
        "shaded",
        "palette",
        "bmp",
        "tiff",
        "webp",
        "grey-16",
        "white-cmyk",
        "black-cmyk",
        "cyan-cmyk",
    ],
)
def test_every_pixel_format_becomes_8_bit_rgb(data: bytes, colour: tuple[int, int, int]) -> None:
    pixels, _ = decode_square(data, SIDE)
    assert pixels.shape == (SIDE, SIDE, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - colour).max() <= 2


def sixteen_bit_rgb(colour: tuple[int, int, int]) -> bytes:
    """A PNG of 16 bits a channel, which Pillow cannot write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + struct.pack(">3H", *colour) * 30 for _ in range(20))
    header = struct.pack(">IIBBBBB", 30, 20, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_sixteen_bit_colour_is_scaled_not_cut() -> None:
    pixels, _ = decode_square(sixteen_bit_rgb((0xC800, 0x6400, 0x00FF)), SIDE)
    assert np.abs(pixels.astype(int) - (200, 100, 0)).max() <= 1


def test_progressive_and_baseline_decode_alike() -> None:
    image = gradient(200, 150)
    progressive, _ = decode_square(encoded(image, "JPEG", progressive=True), SIDE)
    baseline, _ = decode_square(encoded(image, "JPEG", progressive=False), SIDE)
    np.testing.assert_array_equal(progressive, baseline)


def test_decoding_at_reduced_size_is_within_a_level_of_decoding_in_full() -> None:
    image = gradient(1600, 1200).resize((64, 48)).resize((1600, 1200), Image.Resampling.BICUBIC)
    data = encoded(image, "JPEG", quality=95)
    with Image.open(io.BytesIO(data)) as full:
        expected = torchvision.center_crop(torchvision.resize(full.convert("RGB"), [SIDE]), [SIDE])
    pixels, _ = decode_square(data, SIDE)
    assert np.abs(pixels.astype(int) - np.asarray(expected)).mean() < 1


def swapped_profile() -> bytes:
    """An sRGB profile with the red and blue primaries exchanged, so that a conversion shows."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = data.find(b"rXYZ", 128), data.find(b"bXYZ", 128)
    data[red : red + 4], data[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(data)


def test_an_embedded_profile_is_converted_or_on_request_ignored() -> None:
    data = encoded(flat("RGB", (250, 10, 10)), icc_profile=swapped_profile())
    assert np.abs(decode_square(data, SIDE)[0].astype(int) - (10, 10, 250)).max() < 8
    assert np.abs(decode_square(data, SIDE, "ignore")[0].astype(int) - (250, 10, 10)).max() == 0


def test_a_broken_profile_is_ignored() -> None:
    data = encoded(flat("RGB", (250, 10, 10)), icc_profile=b"no profile at all")
    assert np.abs(decode_square(data, SIDE)[0].astype(int) - (250, 10, 10)).max() == 0


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF"])
def test_a_truncated_file_is_corrupt(kind: str, kept: float) -> None:
    data = encoded(gradient(200, 150), kind)
    with pytest.raises(DecodeError) as caught:
        decode_square(data[: int(kept * len(data))], SIDE)
    assert caught.value.status == "corrupt"


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "empty file"),
        (b"\n <!DOCTYPE html><html><body>404</body></html>", "HTML page"),
        (b"%PDF-1.7 ...", "unknown format"),
        (b"\xff\xd8", "unknown format"),
    ],
    ids=["empty", "html", "pdf", "two bytes"],
)
def test_other_things_called_jpg_are_not_images(data: bytes, detail: str) -> None:
    with pytest.raises(DecodeError, match=detail) as caught:
        decode_square(data, SIDE)
    assert caught.value.status == "not-an-image"


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    rows = zlib.compress(b"\0" * 1000)
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    with pytest.raises(DecodeError) as caught:
        decode_square(data, SIDE)
    assert caught.value.status == "too-many-pixels"
    with pytest.raises(DecodeError, match="40 x 30 pixels; the limit is 1000"):
        decode_square(encoded(gradient(40, 30)), SIDE, max_pixels=1000)


def test_a_thin_strip_that_would_grow_beyond_measure_is_refused() -> None:
    with pytest.raises(DecodeError, match="20000 x 1 pixels") as caught:
        decode_square(encoded(gradient(20_000, 1)), 128)
    assert caught.value.status == "too-many-pixels"


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_bytes_give_a_square_or_a_decode_error_and_nothing_else(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"]))
    content = bytearray(encoded(gradient(40, 30), kind))
    for _ in range(data.draw(st.integers(1, 12))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels, _ = decode_square(bytes(content), SIDE)
    except DecodeError:
        return
    assert pixels.shape == (SIDE, SIDE, 3)


@pytest.mark.skipif("FITZ_SAMPLE" not in os.environ, reason="FITZ_SAMPLE (folder of real photographs) is not set")
def test_the_real_originals_decode_close_to_a_plain_decoder() -> None:
    originals = sorted(Path(os.environ["FITZ_SAMPLE"], "originals").glob("*.jpg"))
    errors = []
    for path in originals:
        pixels, size = decode_square(path.read_bytes(), 128, "ignore")
        with Image.open(path) as plain:
            assert size == plain.size  # none of them is turned
            expected = torchvision.center_crop(torchvision.resize(plain.convert("RGB"), [128]), [128])
        errors.append(np.abs(pixels.astype(int) - np.asarray(expected)).mean())
    assert np.mean(errors) < 0.02  # of 255 levels
    assert np.max(errors) < 0.5
