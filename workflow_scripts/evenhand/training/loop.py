"""Trains one model (paper v2, section 3.4).

The training set sits on the device as uint8; indexing, flipping and scaling happen there, so there is no data
loader. All randomness of an epoch is drawn from a seed of its own, so training can stop after any epoch and
continue with the same bits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evenhand.models.family import Family
from evenhand.models.fast import Adam, Steps, images_at_a_time
from evenhand.models.perceptual import KnownTargets, PerceptualLoss, values_per_image
from evenhand.training.recipe import Recipe
from evenhand.workflow.errors import UserError
from evenhand.workflow.seeds import derive_seed, generator


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


def targets_at(images: Tensor, places: Tensor) -> Tensor:
    """`to_unit_range` of the images (n, S, S, 3) at `places` (B,), which from n on are those of their mirror images."""
    target = to_unit_range(images[places % len(images)])
    return torch.where((places >= len(images))[:, None, None, None], target.flip(3), target)


def known_targets(
    perceptual: PerceptualLoss | None, images: Tensor, recipe: Recipe, epochs: int, memory: int
) -> KnownTargets | None:
    """The features of `images` (n, S, S, 3) and, where they are flipped, of their mirror images, for `epochs`; None
    where that does not pay.

    It does in more epochs than two, in which each would be taken about once, and where they need at most `memory` bytes
    of the device; that is printed. They are taken as many at a time as in a step, so that they have the same bits.
    """
    n = len(images) * (2 if recipe.flip else 1)
    side, batch = images.shape[1], recipe.batch_size
    size = images_at_a_time(images.device, side, batch)
    if perceptual is None or not memory or epochs <= 2 or len(images) < batch or batch % size:
        return None
    dtype = next(perceptual.buffers()).dtype
    needed = n * values_per_image(side) * dtype.itemsize
    chosen = "kept" if needed <= memory else "taken anew in each step"
    print(f"features of the targets: {chosen}, they need {needed / 2**30:.1f} GiB of {memory / 2**30:.1f}", flush=True)
    if needed > memory:
        return None
    places = torch.arange(n, device=images.device)
    starts = (min(first, n - size) for first in range(0, n, size))
    batches = ((first, targets_at(images, places[first : first + size])) for first in starts)
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        return KnownTargets(perceptual, n, batches)


def steps_of(
    model: Family,
    optimizer: Adam,
    perceptual: PerceptualLoss | None,
    known: KnownTargets | None,
    recipe: Recipe,
    precision: str,
) -> Steps:
    """`train_step` of a target, its noise and its places (as in `targets_at`), whose features may be `known`."""

    def step(target: Tensor, noise: Tensor, places: Tensor) -> Tensor:
        if perceptual is not None:
            # A smaller batch, the last of an epoch, could find other bits than were kept.
            perceptual.known = (target, known, places) if known and len(target) == recipe.batch_size else None
        return train_step(model, optimizer, perceptual, target, noise, recipe, precision)

    return Steps(step, model.GRAPH)


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
    memory: int = 0,
) -> None:
    """Train `model` in place from epoch `len(history)` to `recipe.epochs`.

    Args:
        images: the training set, uint8 (n, S, S, 3), on the device of the model.
        history: one row per finished epoch (epoch from 1, then the `TERMS` of the family as means over images);
            extended in place.
        after_epoch: called with the history after every epoch, to save a checkpoint.
        progress: called with the number of images after every step.
        memory: bytes of the device that may be used to save time; no number changes with it.

    Raises:
        UserError: the loss became NaN or infinite; names epoch, step and terms.
    """
    n, noise_shape = len(images), model.noise_shape(images.shape[1])
    model.train()
    known = known_targets(perceptual, images, recipe, recipe.epochs - len(history), memory)
    steps = steps_of(model, optimizer, perceptual, known, recipe, precision)
    draws = draw_epoch(seed, len(history), n, noise_shape, recipe.flip)
    for epoch in range(len(history), recipe.epochs):
        # The place of an image among all, of which the second half is mirrored.
        places, noise = (draw.to(images.device) for draw in (draws.order + n * draws.flips, draws.noise))
        collected, sizes = [], []
        for chosen, drawn in zip(places.split(recipe.batch_size), noise.split(recipe.batch_size), strict=True):
            collected.append(steps(targets_at(images, chosen), drawn, chosen))
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
