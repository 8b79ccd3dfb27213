"""Trains one VAE (paper v2, section 3.4; loss as in section 3.2 and the study's notes on the public code).

The training set sits on the device as uint8; indexing, flipping and scaling happen there, so there is no data
loader. All randomness of an epoch is drawn from a seed of its own, so training can stop after any epoch and
continue with the same bits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evenhand.models.fast import Adam, Steps
from evenhand.models.perceptual import PerceptualLoss
from evenhand.models.vae import VAE, Architecture, kl_divergence
from evenhand.workflow.errors import UserError
from evenhand.workflow.seeds import derive_seed, generator

LOSS_TERMS = ("loss", "mse", "kl", "perceptual")


@dataclass(frozen=True)
class Recipe:
    """The optimisation: loss weights, Adam and batches. `flip` is a probability, `clip_norm` a gradient norm."""

    epochs: int
    batch_size: int
    learning_rate: float
    clip_norm: float
    flip: float
    kl_scale: float
    feature_scale: float

    @classmethod
    def from_config(cls, train: dict[str, Any], loss: dict[str, Any]) -> "Recipe":
        """The recipe that the `train` and `loss` blocks of a configuration describe."""
        return cls(
            **{key: train[key] for key in ("epochs", "batch_size", "learning_rate", "clip_norm", "flip")},
            **{key: loss[key] for key in ("kl_scale", "feature_scale")},
        )


def require_variance(architecture: Architecture, recipe: Recipe, side: int, n: int) -> None:
    """Raise a `UserError` where batch normalisation meets one value of a channel: a batch of one image at one pixel.

    Args:
        architecture: of the network.
        recipe: its batch size.
        side: of the images, in pixels.
        n: images of the training set.
    """
    pixels = architecture.latent_shape(side)[1]
    last = n % recipe.batch_size or min(n, recipe.batch_size)
    if architecture.norm == "batch" and pixels == 1 and last == 1:
        raise UserError(
            f"train.batch_size, model.norm: the last batch of {n:,} images, {recipe.batch_size} at a time, has one "
            f"image, and {len(architecture.multipliers)} stages leave one pixel of {side} a side; batch normalisation "
            "expects at least two values of a channel and would find one."
        )


def model_seed(study_seed: int, train_set: str, run: int, *, paired: bool) -> int:
    """The seed of a model's start, batches, flips and noise; `paired`: the same for all training sets of a run."""
    return derive_seed(study_seed, "train", *([] if paired else [train_set]), run)


@dataclass(frozen=True)
class EpochDraws:
    """The randomness of one epoch: order (n,), flips (n,) and latent noise (n, C, s, s), in order of use."""

    order: Tensor
    flips: Tensor
    noise: Tensor


def draw_epoch(seed: int, epoch: int, n: int, latent_shape: tuple[int, int, int], flip: float) -> EpochDraws:
    """The draws of `epoch`, made on the CPU so that every device trains on the same ones."""
    numbers = generator(seed, "epoch", epoch)
    noise = torch.Generator().manual_seed(derive_seed(seed, "noise", epoch))
    return EpochDraws(
        order=torch.from_numpy(np.argsort(numbers.random(n), kind="stable")),
        flips=torch.from_numpy(numbers.random(n) < flip),
        noise=torch.randn(n, *latent_shape, generator=noise),
    )


def to_unit_range(images: Tensor) -> Tensor:
    """uint8 images (B, S, S, 3) to float (B, 3, S, S) in [-1, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def loss_terms(
    reconstruction: Tensor,
    target: Tensor,
    mu: Tensor,
    logvar: Tensor,
    perceptual: PerceptualLoss | None,
    recipe: Recipe,
) -> Tensor:
    """The four scalars of `LOSS_TERMS`: total, MSE, KL and perceptual loss, each a mean.

    The total is mse + kl_scale * kl + feature_scale * perceptual. MSE is the mean over batch, pixels and
    channels, KL the mean over batch and latents; that is, up to scale, the negative ELBO of a Gaussian likelihood of
    unit variance with weight kl_scale * values / (2 * latents) on the KL (6 at 128 px), plus the perceptual loss.
    """
    mse = torch.nn.functional.mse_loss(reconstruction, target)
    kl = kl_divergence(mu, logvar).mean()
    features = mse.new_zeros(()) if perceptual is None else perceptual(reconstruction, target).float()
    total = mse + recipe.kl_scale * kl + recipe.feature_scale * features
    return torch.stack([total, mse, kl, features])


def train_step(
    model: VAE,
    optimizer: Adam,
    perceptual: PerceptualLoss | None,
    target: Tensor,
    noise: Tensor,
    recipe: Recipe,
    precision: str,
) -> Tensor:
    """One optimiser step on a batch; returns the detached `LOSS_TERMS` on the device, without waiting for it."""
    model.zero_grad(set_to_none=True)  # here, since the step needs most memory before its backward pass
    with torch.autocast(target.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        reconstruction, mu, logvar = model(target, noise)
        # The likelihood and the KL are sums over many small numbers: fp32 at any precision of the network.
        terms = loss_terms(reconstruction.float(), target, mu.float(), logvar.float(), perceptual, recipe)
    terms[0].backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
    optimizer.step()
    return terms.detach()


def train(
    model: VAE,
    optimizer: Adam,
    perceptual: PerceptualLoss | None,
    images: Tensor,
    latent_shape: tuple[int, int, int],
    recipe: Recipe,
    seed: int,
    precision: str,
    history: list[dict[str, float]],
    after_epoch: Callable[[list[dict[str, float]]], None],
    progress: Callable[[int], object],
) -> None:
    """Train `model` in place from epoch `len(history)` to `recipe.epochs`.

    Args:
        images: the training set, uint8 (n, S, S, 3), on the device of the model.
        latent_shape: (C, s, s) of the model's latent for these images.
        history: one row per finished epoch (epoch from 1, then the `LOSS_TERMS` as means over images);
            extended in place.
        after_epoch: called with the history after every epoch, to save a checkpoint.
        progress: called with the number of images after every step.

    Raises:
        UserError: the loss became NaN or infinite; names epoch, step and terms.
    """
    n = len(images)
    model.train()

    def step(target: Tensor, noise: Tensor) -> Tensor:
        return train_step(model, optimizer, perceptual, target, noise, recipe, precision)

    steps = Steps(step)
    draws = draw_epoch(seed, len(history), n, latent_shape, recipe.flip)
    for epoch in range(len(history), recipe.epochs):
        order, flips, noise = (draw.to(images.device) for draw in (draws.order, draws.flips, draws.noise))
        collected, sizes = [], []
        for first in range(0, n, recipe.batch_size):
            chosen = order[first : first + recipe.batch_size]
            target = to_unit_range(images[chosen])
            target = torch.where(flips[first : first + len(chosen), None, None, None], target.flip(3), target)
            collected.append(steps(target, noise[first : first + len(chosen)]))
            sizes.append(len(chosen))
            progress(len(chosen))
        if epoch + 1 < recipe.epochs:
            draws = draw_epoch(seed, epoch + 1, n, latent_shape, recipe.flip)  # while a GPU still works
        terms = torch.stack(collected).cpu().double()  # the only wait for the device in an epoch
        check_finite(terms, epoch)
        weights = torch.tensor(sizes, dtype=torch.float64) / n
        means = dict(zip(LOSS_TERMS, (weights @ terms).tolist(), strict=True))
        history.append({"epoch": epoch + 1, **means})
        after_epoch(history)


def check_finite(terms: Tensor, epoch: int) -> None:
    """Raise a `UserError` at the first step of an epoch (from 0) whose `LOSS_TERMS` (steps, 4) are not finite."""
    broken = ~torch.isfinite(terms).all(dim=1)
    if broken.any():
        step = int(broken.nonzero()[0])
        values = ", ".join(f"{name} {value:.4g}" for name, value in zip(LOSS_TERMS, terms[step].tolist(), strict=True))
        raise UserError(
            f"the loss is no longer finite in epoch {epoch + 1}, step {step + 1}: {values}. The last checkpoint is "
            "kept."
        )
