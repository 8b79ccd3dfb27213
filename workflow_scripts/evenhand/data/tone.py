"""Apparent skin tone of photographs: which pixels are skin, and how light they are.

Individual typology angle (ITA): degrees(arctan2(L* - 50, b*)) in CIELAB (Chardon, Cretois and Hourseau,
International Journal of Cosmetic Science 13, 1991), D65 white, sRGB pixels. Lighting, exposure and white balance
enter: it is the tone of the picture, "apparent", not that of the person.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pandas as pd
from skimage.color import rgb2lab, rgb2ycbcr

from evenhand.workflow.progress import track

Pixels = npt.NDArray[np.uint8]
Lab = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

# Chai and Ngan, IEEE Transactions on Circuits and Systems for Video Technology 9(4), 1999. Chroma alone, so
# that dark skin passes as light skin does: the share of pixels found differs little between skin types.
CB_RANGE = (77.0, 127.0)
CR_RANGE = (133.0, 173.0)
MIN_SKIN = 0.05  # share of an image's pixels; below it, tone says little
# Lower limits of the classes (Del Bino and Bernerd, British Journal of Dermatology 169 S3, 2013), in degrees.
CLASSES = {"very light": 55.0, "light": 41.0, "intermediate": 28.0, "tan": 10.0, "brown": -30.0, "dark": -90.0}
BATCH_BYTES = 4 * 1024 * 1024  # of uint8 pixels converted at a time; the conversion needs some thirty times as much


def skin_mask(images: Pixels) -> Mask:
    """Which pixels have the chroma of skin: (..., 3) RGB -> (...)."""
    ycbcr = rgb2ycbcr(images.astype(np.float32) / 255)
    cb, cr = ycbcr[..., 1], ycbcr[..., 2]
    mask: Mask = (cb >= CB_RANGE[0]) & (cb <= CB_RANGE[1]) & (cr >= CR_RANGE[0]) & (cr <= CR_RANGE[1])
    return mask


def to_lab(images: Pixels) -> Lab:
    """CIELAB of sRGB pixels, D65: (..., 3) -> (..., 3)."""
    lab: Lab = rgb2lab(images.astype(np.float32) / 255)
    return lab


def ita(lightness: npt.ArrayLike, yellowness: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Individual typology angle in degrees, of L* and b*; larger is lighter."""
    return np.degrees(np.arctan2(np.asarray(lightness, np.float64) - 50.0, np.asarray(yellowness, np.float64)))


def skin_tone(lab: Lab, mask: Mask) -> tuple[float, float, float]:
    """Median L* and b* of an image's skin pixels, and the ITA of these medians; NaN without skin pixels."""
    if not mask.any():
        return float("nan"), float("nan"), float("nan")
    lightness, yellowness = np.median(lab[mask][:, [0, 2]], axis=0).tolist()
    return lightness, yellowness, float(ita(lightness, yellowness))


def measure_tone(images: Pixels, workers: int) -> pd.DataFrame:
    """The apparent tone of every image.

    Args:
        images: (n, side, side, 3), sRGB; may be memory-mapped.
        workers: threads; the result does not depend on it.

    Returns:
        skin_share (of the pixels, 0 to 1), lightness (L*), yellowness (b*) and ita (degrees; NaN without skin),
        few_skin (less than `MIN_SKIN`), in the order of `images`.
    """
    rows_at_a_time = max(1, BATCH_BYTES // max(1, images[0].nbytes)) if len(images) else 1
    starts = range(0, len(images), rows_at_a_time)
    with ThreadPoolExecutor(workers) as pool:
        batches = pool.map(lambda start: list(_tones(images[start : start + rows_at_a_time])), starts)
        rows = [row for batch in track(batches, len(starts), "measuring tone", "batches") for row in batch]
    table = pd.DataFrame(rows, columns=["skin_share", "lightness", "yellowness", "ita"], dtype=np.float64)
    table["few_skin"] = table["skin_share"] < MIN_SKIN
    return table


def tone_class(angle: pd.Series) -> pd.Series:
    """The class of each ITA, `very light` to `dark`; empty for NaN."""
    limits = sorted(CLASSES.values())
    names = [name for name, _ in sorted(CLASSES.items(), key=lambda item: item[1])]
    # A limit belongs to the darker class: "very light" is above 55 degrees.
    found = np.searchsorted(limits, angle.fillna(0).to_numpy(), side="left").clip(1) - 1
    return pd.Series(np.array(names)[found], angle.index).where(angle.notna(), "")


def summarise_tone(tone: pd.DataFrame, by: str) -> pd.DataFrame:
    """Distribution of ITA for each value of the column `by`, images with few skin pixels left out but counted.

    Returns:
        `by`, n, n_few_skin, skin_share (median), ita_mean, ita_sd, and ita quantiles ita_05 ... ita_95.
    """
    rows = []
    for value, images in tone.groupby(by, sort=True):
        angle = images.loc[~images["few_skin"], "ita"]
        quantiles = {f"ita_{q:02d}": angle.quantile(q / 100) for q in (5, 25, 50, 75, 95)}
        rows.append(
            {
                by: value,
                "n": len(images),
                "n_few_skin": int(images["few_skin"].sum()),
                "skin_share": images["skin_share"].median(),
                "ita_mean": angle.mean(),
                "ita_sd": angle.std(),
                **quantiles,
            }
        )
    return pd.DataFrame(rows)


def _tones(images: Pixels) -> Iterator[tuple[float, float, float, float]]:
    masks = skin_mask(images)
    for lab, mask in zip(to_lab(images), masks, strict=True):
        yield float(mask.mean()), *skin_tone(lab, mask)
