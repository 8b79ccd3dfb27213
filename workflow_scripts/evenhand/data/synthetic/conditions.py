"""Conditions of the synthetic skin phantom and its colour, from melanin and blood to sRGB and back."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab


@dataclass(frozen=True)
class Condition:
    """One condition. Lengths are fractions of the image's shorter side; pairs are the ends of a uniform draw."""

    label: str
    nine: str
    three: str
    light: float
    """Share among images of light skin (FST 1-2), relative to the other conditions."""
    dark: float
    """The same among dark skin (FST 5-6). FST 3 and 4 take the mean of both."""
    count: tuple[int, int]
    radius: tuple[float, float]
    irregularity: float = 0.1
    """How far the outline wanders, as a fraction of the radius."""
    softness: float = 0.15
    """Width of the edge as a fraction of the radius."""
    ring: bool = False
    """Only the margin is affected."""
    melanin_factor: float = 1.0
    """The skin's own melanin is multiplied by this."""
    melanin: float = 0.0
    """Melanosome fraction added."""
    blood: float = 0.0
    """Blood fraction added."""
    desaturation: float = 0.0
    """Oxygen saturation lost: purple instead of red."""
    variegation: float = 0.15
    """Relative unevenness of the added pigment and blood."""
    keratin: float = 0.0
    """Cover by loose scale, in patches."""
    relief: float = 0.0
    """Height of the dome, in units of which 1 shades like a hemisphere-ish nodule; negative is a dent."""
    flush: float = 0.0
    """Blood fraction added around the lesion."""
    core_blood: float = 0.0
    """Blood fraction added in the middle: ulcer, bleeding."""
    core_keratin: float = 0.0
    """Scale or pus in the middle."""
    plates: bool = False
    """The whole skin is divided into polygonal scales."""


_INFLAMMATORY: Final = ("inflammatory", "non-neoplastic")
_GENODERMATOSES: Final = ("genodermatoses", "non-neoplastic")
_EPIDERMAL: Final = ("malignant epidermal", "malignant")

CONDITIONS: Final[tuple[Condition, ...]] = (
    Condition(
        "psoriasis", *_INFLAMMATORY, 0.16, 0.13, (1, 3), (0.18, 0.34), 0.25, 0.10,
        blood=0.040, keratin=0.38, relief=0.25,
    ),
    Condition(
        "lichen planus", *_INFLAMMATORY, 0.04, 0.19, (7, 14), (0.035, 0.075), 0.20, 0.25,
        melanin=0.03, blood=0.03, desaturation=0.45, keratin=0.04, relief=0.5,
    ),
    Condition(
        "acne vulgaris", *_INFLAMMATORY, 0.18, 0.03, (8, 16), (0.025, 0.05), 0.10, 0.35,
        blood=0.04, relief=0.6, flush=0.015, core_keratin=0.35,
    ),
    Condition(
        "allergic contact dermatitis", *_INFLAMMATORY, 0.18, 0.05, (1, 2), (0.28, 0.42), 0.45, 0.60,
        blood=0.04, variegation=0.45, keratin=0.05, relief=0.1, flush=0.006,
    ),
    Condition(
        "vitiligo", *_INFLAMMATORY, 0.015, 0.16, (2, 4), (0.12, 0.26), 0.45, 0.08,
        melanin_factor=0.25, variegation=0.05,
    ),
    Condition(
        "granuloma annulare", *_INFLAMMATORY, 0.075, 0.09, (1, 2), (0.20, 0.32), 0.15, 0.30, ring=True,
        blood=0.022, melanin=0.01, relief=0.5,
    ),
    Condition(
        "neurofibromatosis", *_GENODERMATOSES, 0.025, 0.075, (4, 9), (0.04, 0.11), 0.08, 0.20,
        melanin_factor=1.15, blood=0.003, relief=1.0,
    ),
    Condition(
        "ichthyosis vulgaris", *_GENODERMATOSES, 0.035, 0.035, (1, 2), (0.40, 0.60), 0.30, 0.80,
        melanin=0.015, keratin=0.03, plates=True,
    ),
    Condition(
        "basal cell carcinoma", *_EPIDERMAL, 0.065, 0.030, (1, 1), (0.13, 0.24), 0.12, 0.20,
        blood=0.016, melanin_factor=0.85, relief=0.9, core_blood=0.06, core_keratin=0.10,
    ),
    Condition(
        "squamous cell carcinoma", *_EPIDERMAL, 0.050, 0.040, (1, 1), (0.15, 0.28), 0.30, 0.20,
        blood=0.045, variegation=0.4, keratin=0.20, relief=0.8, core_keratin=0.25, core_blood=0.03,
    ),
    Condition(
        "melanoma", "malignant melanoma", "malignant", 0.035, 0.025, (1, 2), (0.12, 0.26), 0.50, 0.08,
        melanin=0.16, blood=0.02, desaturation=0.3, variegation=0.45, relief=0.15,
    ),
    Condition(
        "kaposi sarcoma", "malignant dermal", "malignant", 0.010, 0.025, (3, 6), (0.06, 0.16), 0.35, 0.20,
        melanin=0.04, blood=0.07, desaturation=0.65, relief=0.4,
    ),
    Condition(
        "mycosis fungoides", "malignant cutaneous lymphoma", "malignant", 0.015, 0.015, (2, 4), (0.16, 0.30), 0.40,
        softness=0.25, blood=0.016, melanin=0.012, variegation=0.4, keratin=0.12,
    ),
    Condition(
        "seborrheic keratosis", "benign epidermal", "benign", 0.055, 0.050, (1, 4), (0.07, 0.17), 0.15, 0.08,
        melanin=0.10, variegation=0.30, keratin=0.07, relief=0.7,
    ),
    Condition(
        "pyogenic granuloma", "benign dermal", "benign", 0.050, 0.035, (1, 1), (0.09, 0.17), 0.10, 0.10,
        melanin_factor=0.4, blood=0.12, relief=1.3, flush=0.008, core_keratin=0.05,
    ),
    Condition(
        "nevocytic nevus", "benign melanocyte", "benign", 0.030, 0.020, (1, 3), (0.04, 0.09), 0.06, 0.20,
        melanin=0.12, variegation=0.1, relief=0.5,
    ),
)  # fmt: skip


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
