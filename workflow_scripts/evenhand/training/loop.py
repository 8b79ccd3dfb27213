"""Trains one model (paper v2, section 3.4).

The training set sits on the device as uint8; indexing, flipping and scaling happen there, so there is no data
loader. All randomness of an epoch is drawn from a seed of its own, so training can stop after any epoch and
continue with the same bits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evenhand.models.family import Architecture, Family
from evenhand.models.fast import Adam, Steps
from evenhand.models.perceptual import PerceptualLoss
from evenhand.workflow.errors import UserError
from evenhand.workflow.seeds import derive_seed, generator


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


def model_seed(study_seed: int, train_set: str, run: int, *, paired: bool, start: int = 0) -> int:
    """The seed of a model's weights, batches, flips and noise.

    `paired`: the same for all training sets of a run; `start`: of several on one training set, from 0.
    """
    purpose: list[str | int] = ["train", run] if paired else ["train", train_set, run]
    return derive_seed(study_seed, *purpose, *(("start", start) if start else ()))


@dataclass(frozen=True)
class EpochDraws:
    """The randomness of one epoch: order (n,), flips (n,) and the noise of each image (n, ...), in order of use."""

    order: Tensor
    flips: Tensor
    noise: Tensor


def draw_epoch(seed: int, epoch: int, n: int, noise_shape: tuple[int, ...], flip: float) -> EpochDraws:
    """The draws of `epoch`, made on the CPU so that every device trains on the same ones."""
    numbers = generator(seed, "epoch", epoch)
    noise = torch.Generator().manual_seed(derive_seed(seed, "noise", epoch))
    return EpochDraws(
        order=torch.from_numpy(np.argsort(numbers.random(n), kind="stable")),
        flips=torch.from_numpy(numbers.random(n) < flip),
        noise=torch.randn(n, *noise_shape, generator=noise),
    )


def to_unit_range(images: Tensor) -> Tensor:
    """uint8 images (B, S, S, 3) to float (B, 3, S, S) in [-1, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Images (B, 3, S, S) in [-1, 1], rounded to uint8 (B, S, S, 3)."""
    pixels = ((images + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def train_step(
    model: Family,
    optimizer: Adam,
    perceptual: PerceptualLoss | None,
    target: Tensor,
    noise: Tensor,
    recipe: Recipe,
    precision: str,
) -> Tensor:
    """One optimiser step on a batch; returns the detached terms of the loss on the device, without waiting for it."""
    model.zero_grad(set_to_none=True)  # here, since the step needs most memory before its backward pass
    with torch.autocast(target.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        terms = model.training_terms(target, noise, perceptual, recipe)
    terms[0].backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
    optimizer.step()
    return terms.detach()


def train(
    model: Family,
    optimizer: Adam,
    perceptual: PerceptualLoss | None,
    images: Tensor,
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
        history: one row per finished epoch (epoch from 1, then the `TERMS` of the family as means over images);
            extended in place.
        after_epoch: called with the history after every epoch, to save a checkpoint.
        progress: called with the number of images after every step.

    Raises:
        UserError: the loss became NaN or infinite; names epoch, step and terms.
    """
    n, noise_shape = len(images), model.noise_shape(images.shape[1])
    model.train()

    def step(target: Tensor, noise: Tensor) -> Tensor:
        return train_step(model, optimizer, perceptual, target, noise, recipe, precision)

    steps = Steps(step, model.GRAPH)
    draws = draw_epoch(seed, len(history), n, noise_shape, recipe.flip)
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
            draws = draw_epoch(seed, epoch + 1, n, noise_shape, recipe.flip)  # while a GPU still works
        terms = torch.stack(collected).cpu().double()  # the only wait for the device in an epoch
        check_finite(terms, model.TERMS, epoch)
        weights = torch.tensor(sizes, dtype=torch.float64) / n
        means = dict(zip(model.TERMS, (weights @ terms).tolist(), strict=True))
        history.append({"epoch": epoch + 1, **means})
        after_epoch(history)


def check_finite(terms: Tensor, names: Sequence[str], epoch: int) -> None:
    """Raise a `UserError` at the first step of an epoch (from 0) whose terms (steps, names) are not finite."""
    broken = ~torch.isfinite(terms).all(dim=1)
    if broken.any():
        step = int(broken.nonzero()[0])
        values = ", ".join(f"{name} {value:.4g}" for name, value in zip(names, terms[step].tolist(), strict=True))
        raise UserError(
            f"the loss is no longer finite in epoch {epoch + 1}, step {step + 1}: {values}. The last checkpoint is "
            "kept."
        )
