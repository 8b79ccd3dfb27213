"""Colour of the synthetic skin phantom: from melanin and blood to sRGB, and back from a skin tone to melanin.

Two layers seen by a camera with three narrow bands. The epidermis only absorbs (Beer-Lambert, passed twice); the dermis
absorbs and scatters (Kubelka-Munk, semi-infinite). Both are the standard simplifications of
Anderson & Parrish, "The optics of human skin", J. Invest. Dermatol. 77 (1981), 13-19.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab

Array = NDArray[np.float64]

BANDS: Final = np.array([610.0, 540.0, 460.0])
"""Band centres in nm, in the order R, G, B."""

# Molar extinction in 1/(cm M) at BANDS: S. Prahl, "Tabulated molar extinction coefficient for hemoglobin in water",
# Oregon Medical Laser Center, omlc.org/spectra/hemoglobin (data of Gratzer and Kollias).
OXYHAEMOGLOBIN: Final = np.array([1506.0, 53236.0, 44480.0])
DEOXYHAEMOGLOBIN: Final = np.array([9443.6, 46592.0, 23388.8])
MOLAR_BLOOD: Final = 150.0 / 64500.0
"""Haemoglobin in whole blood in mol/l: 150 g/l at 64,500 g/mol (same source)."""

# S. L. Jacques, "Skin optics", Oregon Medical Laser Center News (1998): the inside of a melanosome, and skin without
# melanin or blood (after I. S. Saidi, 1992), both in 1/cm.
MELANOSOME: Final = 6.6e11 * BANDS**-3.33
BLOODLESS: Final = 7.84e8 * BANDS**-3.255
# S. L. Jacques, "Optical properties of biological tissues: a review", Phys. Med. Biol. 58 (2013), R37, table 1 (skin).
REDUCED_SCATTERING: Final = 46.0 * (BANDS / 500.0) ** -1.421

EPIDERMIS_PATH: Final = 4 * 60e-4
"""Light path in the epidermis in cm: 60 um thick, passed twice, doubled because diffuse light crosses it obliquely."""
SURFACE: Final = 0.03
"""Light reflected by the surface without entering; about 4 % by Fresnel's law, some of it lost from view."""
EXPOSURE: Final = 1.15
"""Camera gain: a white target slightly above full scale, as in clinical close-ups."""
SCALE_REFLECTANCE: Final = np.array([0.66, 0.56, 0.45])
"""Loose keratin (scale, crust): white with a little yellow."""

ITA_CLASSES: Final[dict[int, tuple[float, float]]] = {
    1: (55.0, 90.0),
    2: (41.0, 55.0),
    3: (28.0, 41.0),
    4: (10.0, 28.0),
    5: (-30.0, 10.0),
    6: (-90.0, -30.0),
}
"""ITA in degrees by Fitzpatrick skin type: very light, light, intermediate, tan, brown, dark.
Chardon, Cretois & Hourseau, Int. J. Cosmet. Sci. 13 (1991), 191-208, with "dark" below -30 as in Del Bino & Bernerd,
Br. J. Dermatol. 169 (2013), s3, 33-40. That a class stands for one Fitzpatrick type is a convention
(Kinyanjui et al., MICCAI 2020), not a finding."""


def reflectance(
    melanin: float | Array, blood: float | Array, saturation: float | Array = 0.7, keratin: float | Array = 0.0
) -> Array:
    """Linear-light R, G, B in a last axis added to the common shape of the arguments, before lighting; about 0 to 1.

    Args:
        melanin: volume fraction of melanosomes in the epidermis, about 0.01 (very light) to 0.43 (very dark).
        blood: volume fraction of whole blood in the dermis, 0.002 to 0.01 in normal skin, more where inflamed.
        saturation: oxygen saturation of that blood, 0 to 1.
        keratin: cover by loose white scale, 0 to 1.
    """
    melanin, blood, saturation, keratin = (
        np.asarray(value)[..., None] for value in (melanin, blood, saturation, keratin)
    )
    haemoglobin = saturation * OXYHAEMOGLOBIN + (1 - saturation) * DEOXYHAEMOGLOBIN
    absorption = blood * np.log(10) * MOLAR_BLOOD * haemoglobin + BLOODLESS
    # Kubelka-Munk K = 2 mu_a and S = 3/4 mu_s', the diffusion-limit relation for isotropic light.
    ratio = 2 * absorption / (0.75 * REDUCED_SCATTERING)
    dermis = 1 + ratio - np.sqrt(ratio**2 + 2 * ratio)
    skin = SURFACE + (1 - SURFACE) * dermis * np.exp(-EPIDERMIS_PATH * melanin * MELANOSOME)
    covered: Array = EXPOSURE * (skin * (1 - keratin) ** 2 + keratin * SCALE_REFLECTANCE)
    return covered


def srgb(linear: Array) -> Array:
    """Linear light to gamma-encoded sRGB (IEC 61966-2-1). Negative light counts as none; values above 1 are kept."""
    linear = np.maximum(linear, 0)
    encoded: Array = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return encoded


def ita(rgb: Array) -> Array:
    """Individual typology angle in degrees, arctan2(L* - 50, b*), of sRGB colours in [0, 1] with shape (..., 3)."""
    lab = rgb2lab(np.clip(rgb, 0, 1))
    angle: Array = np.degrees(np.arctan2(lab[..., 0] - 50, lab[..., 2]))
    return angle


def melanin_for_ita(target: Array, blood: Array, saturation: Array) -> Array:
    """Melanosome fraction at which normal skin with this blood has the target ITA, by bisection. All of shape (n,).

    ITA falls as melanin rises, so the answer is unique. Its range is 0.001 to 0.6; a target beyond what that range
    gives (about 75 to -80 degrees) returns the nearer end.
    """
    low, high = np.full(target.shape, 0.001), np.full(target.shape, 0.6)
    for _ in range(30):  # halves 0.6 to below 1e-9
        middle = (low + high) / 2
        too_light = ita(srgb(reflectance(middle, blood, saturation))) > target
        low, high = np.where(too_light, middle, low), np.where(too_light, high, middle)
    melanin: Array = (low + high) / 2
    return melanin
