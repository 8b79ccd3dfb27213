"""The conditions of the synthetic skin phantom: their names, how common they are, what they do to the skin.

Names and the two coarser levels are Fitzpatrick17k's (Groh et al., CVPR Workshops 2021). How a condition looks is a
caricature of its textbook description, enough to tell it from the others; it carries no clinical information.
Shares differ between light and dark skin as they do in Fitzpatrick17k: little at three and nine classes,
much more condition by condition.
"""

from dataclasses import dataclass
from typing import Final


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
        "lichen planus", *_INFLAMMATORY, 0.07, 0.16, (7, 14), (0.035, 0.075), 0.20, 0.25,
        melanin=0.03, blood=0.03, desaturation=0.45, keratin=0.04, relief=0.5,
    ),
    Condition(
        "acne vulgaris", *_INFLAMMATORY, 0.15, 0.06, (8, 16), (0.025, 0.05), 0.10, 0.35,
        blood=0.04, relief=0.6, flush=0.015, core_keratin=0.35,
    ),
    Condition(
        "allergic contact dermatitis", *_INFLAMMATORY, 0.16, 0.08, (1, 2), (0.28, 0.42), 0.45, 0.60,
        blood=0.04, variegation=0.45, keratin=0.05, relief=0.1, flush=0.006,
    ),
    Condition(
        "vitiligo", *_INFLAMMATORY, 0.03, 0.13, (2, 4), (0.12, 0.26), 0.45, 0.08,
        melanin_factor=0.25, variegation=0.05,
    ),
    Condition(
        "granuloma annulare", *_INFLAMMATORY, 0.08, 0.09, (1, 2), (0.20, 0.32), 0.15, 0.30, ring=True,
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
