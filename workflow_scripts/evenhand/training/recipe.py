"""How a model is trained, as the configuration has it; who reads it does not wait for PyTorch."""

from dataclasses import dataclass
from typing import Any

from evenhand.models.architecture import Architecture
from evenhand.workflow.errors import UserError


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
