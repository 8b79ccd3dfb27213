"""Enlarging: a picture is reduced by a factor, and a model makes the whole one of it; bicubic as the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

from evenhand.models.architecture import Architecture
from evenhand.models.family import Frozen, Reconstruction
from evenhand.workflow.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


class Upscale(Frozen):
    """Bicubic enlargement. A class of a user's own derives from this and has an `enlarge` of its own."""

    TITLE = "bicubic enlargement of reduced pictures"
    GIVES = ()
    TRAINED = False

    def __init__(self, architecture: Architecture, factor: int = 4, **options: object) -> None:
        super().__init__(architecture, factor=factor, **options)

    def enlarge(self, small: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1], S = `factor` times s, of reduced ones (B, 3, s, s)."""
        # Antialiasing changes nothing here but the kernel, to that of Keys (1981) which keeps slopes, as Pillow's does.
        return F.interpolate(small, scale_factor=self.options["factor"], mode="bicubic", antialias=True)

    def reconstruct(self, target: Tensor) -> Reconstruction:
        """What is made of the reduced pictures, which are means over `factor` x `factor` pixels, without rounding.

        Raises:
            UserError: the side of the pictures is no multiple of the factor.
        """
        factor = self.options["factor"]
        if target.shape[-1] % factor:
            raise UserError(
                f"model.options.factor: expected a divisor of {target.shape[-1]}, the side of the images; found "
                f"{factor}"
            )
        return Reconstruction(self.enlarge(F.avg_pool2d(target, factor)).clamp(-1, 1))
