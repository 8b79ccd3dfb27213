"""How a reconstruction shifts the colour of skin (study, section 3)."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000

from evenhand.data.tone import MIN_SKIN, skin_mask, skin_tone, to_lab

COLUMNS = ["skin_share", "ita_in", "ita_out", "dl", "da", "db", "ciede2000"]


def colour_shift(images: NDArray[np.uint8], reconstructions: NDArray[np.uint8], workers: int) -> pd.DataFrame:
    """Colour of `reconstructions` against `images`, both sRGB (n, S, S, 3), on the skin pixels of the image.

    `workers` threads share the images; the result does not depend on their number.

    Returns:
        skin_share (of the image's pixels); ita_in and ita_out (degrees, from medians over the skin pixels);
        dl, da, db (mean over skin pixels of reconstruction minus image, in CIELAB units); ciede2000 (mean colour
        difference, Sharma et al. 2005). All but the share are NaN where less than `MIN_SKIN` of the pixels are skin.
    """
    with ThreadPoolExecutor(workers) as pool:
        return pd.DataFrame(pool.map(_shift, images, reconstructions), columns=COLUMNS)


def _shift(image: NDArray[np.uint8], reconstruction: NDArray[np.uint8]) -> tuple[float, ...]:
    mask = skin_mask(image)
    share = float(mask.mean())
    if share < MIN_SKIN:
        return (share, *[np.nan] * (len(COLUMNS) - 1))
    before, after = to_lab(image), to_lab(reconstruction)
    shift = (after[mask] - before[mask]).mean(axis=0, dtype=np.float64)
    difference = deltaE_ciede2000(before[mask], after[mask]).mean(dtype=np.float64)
    return (share, skin_tone(before, mask)[2], skin_tone(after, mask)[2], *shift.tolist(), float(difference))
