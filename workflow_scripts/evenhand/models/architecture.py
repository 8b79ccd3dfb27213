"""The shape of a network, as the configuration has it; who reads it does not wait for PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Architecture:
    """Shape of the network. At 64 latent channels the default has 56,715,139 parameters, 50,439,619 if not deep."""

    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 4, 8)
    latent_channels: int = 64
    deep: bool = True
    norm: str = "batch"

    @classmethod
    def from_config(cls, model: Mapping[str, Any]) -> Architecture:
        """The architecture that the `model` block of a configuration describes."""
        return cls(**{of.name: model[of.name] for of in fields(cls)} | {"multipliers": tuple(model["multipliers"])})

    def widths(self) -> list[int]:
        """Channels before each encoder stage and after the last, which doubles once more: 64, 128, ..., 1024."""
        stages = [self.width * multiplier for multiplier in self.multipliers]
        return [*stages, 2 * stages[-1]]

    def latent_shape(self, side: int) -> tuple[int, int, int]:
        """(C, s, s) of the latent of images of `side` pixels, a multiple of 2**stages; every stage halves the side."""
        latent_side = side // 2 ** len(self.multipliers)
        return (self.latent_channels, latent_side, latent_side)
