"""The VAE with a learned variance of its likelihood: the optimal sigma-VAE (Rybkin et al. 2021, ICML, section 3.3).

The paper's VAE fixes the variance of a pixel at a number that its weight of the KL divergence stands for. Here it is
the one under which the pixels are likeliest, their mean squared error, so that no weight has to be chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from evenhand.models.vae import VAE, kl_divergence

if TYPE_CHECKING:
    from evenhand.models.architecture import Architecture
    from evenhand.models.perceptual import PerceptualLoss
    from evenhand.training.recipe import Recipe

LEAST = 1e-6  # variance, of pixels in [-1, 1]: that of rounding to 256 levels is 5e-6
MOMENTUM = 0.1  # of the running mean, as of batch normalisation


class SigmaVAE(VAE):
    """The network of the VAE; one variance for all pixels, in evaluation the running mean of those of the batches."""

    TITLE = "variational autoencoder with learned variance [rybkin2021]"
    LOSS = (
        "twice the negative evidence lower bound over the number of values, that is the sum of the logarithm of the "
        "mean squared error (the optimal variance), {kl_scale:g} times the KL divergence (weighed as in the bound)"
    )
    TERMS = ("loss", "mse", "kl", "perceptual")
    GIVES = ("latents", "posterior", "bound", "samples", "prior", "last layer", "weights")
    GRAPH = False

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        self.register_buffer("variance", torch.ones(()))

    def training_terms(
        self, target: Tensor, noise: Tensor, perceptual: PerceptualLoss | None, recipe: Recipe
    ) -> Tensor:
        """The scalars of `TERMS`; `mse` and `kl` are means, as of the VAE, so that the two can be compared."""
        reconstruction, mu, logvar = (part.float() for part in self(target, noise))
        mse = F.mse_loss(reconstruction, target)
        kl = kl_divergence(mu, logvar).mean()
        features = mse.new_zeros(()) if perceptual is None else perceptual(reconstruction, target).float()
        latents_per_value = mu.numel() / target.numel()
        likelihood = mse.clamp_min(LEAST).log()
        total = likelihood + 2 * recipe.kl_scale * latents_per_value * kl + recipe.feature_scale * features
        self.get_buffer("variance").lerp_(mse.detach(), MOMENTUM)
        return torch.stack([total, mse, kl, features])

    def bound(self, target: Tensor, image: Tensor, divergence: Tensor) -> Tensor:
        """Of each image, (B,), under the learned variance."""
        variance = self.get_buffer("variance").clamp_min(LEAST)
        errors = (image - target).square().mean(dim=(1, 2, 3)) / variance + variance.log()
        return target[0].numel() / 2 * errors + divergence.sum(dim=(1, 2, 3))
