"""A synthetic stand-in for Fitzpatrick17k: skin phantoms with the same metadata columns and a known difficulty.

No patient is in it. What is true of each image (tone, difficulty, what it copies) is returned beside the metadata,
so that every later stage can be tested against a known answer.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from evenhand.data.synthetic.conditions import CONDITIONS, Array, Condition, melanin_for_ita
from evenhand.data.synthetic.render import Skin, render
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import atomic_path
from evenhand.workflow.seeds import derive_seed, generator

FST_SHARES: Final[Mapping[int, float]] = {1: 0.16, 2: 0.26, 3: 0.12, 4: 0.12, 5: 0.22, 6: 0.12}
"""Default mix of Fitzpatrick skin types: as in Fitzpatrick17k, with dark skin raised from 14 % to 34 %."""

ITA_TARGETS: Final[Mapping[int, tuple[float, float]]] = {
    1: (57.0, 66.0),
    2: (43.5, 53.0),
    3: (30.0, 39.0),
    4: (13.0, 26.0),
    5: (-24.0, 6.0),
    6: (-62.0, -36.0),
}
"""Tone of normal skin by FST, ITA in degrees: inside the published classes (`phantom_optics.ITA_CLASSES`) by a margin
that the cameras' casts and exposures do not use up."""

BASE_RMS: Final = 0.07
"""High-pass RMS of an image of no extra difficulty, pixels spanning [-1, 1]: about that of clinical photographs."""
MAX_RMS: Final = 0.22
"""Above this, detail would be clipped on dark skin and the difficulty no longer be what was asked for."""

MISSING_FST: Final = 0.03
CENTAUR_AGREES: Final = 0.62
# Every so many images one is special. Counting, not drawing, gives the smallest data set its share of each.
DUPLICATE_EVERY: Final = 30
WITHHELD_EVERY: Final = 90
NO_URL_EVERY: Final = 150

DESCRIPTION: Final = "Synthetic skin phantom, computer generated. Not a photograph, no patient."


class Camera(NamedTuple):
    """What the photographs of a source have in common."""

    width: float
    """Image width as a multiple of its height."""
    quality: int
    """JPEG quality."""
    cast: tuple[float, float, float]
    """Gain per channel."""
    url: str


CAMERAS: Final[Mapping[str, Camera]] = {
    "dermaamin": Camera(
        1.25, 95, (1.0, 1.0, 1.0), "https://www.dermaamin.com/synthetic/clinical-pic/{slug}/{slug}{index}.jpg"
    ),
    "atlasdermatologico": Camera(
        1.0, 88, (1.015, 1.0, 0.975), "http://atlasdermatologico.com.br/synthetic/img?imageId={index}"
    ),
}
SECOND_SOURCE_SHARE: Final[Mapping[int, float]] = {1: 0.055, 2: 0.137, 3: 0.30, 4: 0.39, 5: 0.416, 6: 0.318}
"""Share of the second source by FST, as in Fitzpatrick17k: 10.6 % of light, 38.7 % of dark images."""


class Subject(NamedTuple):
    """What one image shows, before it is drawn."""

    number: int
    fst: int
    ita: float
    skin: Skin
    condition: Condition
    source: str
    seed: int


class Phantom(NamedTuple):
    """A synthetic data set.

    `metadata`: Fitzpatrick17k's nine columns, one row per image. `truth`: what is known of each, see `generate`.
    `files`: JPEG bytes by MD5, without the withheld ones.
    """

    metadata: pd.DataFrame
    truth: pd.DataFrame
    files: dict[str, bytes]


def _skin_types(n: int, seed: int, shares: Mapping[int, float]) -> list[int]:
    """FST of images 0..n-1. A golden-ratio sequence keeps counts within a few of n times the share for every n,
    so that more images are appended to the same first ones."""
    if set(shares) - set(range(1, 7)) or min(shares.values(), default=-1.0) < 0 or sum(shares.values()) <= 0:
        raise UserError(
            f"FST shares must map skin types 1-6 to numbers of at least 0, not all 0; found {dict(shares)}. "
            "Write for instance 1=0.4,2=0.2,5=0.2,6=0.2."
        )
    types = sorted(shares)
    edges = np.cumsum([shares[fst] for fst in types])
    position = (generator(seed, "phantom", "skin types").random() + np.arange(n) * (np.sqrt(5) - 1) / 2) % 1.0
    return [types[k] for k in np.searchsorted(edges, position * edges[-1], side="right")]


def _subjects(n: int, seed: int, shares: Mapping[int, float]) -> list[Subject]:
    """Draw what every image shows; image i depends on the seed, the shares and i alone."""
    types = _skin_types(n, seed, shares)
    light, dark = (np.array([getattr(c, group) for c in CONDITIONS]) for group in ("light", "dark"))
    drawn = []
    for i, fst in enumerate(types):
        rng = generator(seed, "phantom", "subject", i)
        share = light if fst <= 2 else dark if fst >= 5 else (light + dark) / 2
        condition = CONDITIONS[int(rng.choice(len(CONDITIONS), p=share / share.sum()))]
        source = "atlasdermatologico" if rng.random() < SECOND_SOURCE_SHARE[fst] else "dermaamin"
        drawn.append(
            (rng.uniform(*ITA_TARGETS[fst]), rng.uniform(0.006, 0.013), rng.uniform(0.6, 0.8), condition, source)
        )
    ita, blood, saturation = (np.array([row[k] for row in drawn], dtype=float) for k in range(3))
    melanin = melanin_for_ita(ita, blood, saturation)
    return [
        Subject(
            i,
            types[i],
            float(ita[i]),
            Skin(float(melanin[i]), float(blood[i]), float(saturation[i])),
            drawn[i][3],
            drawn[i][4],
            derive_seed(seed, "phantom", "image", i),
        )
        for i in range(n)
    ]


def _detail_rms(fst: int, dark_difficulty: float) -> float:
    return BASE_RMS * (1 + dark_difficulty * (fst >= 5))


def _photograph(subject: Subject, size: int, dark_difficulty: float) -> Array:
    camera = CAMERAS[subject.source]
    shape = (size, round(size * camera.width))
    rng = np.random.Generator(np.random.PCG64(subject.seed))
    return render(
        subject.condition,
        subject.skin,
        shape,
        cast=camera.cast,
        detail_rms=_detail_rms(subject.fst, dark_difficulty),
        rng=rng,
    )


def _jpeg(image: Array, quality: int) -> bytes:
    """JPEG bytes of an image in [-1, 1], full colour resolution, with the notice that it is synthetic."""
    exif = Image.Exif()
    exif[0x010E] = DESCRIPTION  # ImageDescription
    pixels = np.rint((np.clip(image, -1, 1) + 1) * 127.5).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0, exif=exif, comment=DESCRIPTION)
    return file.getvalue()


def _copy(image: Array, variant: str) -> Array:
    """What a near-duplicate does to the picture it copies."""
    if variant == "brightened":
        return np.clip(1.06 * image + 0.05, -1, 1)
    if variant == "cropped":
        edge = max(1, round(0.03 * image.shape[0]))
        return image[edge:-edge, edge:-edge]
    return image


def _centaur(fst: int, rng: np.random.Generator) -> int:
    """A second opinion on the skin type: right more often than not, else one or two off, sometimes missing."""
    if rng.random() < 0.06:
        return -1
    if rng.random() < CENTAUR_AGREES:
        return fst
    return int(np.clip(fst + rng.choice([-2, -1, 1, 2], p=[0.1, 0.5, 0.3, 0.1]), 1, 6))


def _opposite(fst: int) -> int:
    """A skin type of the other group."""
    return 5 if fst <= 2 else 2


def generate(
    n: int, *, seed: int, size: int, dark_difficulty: float, fst_shares: Mapping[int, float] = FST_SHARES
) -> Phantom:
    """Make a synthetic data set of `n` images with a shorter side of `size` pixels.

    The detail of an image - what a Gaussian high-pass at 1/32 of the shorter side leaves - has an RMS of `BASE_RMS` on
    light and `BASE_RMS * (1 + dark_difficulty)` on dark skin (FST 5-6), over the central square and with pixels
    in [-1, 1]. So 0 means that no group is harder at high frequency, whatever its tone.

    Every 30th image is a near-duplicate of an earlier one; the 2nd of 24 such has another condition's label, the
    4th of 24 a skin type of the other group. Every 90th image has a row but no file, every 150th no URL.

    The truth table has per image: row, id, image_seed, true_fst (also where the metadata say -1), ita (degrees,
    of normal skin), melanin, blood, saturation (fractions), detail_rms, variant (original, re-encoded, brightened,
    cropped), duplicate_of (id or empty), conflict (empty, label, fst), withheld, source.

    Raises:
        UserError: an argument is outside its range.
    """
    if n < 1 or size < 16:
        raise UserError(f"a phantom needs n of at least 1 and a size of at least 16 pixels; found n={n}, size={size}.")
    if not 0 <= dark_difficulty <= MAX_RMS / BASE_RMS - 1:
        raise UserError(
            f"dark_difficulty must be from 0 to {MAX_RMS / BASE_RMS - 1:.2f}, above which detail would be clipped; "
            f"found {dark_difficulty}."
        )
    subjects = _subjects(n, seed, fst_shares)
    rows, truth, files = [], [], {}
    hashes: list[str] = []
    copied: set[int] = set()
    for i, own in enumerate(subjects):
        rng = generator(seed, "phantom", "row", i)
        subject, variant, conflict = own, "original", ""
        if i % DUPLICATE_EVERY == DUPLICATE_EVERY - 1:
            number = i // DUPLICATE_EVERY
            variant = ("re-encoded", "brightened", "cropped")[number % 3]
            conflict = {1: "label", 3: "fst"}.get(number % 24, "")
            # Copies are made of originals, each copied once.
            originals = [
                s for s in subjects[:i] if s.number % DUPLICATE_EVERY != DUPLICATE_EVERY - 1 and s.number not in copied
            ]
            if conflict == "fst":  # a clash between the groups needs an image of one of them
                originals = [s for s in originals if s.fst in (1, 2, 5, 6)] or originals
            subject = originals[int(rng.integers(len(originals)))]
            copied.add(subject.number)
        camera = CAMERAS[subject.source]
        image = _copy(_photograph(subject, size, dark_difficulty), variant)
        data = _jpeg(image, camera.quality - (14 if variant == "re-encoded" else 0))
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        hashes.append(md5)
        withheld = i % WITHHELD_EVERY == WITHHELD_EVERY // 2
        if not withheld:
            files[md5] = data
        condition = subject.condition
        if conflict == "label":
            others = [c for c in CONDITIONS if c.label != condition.label]
            condition = others[int(rng.integers(len(others)))]
        fst = _opposite(subject.fst) if conflict == "fst" else subject.fst
        url = camera.url.format(slug=condition.label.replace(" ", "-"), index=i)
        rows.append(
            {
                "md5hash": md5,
                "fitzpatrick_scale": -1 if rng.random() < MISSING_FST else fst,
                "fitzpatrick_centaur": _centaur(fst, rng),
                "label": condition.label,
                "nine_partition_label": condition.nine,
                "three_partition_label": condition.three,
                "qc": "synthetic phantom",
                "url": "" if i % NO_URL_EVERY == NO_URL_EVERY // 2 else url,
                "url_alphanum": re.sub("[^A-Za-z0-9]", "", url) + ".jpg",
            }
        )
        truth.append(
            {
                "row": i,
                "id": md5,
                "image_seed": subject.seed,
                "true_fst": subject.fst,
                "ita": subject.ita,
                **subject.skin._asdict(),
                "detail_rms": _detail_rms(subject.fst, dark_difficulty),
                "variant": variant,
                "duplicate_of": "" if variant == "original" else hashes[subject.number],
                "conflict": conflict,
                "withheld": withheld,
                "source": subject.source,
            }
        )
    return Phantom(pd.DataFrame(rows), pd.DataFrame(truth), files)


def write_zip(files: Mapping[str, bytes], path: str | Path) -> None:
    """Write `<MD5>.jpg` members, sorted, uncompressed and undated, so that equal files give an equal archive."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for md5 in sorted(files):
            member = zipfile.ZipInfo(f"{md5}.jpg", date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system = 3  # else the archive would name the operating system it was made on
            archive.writestr(member, files[md5])
