"""What is measured on each test image (study, section 3), in fp32 with the mean latent."""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairgen.model import VAE, kl_divergence
from fairgen.training import to_unit_range


@torch.no_grad()
def evaluate(
    model: VAE, images: NDArray[np.uint8], batch_size: int, device: torch.device
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Measure the reconstructions of `images` (n, S, S, 3).

    Returns:
        A table with one row per image: mse (pixels in [-1, 1]), mse_unit (pixels in [0, 1], a quarter of
        it), latent_std (mean over latents of exp(logvar / 2)), kl (nats, summed over latents); and the
        latent means pooled over space, float32 (n, C).
    """
    columns: dict[str, list[Tensor]] = {"mse": [], "latent_std": [], "kl": []}
    pooled = []
    for first in range(0, len(images), batch_size):
        target = to_unit_range(torch.from_numpy(images[first : first + batch_size]).to(device))
        mu, logvar = model.encoder(target)
        reconstruction = model.decoder(mu)
        columns["mse"].append((reconstruction - target).square().mean(dim=(1, 2, 3)))
        columns["latent_std"].append(torch.exp(0.5 * logvar).mean(dim=(1, 2, 3)))
        columns["kl"].append(kl_divergence(mu, logvar).sum(dim=(1, 2, 3)))
        pooled.append(mu.mean(dim=(2, 3)))
    table = pd.DataFrame({name: torch.cat(parts).cpu().double().numpy() for name, parts in columns.items()})
    # A quarter: the range [0, 1] is half as wide as [-1, 1].
    table.insert(1, "mse_unit", table["mse"] / 4)
    return table, torch.cat(pooled).cpu().numpy()


@torch.no_grad()
def reconstruct(model: VAE, images: NDArray[np.uint8], device: torch.device) -> NDArray[np.uint8]:
    """Reconstructions of `images` (n, S, S, 3) from their mean latents, rounded to uint8 of the same shape."""
    target = to_unit_range(torch.from_numpy(images).to(device))
    reconstruction = model.decoder(model.encoder(target)[0])
    pixels = ((reconstruction + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def choose_examples(errors: pd.DataFrame, per_group: int) -> pd.DataFrame:
    """The images that the figures show, chosen by rule: evenly spaced quantiles of error within each group.

    Args:
        errors: one row per training set and test image of one run: md5hash, group, mse.
        per_group: images per group, at the quantiles 1/(2k), 3/(2k), ... of k.

    Returns:
        group, quantile, md5hash, mse (mean over the training sets), light before dark, best before worst. The
        error is averaged over the training sets, so the choice favours none of them. Ties are broken by hash.
    """
    means = errors.groupby(["group", "md5hash"], as_index=False)["mse"].mean()
    parts = []
    for group in ("light", "dark"):
        ranked = means[means["group"] == group].sort_values(["mse", "md5hash"], ignore_index=True)
        k = min(per_group, len(ranked))
        quantiles = (np.arange(k) + 0.5) / k
        chosen = ranked.iloc[np.floor(quantiles * len(ranked)).astype(int)]
        parts.append(chosen.assign(quantile=quantiles)[["group", "quantile", "md5hash", "mse"]])
    return pd.concat(parts, ignore_index=True)
