"""Scores that might have warned, and the controls that they have to beat (study, section 11): entries of `MEASURES`.

More of them, which the loss of the model needs as well, are in `evenhand.evaluation.measures`.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evenhand.evaluation.measure import Measure

if TYPE_CHECKING:
    from torch import Tensor

    from evenhand.evaluation.laplace import LastLayer

LUMA = np.array([0.2126, 0.7152, 0.0722])  # Rec. 709


@dataclass(frozen=True)
class Training:
    """What a model makes of images that it was trained on.

    bound: mean negative evidence lower bound, nats; mean, precision: of their latents, pooled over space, (C,) and
    (C, C); last_layer: posterior of the decoder's. None: the model's family does not give it.
    """

    bound: float | None = None
    mean: Tensor | None = None
    precision: Tensor | None = None
    last_layer: LastLayer | None = None

    def distance(self, latents: Tensor) -> Tensor:
        """Mahalanobis distance of latents (B, C, s, s), pooled over space, (B,) (Lee et al. 2018)."""
        assert self.mean is not None
        assert self.precision is not None
        away = latents.mean(dim=(2, 3)).double().cpu() - self.mean
        return ((away @ self.precision) * away).sum(dim=1).sqrt()


def complexity(pixels: NDArray[np.uint8]) -> float:
    """Bytes of the image as PNG, a lossless code."""
    from PIL import Image  # noqa: PLC0415 (who reads the entries does not wait for it)

    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "PNG")
        return float(file.tell())


def luminance(pixels: NDArray[np.uint8]) -> float:
    """Mean luma of Rec. 709, from sRGB values, 0 to 1."""
    return float(pixels.mean(axis=(0, 1)) @ LUMA / 255)


def reencoding(mu: Tensor, again: Tensor) -> Tensor:
    """Of each image, (B,)."""
    return (again - mu).square().mean(dim=(1, 2, 3))


# In the order of the tables, see `MEASURES`.
SCORES = {
    "complexity": Measure(
        complexity,
        "pixels",
        title="complexity of the image",
        label="bytes of the image as PNG",
        about="Bytes of the image in a lossless code (PNG): a control, which knows no model.",
        each=True,
        summarised=False,
        control=True,
    ),
    "luma": Measure(
        luminance,
        "pixels",
        title="luminance of the image",
        label="mean luma",
        about="Mean luma of the image, 0 to 1: a control, which knows no model.",
        each=True,
        summarised=False,
        control=True,
    ),
    "bound": Measure(
        lambda bounds: bounds,
        "bound",
        title="negative evidence lower bound",
        label="negative evidence lower bound, nats",
        about="Negative evidence lower bound in nats, but for a constant: of the VAE under a Gaussian likelihood of "
        "the variance for which a training with loss.kl_scale 1 minimises it, of a diffusion over its levels of noise.",
        summarised=False,
    ),
    "typicality": Measure(
        lambda bounds, training: (bounds - training.bound).abs(),
        "typicality",
        title="distance from the typical set",
        label="distance of the evidence lower bound from that of training images, nats",
        about="Distance of bound from its mean over training images (Nalisnick et al. 2019, of one image).",
        summarised=False,
        uncertainty=True,
        of_error=True,
    ),
    "latent_distance": Measure(
        lambda latents, training: training.distance(latents),
        "training",
        title="distance to the training latents",
        label="Mahalanobis distance to the latents of training images",
        about="Mahalanobis distance of the latent means, pooled over space, to those of training images.",
        summarised=False,
        uncertainty=True,
    ),
    "code_distance": Measure(
        lambda distance: distance,
        "codes",
        title="distance to the codes",
        label="mean squared distance of the latents to their codes",
        about="Mean squared distance of the latents to their codes, of vector-quantised models.",
        summarised=False,
        uncertainty=True,
    ),
    "reencoding": Measure(
        reencoding,
        "again",
        title="error of re-encoding",
        label="mean squared change of the latent means",
        about="Mean squared difference between the latent means of the image and those of its reconstruction.",
        summarised=False,
        uncertainty=True,
    ),
    "laplace_var": Measure(
        lambda convolution, features, reconstruction, training: training.last_layer.variance(
            convolution, features, reconstruction
        ),
        "last layer",
        title="Laplace variance of the last layer",
        label="variance of pixels from the decoder's last layer",
        about="Variance of pixels, in [-1, 1], by the Laplace approximation of the decoder's last layer; mean over "
        "sampled pixels.",
        summarised=False,
        uncertainty=True,
    ),
    "likelihood_ratio": Measure(
        lambda own, others: own - others,
        "sets",
        title="likelihood ratio between training sets",
        label="log likelihood ratio, nats",
        about="bound under the model less its mean under the other training sets of the run (after Ren et al. 2019).",
        summarised=False,
        uncertainty=True,
        of_error=True,
    ),
    "ensemble_var": Measure(
        lambda variance: variance,
        "models",
        title="variance across models of other runs",
        label="variance of the reconstructions across models",
        about="Variance of the reconstructions across the models of other runs, mean over pixels, of the first run.",
        summarised=False,
        uncertainty=True,
    ),
    "waic": Measure(
        lambda bound, variance: bound + variance,
        "bounds of models",
        title="WAIC across models of other runs",
        label="WAIC of the evidence lower bounds, nats",
        about="Mean of bound across the models of other runs plus its variance (Choi et al. 2018), of the first run.",
        summarised=False,
        uncertainty=True,
        of_error=True,
    ),
    "slug": Measure(
        lambda variance: variance,
        "weights",
        title="SLUG, sketched Lanczos uncertainty",
        label="variance of pixels from all weights",
        about="Variance of pixels, in [-1, 1], by a Laplace approximation of all weights of the model of the first run "
        "(Lopez-Perez et al. 2025), on its test images, where it is asked for.",
        summarised=False,
        uncertainty=True,
    ),
}
