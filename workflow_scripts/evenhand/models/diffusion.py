"""A denoising diffusion model of the pixels (Ho et al. 2020, NeurIPS), for pictures of 32 to 64 pixels.

Time t goes from 0, a picture, to 1, noise: z = cos(pi t / 2) x + sin(pi t / 2) noise, the cosine schedule of Nichol and
Dhariwal (2021, ICML). The sine is called the level of the noise; x are the pixels times `SCALE`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand.models.architecture import Architecture
from evenhand.models.family import Family, Reconstruction
from evenhand.models.fast import few_channels_convolution
from evenhand.models.vae import ResidualBlock, ResizingBlock, bias_of
from evenhand.workflow.seeds import derive_seed

if TYPE_CHECKING:
    from evenhand.models.perceptual import PerceptualLoss
    from evenhand.training.recipe import Recipe

# Photographs, of a standard deviation of about 0.5 (Karras et al. 2022, table 1), then vary as the noise does. Phantoms
# of 32 px with noise of 0.58 were denoised to an error of 0.020 after 104 steps, at a scale of 1 to one of 0.037.
SCALE = 2.0
FREQUENCIES = 8  # of the time, 1/4 to 32 waves from 0 to 1
# Of the bound: logarithms of the signal-to-noise ratio, from noise of 0.009 (pixels in [-1, 1]) to hardly any picture.
LOG_RATIOS = (8.0, 6.0, 4.0, 2.0, 0.0, -2.0, -4.0, -6.0, -8.0)


class UNet(nn.Module):
    """z (B, 3, S, S) of times (B,) to its velocity, by the blocks of the VAE.

    The time is added to what a stage takes; beside each map of the decoder stands the encoder's of the same side
    (Ronneberger et al. 2015).
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        norm, widths = architecture.norm, architecture.widths()
        beside = [*(2 * width for width in widths[:-1]), widths[-1]]

        def blocks(channels: list[int]) -> nn.ModuleList:
            return nn.ModuleList(ResidualBlock(width, norm) for width in channels[:-1] if architecture.deep)

        self.time = nn.Linear(2 * FREQUENCIES, widths[-1])
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.before = blocks(widths)
        self.down = nn.ModuleList(ResizingBlock(*pair, norm, up=False) for pair in itertools.pairwise(widths))
        self.bottleneck = ResidualBlock(widths[-1], norm)
        self.up = nn.ModuleList(
            ResizingBlock(wide, narrow, norm, up=True) for narrow, wide in zip(widths, beside[1:], strict=False)
        )
        self.after = blocks(beside)
        self.conv_out = nn.Conv2d(beside[0], 3, 3, padding=1)
        self.at_encoder = nn.ModuleList(nn.Linear(widths[-1], width) for width in widths)
        self.at_decoder = nn.ModuleList(nn.Linear(widths[-1], width) for width in beside[:-1])

    def forward(self, z: Tensor, time: Tensor) -> Tensor:
        waves = math.pi / 2 * 2.0 ** torch.arange(FREQUENCIES, device=time.device) * time[:, None]
        known = F.elu(self.time(torch.cat([waves.sin(), waves.cos()], dim=1)))

        def timed(h: Tensor, layer: nn.Module) -> Tensor:
            return h + layer(known).to(h.dtype)[:, :, None, None]

        h, bias = few_channels_convolution(z, self.conv_in.weight), bias_of(self.conv_in)
        skips = []
        for place, down in enumerate(self.down):
            h = timed(h, self.at_encoder[place])
            if self.before:
                h, bias = self.before[place](h, bias)
            skips.append((h, bias))
            h, bias = down(h, bias)
        h, bias = self.bottleneck(timed(h, self.at_encoder[-1]), bias)
        for place, (skip, of_skip) in reversed(list(enumerate(skips))):
            h, bias = self.up[place](h, bias)
            h, bias = timed(torch.cat([h, skip], dim=1), self.at_decoder[place]), torch.cat([bias, of_skip])
            if self.after:
                h, bias = self.after[place](h, bias)
        found: Tensor = self.conv_out(F.elu(h + bias.to(h.dtype)[:, None, None]))
        return found


class Diffusion(Family):
    """Learns the velocity cos(pi t / 2) noise - sin(pi t / 2) x of a noised picture (Salimans and Ho 2022, ICLR).

    A picture is reconstructed by adding noise of `level`, the same to every picture, and taking it away in `steps`
    steps without chance (DDIM, Song et al. 2021, ICLR); a picture is generated from noise alone in steps as long.
    """

    TITLE = "denoising diffusion model [ho2020]"
    LOSS = (
        "the mean squared error of the velocity [salimans2022] of pictures noised at evenly drawn times of the cosine "
        "schedule [nichol2021]"
    )
    TERMS = ("loss", "mse")
    GIVES = ("bound", "samples", "prior")

    def __init__(self, architecture: Architecture, level: float = 0.7, steps: int = 4) -> None:
        super().__init__(architecture, level=level, steps=steps)
        self.begin, self.steps = 2 / math.pi * math.asin(level), steps
        self.network = UNet(architecture)

    def noise_shape(self, side: int) -> tuple[int, ...]:
        """The noise of a picture in a row, then the number whose place in the normal distribution is its time."""
        return (3 * side * side + 1,)

    def training_terms(
        self, target: Tensor, noise: Tensor, perceptual: PerceptualLoss | None, recipe: Recipe
    ) -> Tensor:
        """The scalars of `TERMS`; `mse` is that of the denoised pictures, all times alike."""
        x, of_pictures, time = SCALE * target, _pictures(noise), torch.special.ndtr(noise[:, -1])
        signal, level = (part[:, None, None, None] for part in schedule(time))
        found = self.network(signal * x + level * of_pictures, time).float()
        errors = (found - (signal * of_pictures - level * x)).square()
        # x is signal * z - level * velocity.
        return torch.stack([errors.mean(), (level.square() * errors).mean() / SCALE**2])

    def reconstruct(self, target: Tensor) -> Reconstruction:
        """From noise of `level`, the same for every picture."""
        # On the processor, so that every device has the same; the first logarithm of the bound needs none.
        random = torch.Generator().manual_seed(derive_seed(0, "diffusion"))
        noise = torch.randn(len(LOG_RATIOS), *target.shape[1:], generator=random).to(target)
        bound = negative_bound(self.denoised, SCALE * target, noise[1:], torch.tensor(LOG_RATIOS))
        return Reconstruction(self.noised_and_denoised(target, noise[:1]), bound=bound)

    def sample(self, found: Reconstruction, target: Tensor, noise: Tensor) -> Tensor:
        """From noise of `level` that is given."""
        return self.noised_and_denoised(target, _pictures(noise))

    def generate(self, noise: Tensor) -> Tensor:
        """From noise alone."""
        return self.without_noise(_pictures(noise), 1.0, math.ceil(self.steps / self.begin))

    def noised_and_denoised(self, target: Tensor, noise: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) made of noised ones; `noise` has their shape or (1, 3, S, S)."""
        signal, level = schedule(torch.tensor(self.begin))
        return self.without_noise(signal * SCALE * target + level * noise, self.begin, self.steps)

    def without_noise(self, z: Tensor, begin: float, steps: int) -> Tensor:
        """The pictures that z (B, 3, S, S) of time `begin` become at time 0 (Song et al. 2021, eq. 12 with sigma 0)."""
        times = torch.linspace(begin, 0, steps + 1)
        for now, then in itertools.pairwise(times):
            x = self.denoised(z, now)
            (signal, level), (next_signal, next_level) = schedule(now), schedule(then)
            z = next_signal * x + next_level / level * (z - signal * x)
        return x / SCALE

    def denoised(self, z: Tensor, time: Tensor) -> Tensor:
        """The x of each z (B, 3, S, S), all of one time ()."""
        signal, level = schedule(time)
        velocity = self.network(z, time.to(z).expand(len(z))).float()
        return (signal * z - level * velocity).clamp(-SCALE, SCALE)


def schedule(time: Tensor) -> tuple[Tensor, Tensor]:
    """What x and the noise are multiplied with; their squares add up to 1."""
    return torch.cos(math.pi / 2 * time), torch.sin(math.pi / 2 * time)


def negative_bound(
    denoised: Callable[[Tensor, Tensor], Tensor], target: Tensor, noise: Tensor, log_ratios: Tensor
) -> Tensor:
    """The negative evidence lower bound of each x, in nats but for a constant, (B,).

    That of the diffusion that has these levels alone (Kingma et al. 2021, NeurIPS, section 4): for each level the
    squared error of the denoised x, by half of what the level before has more of the signal-to-noise ratio, and the
    divergence of the last from noise. Left out is the likelihood of an x that has the noise of the first level,
    (1 + log(2 pi) - first logarithm) / 2 for each value. The expectation over noise is taken from one draw.

    Args:
        denoised: gives the x of z (B, 3, S, S) at a time ().
        target: x, (B, 3, S, S).
        noise: (levels - 1, 3, S, S), or with a further axis of B before these.
        log_ratios: logarithms of the signal-to-noise ratio, falling, (levels,); at the first nothing is denoised.
    """
    ratios = log_ratios.exp()
    times = 2 / math.pi * torch.atan(ratios.rsqrt())
    found = torch.zeros(len(target), device=target.device)
    for time, drawn, weight in zip(times[1:], noise, ratios[:-1] - ratios[1:], strict=True):
        signal, level = schedule(time)
        errors = denoised(signal * target + level * drawn, time) - target
        found = found + weight / 2 * errors.square().sum(dim=(1, 2, 3))
    divergence = signal**2 * target.square() + level**2 - 1 - 2 * level.log()
    return found + divergence.sum(dim=(1, 2, 3)) / 2


def _pictures(noise: Tensor) -> Tensor:
    """The noise of pictures (B, 3, S, S) in what `Diffusion.noise_shape` describes."""
    side = math.isqrt((noise.shape[1] - 1) // 3)
    return noise[:, :-1].unflatten(1, (3, side, side))
