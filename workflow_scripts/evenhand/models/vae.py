"""The residual variational autoencoder of the study (paper v2, section 3.4; study facts on the public code).

And its weights on disk: safetensors with the architecture beside them, never a pickle.
"""

import itertools
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand.models.fast import few_channels_convolution, norm_elu_convolution, split_channels
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import write_bytes


@dataclass(frozen=True)
class Architecture:
    """Shape of the network. At 64 latent channels the default has 56,715,139 parameters, 50,439,619 if not deep."""

    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 4, 8)
    latent_channels: int = 64
    deep: bool = True
    norm: str = "batch"

    @classmethod
    def from_config(cls, model: dict[str, Any]) -> "Architecture":
        """The architecture that the `model` block of a configuration describes."""
        return cls(**{**model, "multipliers": tuple(model["multipliers"])})

    def widths(self) -> list[int]:
        """Channels before each encoder stage and after the last, which doubles once more: 64, 128, ..., 1024."""
        stages = [self.width * multiplier for multiplier in self.multipliers]
        return [*stages, 2 * stages[-1]]

    def latent_shape(self, side: int) -> tuple[int, int, int]:
        """(C, s, s) of the latent of images of `side` pixels, a multiple of 2**stages; every stage halves the side."""
        latent_side = side // 2 ** len(self.multipliers)
        return (self.latent_channels, latent_side, latent_side)


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
        return x + h, bias + bias_of(self.conv2)


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
        return skip + h, past + bias_of(self.conv2)


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
        h, bias = few_channels_convolution(x, self.conv_in.weight), bias_of(self.conv_in)
        for block in (*self.stages, self.bottleneck):
            h, bias = block(h, bias)
        h = F.elu(h + bias.to(h.dtype)[:, None, None], inplace=True)
        return self.mu(h), self.logvar(h)


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


class VAE(nn.Module):
    """q(z|x) is a diagonal Gaussian with mean mu and variance exp(logvar); p(x|z) has the decoder's image as mean."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.encoder = Encoder(architecture)
        self.decoder = Decoder(architecture)

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction of `x` from z = mu + std * noise, with mu and logvar; `noise` is N(0, 1), shaped like mu."""
        mu, logvar = self.encoder(x)
        return self.decoder(reparameterize(mu, logvar, noise)), mu, logvar


def reparameterize(mu: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """z = mu + exp(logvar / 2) * noise (Kingma and Welling 2014, section 2.4)."""
    return mu + torch.exp(0.5 * logvar) * noise


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(q(z|x) || N(0, I)) of each latent in nats, elementwise; shaped like mu."""
    return 0.5 * (mu.square() + logvar.exp() - 1.0 - logvar)


def parameter_count(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def save_weights(path: str | Path, model: VAE, architecture: Architecture) -> None:
    """Write the state of `model` and its architecture."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(save(tensors, {"architecture": json.dumps(asdict(architecture))}), path)


def load_weights(path: str | Path) -> tuple[VAE, Architecture]:
    """The trained VAE in `path`, in evaluation mode on the CPU, and its architecture.

    Raises:
        UserError: the file is missing, truncated, or not one that `save_weights` wrote.
    """
    try:
        with safe_open(path, framework="pt") as file:
            architecture = Architecture.from_config(json.loads(file.metadata()["architecture"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        model = VAE(architecture)
        model.load_state_dict(tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{path} does not hold the weights of a trained VAE: {error}. Delete it and run its training again."
        ) from error
    return model.eval(), architecture
