"""What is measured on each test image, in fp32 (study, section 3): by one model, on skin its colour, by all models."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000
from skimage.metrics import structural_similarity
from torch import Tensor

from evenhand.data.tone import MIN_SKIN, skin_mask, skin_tone, to_lab
from evenhand.models.perceptual import PerceptualLoss
from evenhand.models.vae import VAE, kl_divergence, reparameterize
from evenhand.training.loop import to_unit_range
from evenhand.workflow.progress import track
from evenhand.workflow.seeds import derive_seed

Pixels = NDArray[np.uint8]

PRIOR_BATCH = 64
FULL_BATCH_SIDE = 128  # pixels; of larger images a batch holds fewer, so that it takes no more memory
# Variance of the error of rounding to 256 levels, in [-1, 1]: the least variance an image can be credited with.
ROUNDING_VARIANCE = (2 / 255) ** 2 / 12


def images_at_a_time(batch_size: int, side: int) -> int:
    """How many images of `side` pixels take the memory of `batch_size` images of 128; at most `batch_size`.

    Not what happens to be free: the same settings then give the same bits.
    """
    return max(1, min(batch_size, batch_size * FULL_BATCH_SIDE**2 // side**2))


@torch.no_grad()
def evaluate(
    model: VAE,
    images: Pixels,
    ids: Sequence[str],
    perceptual: PerceptualLoss,
    *,
    samples: int,
    seed: int,
    batch_size: int,
    device: torch.device,
    workers: int,
    skin: bool,
) -> tuple[pd.DataFrame, NDArray[np.float32], Pixels]:
    """Measure the reconstructions of `images` (n, S, S, 3) from their mean latents, and from sampled ones.

    Args:
        ids: names of the images; the noise of an image is seeded by its name, so neither order nor
            batches change a number.
        perceptual: on the device of the model.
        samples: latents sampled per image, at least 2.
        batch_size: images of 128 pixels at a time; fewer of larger ones.
        workers: threads for the measures computed on the processor; no number depends on it.
        skin: whether the images show skin, whose colour is measured.

    Returns:
        A table with one row per image, pixels in [-1, 1] unless said otherwise:
        mse; mse_unit (pixels in [0, 1], a quarter of it); psnr (dB, range 2, at most
        that of rounding to 256 levels, 59); ssim (Wang et al. 2004);
        mse_over_var (MSE over the variance around the image's mean colour: 1 for a constant image of that
        colour); perceptual (distance of VGG19 features); latent_std (mean over latents of exp(logvar / 2));
        kl (nats, summed over latents); mse_sampled (mean MSE of decodings of sampled latents); decoding_var
        (variance of these decodings, mean over pixels); of skin also the columns of `evenhand.evaluation.measures`.
        The latent means, float32 (n, C, H, W). The reconstructions as uint8 (n, S, S, 3).
    """
    parts, means, reconstructions = [], [], []
    batch_size = images_at_a_time(batch_size, images.shape[1])
    starts = range(0, len(images), batch_size)
    for first in track(starts, len(starts), "evaluating", "batches"):
        batch = slice(first, first + batch_size)
        target = to_unit_range(torch.from_numpy(images[batch]).to(device))
        mu, logvar = model.encoder(target)
        reconstruction = model.decoder(mu)
        columns = pixel_measures(target, reconstruction)
        columns["perceptual"] = perceptual.distances(reconstruction, target)
        columns["latent_std"] = torch.exp(0.5 * logvar).mean(dim=(1, 2, 3))
        columns["kl"] = kl_divergence(mu, logvar).sum(dim=(1, 2, 3))
        noise = latent_noise(ids[batch], samples, mu.shape[1:], seed)
        columns |= sampled_measures(model, target, mu, logvar, noise.to(device))
        table = pd.DataFrame({name: values.cpu().double().numpy() for name, values in columns.items()})
        table.insert(3, "ssim", similarities(target, reconstruction, workers))
        parts.append(table)
        means.append(mu.cpu().numpy())
        reconstructions.append(to_pixels(reconstruction))
    pixels = np.concatenate(reconstructions)
    table = pd.concat(parts, ignore_index=True)
    if skin:
        table = table.join(colour_shift(images, pixels, workers))
    return table, np.concatenate(means), pixels


def pixel_measures(target: Tensor, reconstruction: Tensor) -> dict[str, Tensor]:
    """mse, mse_unit, psnr and mse_over_var of a batch (B, 3, S, S) in [-1, 1]; each (B,)."""
    mse = (reconstruction - target).square().mean(dim=(1, 2, 3))
    variance = target.var(dim=(2, 3), correction=0).mean(dim=1)
    return {
        "mse": mse,
        "mse_unit": mse / 4,  # the range [0, 1] is half as wide
        "psnr": 10 * torch.log10(4 / mse.clamp_min(ROUNDING_VARIANCE)),  # finite for an image without error, too
        "mse_over_var": mse / variance.clamp_min(ROUNDING_VARIANCE),
    }


def similarities(target: Tensor, reconstruction: Tensor, workers: int) -> list[float]:
    """SSIM of each image of a batch (B, 3, S, S) in [-1, 1], with the Gaussian window of Wang et al. 2004."""
    settings = {"data_range": 2.0, "channel_axis": 0}
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    ssim = partial(structural_similarity, **settings, **window)
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(ssim, target.cpu().numpy(), reconstruction.cpu().numpy()))


@torch.no_grad()
def sample_prior(
    model: VAE, latent_shape: tuple[int, int, int], side: int, n: int, seed: int, device: torch.device
) -> Pixels:
    """Decodings of `n` latents from the prior N(0, I), uint8 (n, side, side, 3); the same latents for every model."""
    z = torch.randn(n, *latent_shape, generator=torch.Generator().manual_seed(derive_seed(seed, "prior")))
    batches = z.split(images_at_a_time(PRIOR_BATCH, side))
    return np.concatenate([to_pixels(model.decoder(batch.to(device))) for batch in batches])


def latent_noise(ids: Sequence[str], samples: int, shape: Sequence[int], seed: int) -> Tensor:
    """N(0, 1) noise (samples, B, *shape), seeded by the name of each image."""
    noise = []
    for name in ids:
        random = torch.Generator().manual_seed(derive_seed(seed, "decoding", name))
        noise.append(torch.randn(samples, *shape, generator=random))
    return torch.stack(noise, dim=1)


def sampled_measures(model: VAE, target: Tensor, mu: Tensor, logvar: Tensor, noise: Tensor) -> dict[str, Tensor]:
    """mse_sampled and decoding_var of a batch, each (B,), over the leading dimension of `noise`."""
    decodings = torch.stack([model.decoder(reparameterize(mu, logvar, draw)) for draw in noise])
    return {
        "mse_sampled": (decodings - target).square().mean(dim=(0, 2, 3, 4)),
        "decoding_var": decodings.var(dim=0).mean(dim=(1, 2, 3)),
    }


def to_pixels(images: Tensor) -> Pixels:
    """Images (B, 3, S, S) in [-1, 1], rounded to uint8 (B, S, S, 3)."""
    pixels = ((images + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


@torch.no_grad()
def reconstruct(model: VAE, images: Pixels, device: torch.device) -> Pixels:
    """Reconstructions of `images` (n, S, S, 3) from their mean latents, rounded to uint8 of the same shape."""
    target = to_unit_range(torch.from_numpy(images).to(device))
    return to_pixels(model.decoder(model.encoder(target)[0]))


def choose_examples(errors: pd.DataFrame, per_group: int) -> pd.DataFrame:
    """The images that the figures show, chosen by rule: evenly spaced quantiles of error within each group.

    Args:
        errors: one row per training set and test image of one run: id, group, mse.
        per_group: images per group, k, at the quantiles 1/(k+1), 2/(k+1), ...: 3 or 7 have median and quartiles.

    Returns:
        group, quantile, id, mse (mean over the training sets): groups in the order of the errors, best before
        worst. The error is averaged over the training sets, so the choice favours none of them. Ties are broken by
        id.
    """
    means = errors.groupby(["group", "id"], as_index=False)["mse"].mean()
    parts = []
    for group in errors["group"].unique():
        ranked = means[means["group"] == group].sort_values(["mse", "id"], ignore_index=True)
        k = min(per_group, len(ranked))
        quantiles = np.arange(1, k + 1) / (k + 1)
        chosen = ranked.iloc[np.floor(quantiles * len(ranked)).astype(int)]
        parts.append(chosen.assign(quantile=quantiles)[["group", "quantile", "id", "mse"]])
    return pd.concat(parts, ignore_index=True)


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


class RunningVariance:
    """Variance of each image's reconstructions over a changing set of models, in one pass (Welford 1962)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        """`shape` of the images: (n, S, S, 3)."""
        self.count = np.zeros(shape[0], dtype=np.int64)
        self.mean = np.zeros(shape, dtype=np.float64)
        self.squares = np.zeros(shape, dtype=np.float64)

    def add(self, values: NDArray[np.float64], member: NDArray[np.bool_]) -> None:
        """Count one model's reconstructions (n, S, S, 3) of the images where `member` (n,) is true."""
        self.count[member] += 1
        shift = values[member] - self.mean[member]
        self.mean[member] += shift / self.count[member, None, None, None]
        self.squares[member] += shift * (values[member] - self.mean[member])

    def per_image(self) -> NDArray[np.float64]:
        """Unbiased variance over models, averaged over pixels and channels; NaN for images with fewer than two."""
        total = self.squares.mean(axis=(1, 2, 3))
        return np.where(self.count > 1, total / np.maximum(self.count - 1, 1), np.nan)


def ensemble_variance(
    images: pd.DataFrame,
    shape: tuple[int, ...],
    models: Iterable[tuple[NDArray[np.uint8], Sequence[bool]]],
) -> pd.DataFrame:
    """Variance over models of the reconstructions of each image, among models that were not trained on it.

    Args:
        images: id and group of each image.
        shape: (n, S, S, 3) of the images.
        models: for each model its reconstructions, uint8 of `shape`, and which images it has seen in training, (n,).

    Returns:
        id, group, n_models (that were not trained on the image), ensemble_var (pixels in [-1, 1]; NaN for
        fewer than two models).
    """
    variance = RunningVariance(shape)
    for reconstructions, seen in models:
        variance.add(reconstructions.astype(np.float64) / 127.5 - 1, ~np.asarray(seen))
    return images[["id", "group"]].assign(n_models=variance.count, ensemble_var=variance.per_image())
