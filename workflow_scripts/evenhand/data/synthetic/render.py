"""Draw one image of the synthetic skin phantom: a condition on skin of known melanin and blood, lit and seen."""

import functools
import math
from typing import Final, NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from evenhand.data.synthetic.conditions import Array, Condition, reflectance, srgb


class Skin(NamedTuple):
    """Normal skin of one person: melanosome fraction, blood fraction, oxygen saturation."""

    melanin: float
    blood: float
    saturation: float


class Lesions(NamedTuple):
    """Where the condition is, each of shape (h, w): 0 to 1 except `height`."""

    mask: Array
    core: Array
    flush: Array
    height: Array


HIGHPASS: Final = 1 / 32
"""Scale (Gaussian sigma) below which structure counts as detail, as a fraction of the shorter side."""
_PEAK: Final = 3.0
"""Detail is compressed smoothly so that it stays within about this many times its RMS."""


def highpass(image: Array) -> Array:
    """`image` (h, w, channels) minus its Gaussian blur at scale `HIGHPASS`."""
    sigma = HIGHPASS * min(image.shape[:2])
    detail: Array = image - gaussian_filter(image, (sigma, sigma, 0), mode="reflect")
    return detail


def centre_crop(image: Array) -> Array:
    """The central square of an image (h, w, ...): what the study packs, so where the difficulty is set."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]


@functools.lru_cache(maxsize=64)
def _spectrum(shape: tuple[int, int], low: float, high: float, slope: float) -> Array:
    """Amplitude per spatial frequency for `_noise`, for NumPy's real FFT of this shape."""
    side = min(shape)
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]) * side
    inside = (frequency >= low) & (frequency <= high)
    amplitude = np.where(inside, np.maximum(frequency, 1.0) ** -slope, 0.0)
    amplitude.flags.writeable = False  # it is shared by every caller
    return amplitude


def _noise(rng: np.random.Generator, shape: tuple[int, int], low: float, high: float, slope: float) -> Array:
    """Noise of zero mean and unit standard deviation between two frequencies in cycles per shorter side."""
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * _spectrum(shape, low, high, slope), shape)
    scaled: Array = field / field.std()
    return scaled


def _smoothstep(x: Array) -> Array:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _lesions(condition: Condition, x: Array, y: Array, rng: np.random.Generator) -> Lesions:
    """Draw the blobs of a condition on coordinates in units of the shorter side, the origin in the middle."""
    count = int(rng.integers(condition.count[0], condition.count[1] + 1))
    # One lesion is what the photographer aimed at; many lie anywhere.
    reach = 0.10 if count == 1 else 0.26 if count < 5 else 0.44
    centre = rng.uniform(-reach, reach, (2, count))
    radius = rng.uniform(*condition.radius, count)
    angle, stretch = rng.uniform(0, np.pi, count), rng.uniform(1.0, 1.35, count)
    wander = np.stack([_noise(rng, x.shape, 1, 0.6 / float(radius.mean()) + 1.5, 0.5) for _ in range(2)])
    wander *= 0.6 * condition.irregularity * radius.mean()
    dx = x + wander[0] - centre[0][:, None, None]
    dy = y + wander[1] - centre[1][:, None, None]
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    stretched = stretch[:, None, None]
    distance = np.hypot((dx * cos + dy * sin) / stretched, (dy * cos - dx * sin) * stretched) / radius[:, None, None]
    if condition.ring:
        inside = 1 - np.abs(distance - 0.82) / 0.25
        height = (_smoothstep(inside) * radius[:, None, None]).max(0)
        core = np.zeros_like(x)
    else:
        inside = 1 + condition.softness / 2 - distance
        height = (np.sqrt(np.clip(1 - distance**2, 0, None) + 0.02) * radius[:, None, None]).max(0)
        core = _smoothstep((0.55 - distance) / 0.3).max(0)
    mask = _smoothstep(inside / condition.softness).max(0)
    flush = np.exp(-0.5 * (distance / 1.8) ** 2).max(0)
    return Lesions(mask, core, flush, height * condition.relief)


def _plates(x: Array, y: Array, rng: np.random.Generator) -> Array:
    """Polygonal scales (Voronoi cells of a jittered grid): 1 along their edges, 0 inside."""
    pitch = rng.uniform(0.09, 0.13)
    grid = np.mgrid[-0.9:0.9:pitch, -0.7:0.7:pitch].reshape(2, -1).T
    tree = cKDTree(grid + rng.uniform(-0.35, 0.35, grid.shape) * pitch)
    distance = np.asarray(tree.query(np.stack([x.ravel(), y.ravel()], 1), k=2)[0])
    return _smoothstep(1 - (distance[:, 1] - distance[:, 0]).reshape(x.shape) / (0.3 * pitch))


def _hair(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Cover by hair strands, 0 to 1: a few slightly bent lines of roughly one direction."""
    side = min(shape)
    strands = int(rng.poisson(rng.choice([0.0, 3.0, 9.0], p=[0.50, 0.35, 0.15])))
    cover = np.zeros(shape)
    if strands == 0:
        return cover
    along = np.linspace(-0.5, 0.5, 2 * side)
    heading = rng.uniform(0, np.pi) + rng.normal(0, 0.25, strands)[:, None]
    length, bend = rng.uniform(0.2, 0.6, strands)[:, None], rng.normal(0, 0.15, strands)[:, None]
    start = rng.uniform(0, 1, (2, strands, 1)) * np.array(shape)[:, None, None]
    u, v = along * length, bend * along**2
    rows = start[0] + side * (u * np.sin(heading) + v * np.cos(heading))
    columns = start[1] + side * (u * np.cos(heading) - v * np.sin(heading))
    # Each point is shared between its four neighbouring pixels, so that strands are smooth at any angle.
    for down in (0, 1):
        for right in (0, 1):
            i, j = np.floor(rows).astype(int) + down, np.floor(columns).astype(int) + right
            share = (1 - np.abs(rows - i)) * (1 - np.abs(columns - j)) * length
            seen = (i >= 0) & (i < shape[0]) & (j >= 0) & (j < shape[1])
            cover += np.bincount(i[seen] * shape[1] + j[seen], share[seen], cover.size).reshape(shape)
    width = 0.3 + side / 600
    return np.clip(0.7 * gaussian_filter(cover, width), 0, 0.8)


def _paint(condition: Condition, skin: Skin, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """The lit scene in sRGB, shape (*shape, 3), values about 0 to 1."""
    side = min(shape)
    y, x = ((np.arange(length) - (length - 1) / 2) / side for length in shape)
    y, x = np.meshgrid(y, x, indexing="ij")
    mottle = _noise(rng, shape, 2, side / 4, 1.0)
    vessels = _noise(rng, shape, 2, side / 3, 0.8)
    grain = _noise(rng, shape, side / 16, side / 2.2, 0.2)
    lesions = _lesions(condition, x, y, rng)

    uneven = 1 + condition.variegation * mottle
    melanin = skin.melanin * (1 + 0.06 * mottle + 0.05 * grain) * (1 + (condition.melanin_factor - 1) * lesions.mask)
    melanin = melanin + condition.melanin * lesions.mask * np.clip(uneven, 0.1, None)
    blood = skin.blood * (1 + 0.15 * vessels) + condition.blood * lesions.mask * np.clip(uneven, 0.1, None)
    blood = blood + condition.flush * lesions.flush + condition.core_blood * lesions.core
    # Scale sits in flakes: where the noise is high, it covers.
    flakes = _smoothstep(0.5 + 0.35 * vessels + 0.2 * grain)
    keratin = condition.keratin * lesions.mask * flakes + condition.core_keratin * lesions.core
    height = lesions.height + 0.0012 * grain
    if condition.plates:
        edges = _plates(x, y, rng)
        keratin = keratin + 0.13 * edges
        melanin = melanin * (1 + 0.25 * (1 - edges))
    scene = reflectance(
        np.clip(melanin, 0.001, 0.9),
        np.clip(blood, 0.0005, 0.3),
        np.clip(skin.saturation - condition.desaturation * lesions.mask, 0, 1),
        np.clip(keratin, 0, 0.9),
    )

    hair = _hair(shape, rng)[..., None]
    # Hair is darkened by the same pigment as skin: brown on light skin, black on dark.
    scene = scene * (1 - hair) + hair * np.array([0.10, 0.06, 0.035]) * np.exp(-4 * skin.melanin)

    direction = rng.uniform(0, 2 * np.pi)
    slope_y, slope_x = np.gradient(height, 1 / side)
    relief = 1 + 0.35 * np.tanh(1.2 * (slope_x * np.cos(direction) + slope_y * np.sin(direction)))
    gloss = 0.10 * np.clip((slope_x * np.cos(direction) + slope_y * np.sin(direction)) - 0.75, 0, 0.8)
    across = x * np.cos(direction) + y * np.sin(direction)
    light = 1 + rng.uniform(0.0, 0.35) * across - rng.uniform(0.0, 0.5) * (x**2 + y**2)
    light = light / np.median(centre_crop(light)) * rng.uniform(0.96, 1.04)
    return srgb(scene * (relief * light)[..., None] + gloss[..., None])


def _set_detail(image: Array, detail_rms: float) -> Array:
    """Rescale what is finer than `HIGHPASS` so that the central square's high-pass RMS is `detail_rms`.

    `image` has values in [-1, 1], shape (h, w, 3), as has the result. Detail is compressed before it is scaled, and
    shrunk where the smooth part is near black or white, so that next to nothing is clipped.
    """
    sigma = HIGHPASS * min(image.shape[:2])
    base = np.clip(gaussian_filter(image, (sigma, sigma, 0), mode="reflect"), -0.97, 0.97)
    detail = image - base
    peak = _PEAK * np.sqrt(np.mean(centre_crop(detail) ** 2))
    room = np.minimum(1, (1 - np.abs(base)) / (_PEAK * detail_rms))
    detail = np.tanh(detail / peak) * room
    # The filter is no projection: the blurred part leaves a little in the high-pass as well. So the factor is the
    # positive root of |H(base) + factor H(detail)|^2 = target^2 rather than a ratio.
    rest, scaled = centre_crop(highpass(base)), centre_crop(highpass(detail))
    a, b, c = (float(np.mean(v)) for v in (scaled**2, scaled * rest, rest**2 - detail_rms**2))
    if c > 0:
        raise ValueError(
            f"no detail of RMS {detail_rms}: the blurred image alone has {math.sqrt(c + detail_rms**2):.4f}"
        )
    factor = (math.sqrt(b * b - a * c) - b) / a
    finished: Array = np.clip(base + factor * detail, -1, 1)
    return finished


def render(
    condition: Condition,
    skin: Skin,
    shape: tuple[int, int],
    *,
    cast: tuple[float, float, float],
    detail_rms: float,
    rng: np.random.Generator,
) -> Array:
    """One photograph, float (*shape, 3) in [-1, 1].

    Args:
        condition: what is wrong with the skin.
        skin: its normal colour.
        shape: height and width in pixels.
        cast: camera's gain per channel on sRGB values, close to 1.
        detail_rms: RMS of the finished high-pass detail over the central square, in units where pixels span [-1, 1].
        rng: consumed; equal states give equal images.

    Raises:
        ValueError: `detail_rms` is so small that even a blurred image has more high-pass detail.
    """
    photograph = _paint(condition, skin, shape, rng) * np.array(cast)
    photograph = photograph + 0.006 * rng.standard_normal(photograph.shape)  # sensor noise, before it is rescaled
    return _set_detail(2 * photograph - 1, detail_rms)
