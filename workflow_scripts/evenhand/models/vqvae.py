"""The vector-quantised autoencoder: a latent is one of a few codes (van den Oord et al. 2017, NeurIPS, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand.models.architecture import Architecture
from evenhand.models.family import Family, Reconstruction
from evenhand.models.vae import Decoder, Encoder

if TYPE_CHECKING:
    from evenhand.models.perceptual import PerceptualLoss
    from evenhand.training.recipe import Recipe

# A code is dead where a batch takes it less often than this part of an even share, in a running mean. All are at first.
DEAD = 0.03
MOMENTUM = 0.1  # of the running mean, as of batch normalisation


class VQVAE(Family):
    """Encoder and decoder of the VAE; between them each latent vector becomes the nearest vector of a codebook.

    A dead code becomes a latent vector of the batch (Dhariwal et al. 2020, arXiv:2005.00341, section 3.1): nothing else
    would move it. How far an image's latents are from their codes is its uncertainty.
    """

    TITLE = "vector-quantised autoencoder [oord2017]"
    LOSS = (
        "the sum of the mean squared error, the mean squared distance of codes to latents and, weighed by the option "
        "commitment, of latents to codes"
    )
    TERMS = ("loss", "mse", "distance", "perceptual")
    GIVES = ("latents", "codes", "last layer")

    def __init__(self, architecture: Architecture, codes: int = 512, commitment: float = 0.25) -> None:
        super().__init__(architecture, codes=codes, commitment=commitment)
        self.commitment = commitment
        self.encoder = Encoder(architecture)
        del self.encoder.logvar  # a code has no variance
        self.decoder = Decoder(architecture)
        self.codebook = nn.Parameter(torch.randn(codes, architecture.latent_channels))
        self.register_buffer("usage", torch.zeros(codes))

    def noise_shape(self, side: int) -> tuple[int, ...]:
        """A number for each latent vector, which decides in what order they replace dead codes."""
        return self.architecture.latent_shape(side)[1:]

    def training_terms(
        self, target: Tensor, noise: Tensor, perceptual: PerceptualLoss | None, recipe: Recipe
    ) -> Tensor:
        """The scalars of `TERMS`; `distance` is the mean squared one between latents and codes."""
        latents = self.latents(target).float()
        vectors = latents.permute(0, 2, 3, 1).flatten(0, 2)
        self.revive(vectors.detach(), noise.flatten())
        places = self.nearest(vectors.detach())
        self.count(places)
        codes = self.at(places, latents)
        # The gradient of the decoder's input goes to the latents as it is: the nearest code has none.
        image = self.decoder(latents + (codes - latents).detach()).float()
        mse = F.mse_loss(image, target)
        of_codes, of_latents = F.mse_loss(codes, latents.detach()), F.mse_loss(latents, codes.detach())
        features = mse.new_zeros(()) if perceptual is None else perceptual(image, target).float()
        total = mse + of_codes + self.commitment * of_latents + recipe.feature_scale * features
        return torch.stack([total, mse, of_latents, features])

    def reconstruct(self, target: Tensor) -> Reconstruction:
        """From the codes."""
        latents = self.latents(target)
        codes = self.quantised(latents)
        features = self.decoder.features(codes)
        return Reconstruction(
            self.decoder.image(features),
            latents=codes,
            code_distance=(latents - codes).square().mean(dim=(1, 2, 3)),
            last_layer=(self.decoder.conv_out, features),
        )

    def encode(self, target: Tensor) -> Tensor:
        """The codes."""
        return self.quantised(self.latents(target))

    def latents(self, target: Tensor) -> Tensor:
        """Before they become codes, (B, C, s, s)."""
        found: Tensor = self.encoder.mu(self.encoder.features(target))
        return found

    def quantised(self, latents: Tensor) -> Tensor:
        """The codes of latents (B, C, s, s), shaped like these."""
        return self.at(self.nearest(latents.permute(0, 2, 3, 1).flatten(0, 2)), latents)

    def nearest(self, vectors: Tensor) -> Tensor:
        """The place in the codebook of the nearest code of each vector (n, C), (n,)."""
        codes = self.codebook.detach()
        # Their own squares are the same for all codes.
        return (codes.square().sum(dim=1) - 2 * vectors @ codes.T).argmin(dim=1)

    def at(self, places: Tensor, latents: Tensor) -> Tensor:
        """The codes at `places` (B * s * s,), shaped like `latents`."""
        batch, _, rows, columns = latents.shape
        return F.embedding(places, self.codebook).view(batch, rows, columns, -1).permute(0, 3, 1, 2)

    @torch.no_grad()
    def revive(self, vectors: Tensor, order: Tensor) -> None:
        """Replace dead codes by `vectors` (n, C), those with the lowest numbers in `order` (n,) first."""
        usage = self.get_buffer("usage")
        share = len(vectors) / len(usage)
        dead = usage < DEAD * share
        chosen = order.argsort(stable=True)[torch.arange(len(usage), device=order.device) % len(vectors)]
        self.codebook.copy_(torch.where(dead[:, None], vectors[chosen], self.codebook))
        usage.copy_(torch.where(dead, share, usage))

    @torch.no_grad()
    def count(self, places: Tensor) -> None:
        """Count the use of the codes at `places` (n,)."""
        usage = self.get_buffer("usage")
        usage.lerp_(F.one_hot(places, len(usage)).sum(dim=0).float(), MOMENTUM)
