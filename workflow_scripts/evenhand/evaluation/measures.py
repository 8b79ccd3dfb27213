"""What is measured on each test image, in fp32 (study, section 3), and what is told of it.

`MEASURES` is the only place that knows a measure: `evaluate` computes what stands there; the tables of means, gaps and
uncertainty, the data dictionary, the figures and the claims take names, order and words from there. They import this
without PyTorch, whose tensors come from the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evenhand.evaluation.measure import Measure, Skin
from evenhand.evaluation.scores import SCORES

if TYPE_CHECKING:
    from torch import Tensor

# Variance of the error of rounding to 256 levels, in [-1, 1]: the least variance an image can be credited with.
ROUNDING_VARIANCE = (2 / 255) ** 2 / 12
SSIM_RADIUS = 5  # pixels of the window, at a standard deviation of 1.5


def mse(target: Tensor, reconstruction: Tensor) -> Tensor:
    """Of each image, (B,)."""
    return (reconstruction - target).square().mean(dim=(1, 2, 3))


def psnr(target: Tensor, reconstruction: Tensor) -> Tensor:
    """Finite for an image without error, too; (B,)."""
    return 10 * (4 / mse(target, reconstruction).clamp_min(ROUNDING_VARIANCE)).log10()


def ssim(target: Tensor, reconstruction: Tensor) -> Tensor:
    """Of each image, (B,), with the Gaussian window of Wang et al. 2004: mean over all places where it fits."""
    window = np.exp(-0.5 * (np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1) / 1.5) ** 2)
    rows, columns = (_sliding(window / window.sum(), size) for size in target.shape[2:])
    down, across = target.new_tensor(rows), target.new_tensor(columns).T

    def local(x: Tensor) -> Tensor:
        return down @ x @ across  # a product of matrices passes over the images once, a sum of slices eleven times

    a, b = local(target), local(reconstruction)
    variances = local(target.square()) - a.square() + local(reconstruction.square()) - b.square()
    covariance = local(target * reconstruction) - a * b
    c1, c2 = (0.01 * 2.0) ** 2, (0.03 * 2.0) ** 2  # of the range of the pixels, 2
    similarity = (2 * a * b + c1) * (2 * covariance + c2) / ((a.square() + b.square() + c1) * (variances + c2))
    return similarity.mean(dim=(1, 2, 3))


def _sliding(window: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """The matrix that takes means of `size` numbers under `window` at all places where it fits."""
    places = size - len(window) + 1
    matrix = np.zeros((places, size))
    for place in range(places):
        matrix[place, place : place + len(window)] = window
    return matrix


def mse_over_var(target: Tensor, reconstruction: Tensor) -> Tensor:
    """An image of one colour counts as rounded to 256 levels, not as infinitely hard; (B,)."""
    variance = target.var(dim=(2, 3), correction=0).mean(dim=1)
    return mse(target, reconstruction) / variance.clamp_min(ROUNDING_VARIANCE)


def latent_std(mu: Tensor, logvar: Tensor, divergence: Tensor) -> Tensor:
    """Of each image, (B,)."""
    return (0.5 * logvar).exp().mean(dim=(1, 2, 3))


def kl(mu: Tensor, logvar: Tensor, divergence: Tensor) -> Tensor:
    """Of each image, (B,)."""
    return divergence.sum(dim=(1, 2, 3))


def mse_sampled(target: Tensor, decodings: Tensor) -> Tensor:
    """Of each image, (B,)."""
    return (decodings - target).square().mean(dim=(0, 2, 3, 4))


def decoding_var(target: Tensor, decodings: Tensor) -> Tensor:
    """Unbiased, of each image, (B,)."""
    mean = decodings.mean(dim=0)  # not `var(dim=0)`, which takes five times as long on a processor
    return sum((draw - mean).square().mean(dim=(1, 2, 3)) for draw in decodings) / (len(decodings) - 1)


def shift(skin: Skin) -> NDArray[np.float64]:
    """Mean over the skin of reconstruction minus image in L*, a* and b*, (3,); NaN without skin."""
    if not len(skin.before):
        return np.full(3, np.nan)
    difference: NDArray[np.float64] = (skin.after - skin.before).mean(axis=0, dtype=np.float64)
    return difference


def ciede2000(skin: Skin) -> float:
    """Mean over the skin (Sharma et al. 2005); NaN without skin."""
    from skimage.color import deltaE_ciede2000  # noqa: PLC0415 (who reads the entries does not wait for it)

    return float(deltaE_ciede2000(skin.before, skin.after).mean(dtype=np.float64)) if len(skin.before) else np.nan


# In the order of the tables; that of the test images has first what needs images alone, then the rest as in `Need`.
MEASURES: dict[str, Measure] = {
    "mse": Measure(
        mse,
        "images",
        title="reconstruction error",
        label="mean squared error (pixels in [−1, 1])",  # noqa: RUF001
        about="Mean squared error, pixels in [-1, 1].",
        short="MSE",
        better="lower",
        best=0.0,
        principal=True,
    ),
    "mse_unit": Measure(
        lambda target, reconstruction: mse(target, reconstruction) / 4,  # the range [0, 1] is half as wide
        "images",
        title="mean squared error",
        label="mean squared error (pixels in [0, 1])",
        about="Mean squared error, pixels in [0, 1]; a quarter of mse.",
        better="lower",
        gap=False,  # the tests would be those of mse
    ),
    "latent_std": Measure(
        latent_std,
        "posterior",
        title="latent standard deviation",
        label="mean standard deviation of the latents",
        about="Posterior standard deviation, exp(logvar / 2), mean over latents.",
        principal=True,
        uncertainty=True,
    ),
    "kl": Measure(
        kl,
        "posterior",
        title="KL divergence",
        label="KL divergence to the prior, nats",
        about="KL divergence to the prior in nats, summed over latents.",
        uncertainty=True,
    ),
    "psnr": Measure(
        psnr,
        "images",
        title="peak signal-to-noise ratio",
        label="peak signal-to-noise ratio, dB",
        about="Peak signal-to-noise ratio in dB, at most that of rounding to 256 levels, 59.",
        better="higher",
    ),
    "ssim": Measure(
        ssim,
        "images",
        title="structural similarity",
        label="structural similarity (1: equal)",
        about="Structural similarity (Wang et al. 2004), 1 for equal images.",
        better="higher",
        best=1.0,
    ),
    "mse_over_var": Measure(
        mse_over_var,
        "images",
        title="error relative to a constant image",
        label="mean squared error over the variance of the image",
        about="MSE over the variance of the image around its mean colour: 1 for a constant image of that colour.",
        better="lower",
        best=0.0,
    ),
    "perceptual": Measure(
        lambda distances: distances,
        "features",
        title="perceptual distance",
        label="distance of VGG19 features",
        about="Distance of VGG19 features: mean squared difference, mean over its 16 convolutions.",
        better="lower",
        best=0.0,
    ),
    "lpips": Measure(
        lambda distances: distances,
        "lpips",
        title="LPIPS",
        label="LPIPS (0: equal)",
        about="Learned perceptual image patch similarity (Zhang et al. 2018) by the file that evaluate.lpips names.",
        better="lower",
        best=0.0,
    ),
    "mse_sampled": Measure(
        mse_sampled,
        "samples",
        title="error of sampled decodings",
        label="mean squared error of sampled decodings",
        about="Mean squared error of the decodings of sampled latents, mean over these.",
        better="lower",
        summarised=False,
    ),
    "decoding_var": Measure(
        decoding_var,
        "samples",
        title="variance of sampled decodings",
        label="variance of sampled decodings",
        about="Variance of the decodings of sampled latents, mean over pixels.",
        summarised=False,
        uncertainty=True,
    ),
    **SCORES,
    "skin_share": Measure(
        lambda skin: skin.share,
        "skin",
        title="share of skin",
        label="share of skin pixels",
        about="Share of the image's pixels that have the chroma of skin.",
        each=True,
        summarised=False,
    ),
    "ita_in": Measure(
        lambda skin: skin.ita_in,
        "skin",
        title="ITA of the input",
        label="ITA of the input, degrees",
        about="Individual typology angle of the image's skin, degrees.",
        each=True,
        summarised=False,
    ),
    "ita_out": Measure(
        lambda skin: skin.ita_out,
        "skin",
        title="ITA of the reconstruction",
        label="ITA of the reconstruction, degrees",
        about="Individual typology angle of the same pixels of the reconstruction, degrees.",
        each=True,
        summarised=False,
    ),
    "dl": Measure(
        lambda skin: shift(skin)[0],
        "skin",
        title="change of lightness",
        label="lightness L*\n(below 0: darker)",
        about="Change of lightness L*, CIELAB units.",
        each=True,
    ),
    "da": Measure(
        lambda skin: shift(skin)[1],
        "skin",
        title="change of a*",
        label="a*\n(above 0: redder)",
        about="Change of a* (towards red).",
        each=True,
    ),
    "db": Measure(
        lambda skin: shift(skin)[2],
        "skin",
        title="change of b*",
        label="b*\n(above 0: yellower)",
        about="Change of b* (towards yellow).",
        each=True,
    ),
    "ciede2000": Measure(
        ciede2000,
        "skin",
        title="colour difference CIEDE2000",
        label="difference CIEDE2000\n(0: same colour)",
        about="Mean colour difference CIEDE2000.",
        each=True,
        better="lower",
        best=0.0,
    ),
    "bits": Measure(
        lambda bits: bits,
        "bits",
        title="bits per pixel",
        label="bits of the file per pixel",
        about="Bits of the file that a codec makes, headers included, per pixel of the whole picture.",
        better="lower",
    ),
}
# What might have warned, by where it comes from: an evaluation, those of other training sets, the models of all runs,
# the weights of the first run's.
SCORES_OF = {
    kind: tuple(name for name, measure in MEASURES.items() if measure.uncertainty and measure.needs in needs)
    for kind, needs in (
        ("evaluation", ("posterior", "codes", "samples", "typicality", "training", "again", "last layer")),
        ("sets", ("sets",)),
        ("models", ("models", "bounds of models")),
        ("weights", ("weights",)),
    )
}
CONTROLS = tuple(name for name, measure in MEASURES.items() if measure.control)
# What the ruler measures and a gap in equivalents is given of: not what says what another says, or a logarithm.
RULED = {name: measure.best for name, measure in MEASURES.items() if measure.best is not None}
PRINCIPAL = tuple(name for name, measure in MEASURES.items() if measure.principal)
