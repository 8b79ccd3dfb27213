"""What a measure is: an entry of the registry in `evenhand.evaluation.measures`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Need = Literal[
    "pixels",
    "images",
    "features",
    "lpips",
    "posterior",
    "codes",
    "bits",
    "bound",
    "samples",
    "again",
    "typicality",
    "training",
    "last layer",
    "sets",
    "models",
    "bounds of models",
    "weights",
    "skin",
]


class Skin(NamedTuple):
    """The skin of one image, and the same pixels of its reconstruction, both rounded to uint8.

    share: of the image's pixels; ita_in, ita_out: individual typology angle, degrees, from medians over the skin;
    before, after: CIELAB of its k pixels, (k, 3). Where less than `MIN_SKIN` of the pixels are skin, the angles are NaN
    and k is 0.
    """

    share: float
    ita_in: float
    ita_out: float
    before: NDArray[np.float32]
    after: NDArray[np.float32]


@dataclass(frozen=True)
class Measure:
    """A number for each test image.

    Attributes:
        of: computes it from what it needs.
        needs: what `of` takes; a model family that does not give it has no such measure. images: target and
            reconstruction, (B, 3, S, S) in [-1, 1]. features: the distance of their VGG19 features, (B,). lpips:
            that by the user's weights. posterior:
            mu, logvar and the KL divergence of each latent to the prior, (B, C, s, s). samples: target, and n
            reconstructions by chance, (n, B, 3, S, S). pixels: the image as it is, uint8 (S, S, 3). codes: distance of
            the latents to them, (B,). bits: of the file per pixel, (B,). bound: the model's own, (B,). again: latents
            of the image and of its reconstruction. typicality: the bound and what the model makes of its training
            images, `scores.Training`; training: latents and the same. last layer: the decoder's last convolution, what
            it takes, the reconstruction and a `Training`. sets: the `bound` under this model and its mean under those
            of the other training sets of the run, made with the tables. models: of the models of all runs, the variance
            of the reconstructions; bounds of models: mean and variance of the `bound`; both made by `measure_ensemble`.
            weights: the variance that those of the first run's model leave, made there, too. skin: a `Skin`; the number
            is NaN where there is none. A study without skin has no measure that needs it.
        title: in words.
        label: of an axis, with the unit.
        about: what it is, its unit and range, for the data dictionary.
        each: `of` takes one image, its tensors as arrays, and gives one number; otherwise a batch, and it gives (B,).
        better: which values are the better ones; None where that cannot be said. Lower ones are better only of what
            cannot be negative.
        best: of a reconstruction without error, where the distance from it is a cost whose ratios mean something (of
            PSNR, a logarithm, they do not); the ruler measures these. None: not measured, or by another entry.
        summarised: its means over the images of a model are a column of `runs` and rows of `headline`, and its gap
            between the groups is tested in `gaps`; if it needs skin, the means are in `colour_runs` and `colour`.
        gap: whether `gaps` has it.
        principal: whether it is followed through the subsets and the sweep, and drawn with the gaps.
        uncertainty: whether it is a model's own uncertainty, higher meaning less certain, held against the error.
        of_error: whether the error is in it, so that it says nothing of its own about the error.
        control: whether it knows the image and no model: what a score of uncertainty has to beat.
        short: what sentences call it; empty: `title`.
    """

    of: Callable[..., Any]
    needs: Need
    title: str
    label: str
    about: str
    each: bool = False
    better: Literal["lower", "higher"] | None = None
    best: float | None = None
    summarised: bool = True
    gap: bool = True
    principal: bool = False
    uncertainty: bool = False
    of_error: bool = False
    control: bool = False
    short: str = ""

    @property
    def table(self) -> str | None:
        """The table that has its means over the images of a model as a column; None: there is none."""
        return None if not self.summarised else "colour_runs" if self.needs == "skin" else "runs"

    @property
    def description(self) -> str:
        """What the data dictionary says of that column."""
        return f"{self.about} {self.better.capitalize()} is better." if self.better else self.about
