"""The residual variational autoencoder of the study (paper v2, section 3.4; study facts on the public code)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand.models.architecture import Architecture
from evenhand.models.family import Family, Reconstruction
from evenhand.models.fast import few_channels_convolution, norm_elu_convolution, split_channels

if TYPE_CHECKING:
    from evenhand.models.perceptual import PerceptualLoss
    from evenhand.training.recipe import Recipe


def make_norm(kind: str, channels: int) -> nn.Module:
    """`batch` or `group` normalisation of `channels` channels."""
    if kind == "batch":
        return nn.BatchNorm2d(channels, eps=1e-4)
    if kind == "group":
        return nn.GroupNorm(8, channels, eps=1e-4)
    raise ValueError(f"norm must be 'batch' or 'group', not {kind!r}")


def bias_of(convolution: nn.Conv2d) -> Tensor:
    """Of the output channels, (C,); every convolution of the network has one."""
    assert convolution.bias is not None
    return convolution.bias


class ResidualBlock(nn.Module):
    """Constant width and side: x + conv(elu(norm(conv(elu(norm(x)))))), through half the width."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.norm1 = make_norm(norm, channels)
        self.conv1 = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.norm2 = make_norm(norm, channels // 2)
        self.conv2 = nn.Conv2d(channels // 2, channels, 3, padding=1)

    def forward(self, x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The output for the input `x + bias`, likewise without its bias (C,)."""
        h = norm_elu_convolution(x, bias, self.norm1, self.conv1.weight)
        h = norm_elu_convolution(h, bias_of(self.conv1), self.norm2, self.conv2.weight)
        return h.add_(x), bias + bias_of(self.conv2)


class ResizingBlock(nn.Module):
    """Halves or doubles the side. One convolution yields both the skip path and the half-width path."""

    def __init__(self, channels_in: int, channels_out: int, norm: str, up: bool) -> None:
        super().__init__()
        self.up = up
        half = (channels_in if up else channels_out) // 2
        self.split = [half, channels_out]
        self.norm1 = make_norm(norm, channels_in)
        self.conv1 = nn.Conv2d(channels_in, half + channels_out, 3, stride=1 if up else 2, padding=1)
        self.norm2 = make_norm(norm, half)
        self.conv2 = nn.Conv2d(half, channels_out, 3, padding=1)

    def forward(self, x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The output for the input `x + bias`, likewise without its bias (C,)."""
        stride = 1 if self.up else 2
        h = norm_elu_convolution(x, bias, self.norm1, self.conv1.weight, stride=stride, upsample=self.up)
        h, skip = split_channels(h, self.split)
        within, past = bias_of(self.conv1).split(self.split)
        h = norm_elu_convolution(h, within, self.norm2, self.conv2.weight)
        return h.add_(skip), past + bias_of(self.conv2)


class Encoder(nn.Module):
    """Images (B, 3, S, S) in [-1, 1] to mu and log-variance, each (B, C, s, s) with s = S / 2**stages."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        norm, widths = architecture.norm, architecture.widths()
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        stages: list[nn.Module] = []
        for narrow, wide in itertools.pairwise(widths):
            if architecture.deep:
                stages.append(ResidualBlock(narrow, norm))
            stages.append(ResizingBlock(narrow, wide, norm, up=False))
        self.stages = nn.Sequential(*stages)
        self.bottleneck = ResidualBlock(widths[-1], norm)
        self.mu = nn.Conv2d(widths[-1], architecture.latent_channels, 1)
        self.logvar = nn.Conv2d(widths[-1], architecture.latent_channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.features(x)
        return self.mu(h), self.logvar(h)

    def features(self, x: Tensor) -> Tensor:
        """What the last layers, two convolutions, take, (B, W, s, s)."""
        h, bias = few_channels_convolution(x, self.conv_in.weight), bias_of(self.conv_in)
        for block in (*self.stages, self.bottleneck):
            h, bias = block(h, bias)
        return F.elu(h + bias.to(h.dtype)[:, None, None], inplace=True)


class Decoder(nn.Module):
    """Latents (B, C, s, s) to images (B, 3, S, S) in [-1, 1] with S = s * 2**stages; mirrors the encoder."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        norm, widths = architecture.norm, architecture.widths()[::-1]
        self.conv_in = nn.Conv2d(architecture.latent_channels, widths[0], 1)
        self.bottleneck = ResidualBlock(widths[0], norm)
        stages: list[nn.Module] = []
        for wide, narrow in itertools.pairwise(widths):
            stages.append(ResizingBlock(wide, narrow, norm, up=True))
            if architecture.deep:
                stages.append(ResidualBlock(narrow, norm))
        self.stages = nn.Sequential(*stages)
        self.conv_out = nn.Conv2d(widths[-1], 3, 5, padding=2)

    def forward(self, z: Tensor) -> Tensor:
        return self.image(self.features(z))

    def features(self, z: Tensor) -> Tensor:
        """What the last layer, a convolution and a tanh, makes images of, (B, W, S, S)."""
        h, bias = F.conv2d(z, self.conv_in.weight), bias_of(self.conv_in)
        for block in (self.bottleneck, *self.stages):
            h, bias = block(h, bias)
        return F.elu(h + bias.to(h.dtype)[:, None, None], inplace=True)

    def image(self, features: Tensor) -> Tensor:
        """What the last layer makes of `features`."""
        return torch.tanh(self.conv_out(features))


class VAE(Family):
    """q(z|x) is a diagonal Gaussian with mean mu and variance exp(logvar); p(x|z) has the decoder's image as mean."""

    TITLE = "variational autoencoder [kingma2014]"
    LOSS = "the sum of the mean squared error, {kl_scale:g} times the KL divergence (mean over latents)"
    TERMS = ("loss", "mse", "kl", "perceptual")
    GIVES = ("latents", "posterior", "bound", "samples", "prior", "last layer", "weights")
    GRAPH = True

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        self.encoder = Encoder(architecture)
        self.decoder = Decoder(architecture)

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction of `x` from z = mu + std * noise, with mu and logvar; `noise` is N(0, 1), shaped like mu."""
        mu, logvar = self.encoder(x)
        return self.decoder(reparameterize(mu, logvar, noise)), mu, logvar

    def noise_shape(self, side: int) -> tuple[int, ...]:
        """That of the latent."""
        return self.architecture.latent_shape(side)

    def training_terms(
        self, target: Tensor, noise: Tensor, perceptual: PerceptualLoss | None, recipe: Recipe
    ) -> Tensor:
        """`loss_terms` of the reconstruction from sampled latents."""
        reconstruction, mu, logvar = self(target, noise)
        # The likelihood and the KL are sums over many small numbers: fp32 at any precision of the network.
        return loss_terms(reconstruction.float(), target, mu.float(), logvar.float(), perceptual, recipe)

    def reconstruct(self, target: Tensor) -> Reconstruction:
        """From the mean latents."""
        mu, logvar = self.encoder(target)
        features = self.decoder.features(mu)
        image = self.decoder.image(features)
        divergence = kl_divergence(mu, logvar)
        return Reconstruction(
            image,
            latents=mu,
            posterior=(mu, logvar, divergence),
            bound=self.bound(target, image, divergence),
            last_layer=(self.decoder.conv_out, features),
        )

    def bound(self, target: Tensor, image: Tensor, divergence: Tensor) -> Tensor:
        """Of each image, (B,); mean squared error and KL weigh as in a training with loss.kl_scale 1."""
        latents = divergence[0].numel()
        return latents * (image - target).square().mean(dim=(1, 2, 3)) + divergence.sum(dim=(1, 2, 3))

    def encode(self, target: Tensor) -> Tensor:
        """The mean latents."""
        mu: Tensor = self.encoder(target)[0]
        return mu

    def sample(self, found: Reconstruction, target: Tensor, noise: Tensor) -> Tensor:
        """The decoding of a latent of the posterior."""
        assert found.posterior is not None
        mu, logvar, _ = found.posterior
        image: Tensor = self.decoder(reparameterize(mu, logvar, noise))
        return image

    def generate(self, noise: Tensor) -> Tensor:
        """The decoding of a latent of the prior."""
        image: Tensor = self.decoder(noise)
        return image


def reparameterize(mu: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """z = mu + exp(logvar / 2) * noise (Kingma and Welling 2014, section 2.4)."""
    return mu + torch.exp(0.5 * logvar) * noise


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(q(z|x) || N(0, I)) of each latent in nats, elementwise; shaped like mu."""
    return 0.5 * (mu.square() + logvar.exp() - 1.0 - logvar)


def loss_terms(
    reconstruction: Tensor,
    target: Tensor,
    mu: Tensor,
    logvar: Tensor,
    perceptual: PerceptualLoss | None,
    recipe: Recipe,
) -> Tensor:
    """The four scalars of `VAE.TERMS`: total, MSE, KL and perceptual loss, each a mean.

    The total is mse + kl_scale * kl + feature_scale * perceptual. MSE is the mean over batch, pixels and
    channels, KL the mean over batch and latents; that is, up to scale, the negative ELBO of a Gaussian likelihood of
    unit variance with weight kl_scale * values / (2 * latents) on the KL (6 at 128 px), plus the perceptual loss.
    """
    mse = F.mse_loss(reconstruction, target)
    kl = kl_divergence(mu, logvar).mean()
    features = mse.new_zeros(()) if perceptual is None else perceptual(reconstruction, target).float()
    total = mse + recipe.kl_scale * kl + recipe.feature_scale * features
    return torch.stack([total, mse, kl, features])
