"""What a configuration says of probes, as typed settings; who reads them does not wait for PyTorch."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class MLPSettings:
    """Architecture, optimiser (AdamW) and stopping rule, the latter as in scikit-learn's MLPClassifier:

    after each epoch the validation score is taken; training ends once it has failed to rise by `tolerance` for more
    than `patience` epochs in a row, and the weights of the best epoch are kept.
    """

    hidden: tuple[int, ...] = (768, 256)
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    batch_size: int = 200
    max_epochs: int = 100
    patience: int = 5
    tolerance: float = 1e-4
    monitor: Literal["log_loss", "accuracy"] = "log_loss"
    precision: Literal["fp32", "bf16"] = "fp32"
    networks_per_batch: int = 0
    """Networks trained together (by each thread), the bound on memory; 0 derives it from their size and the device."""


@dataclass(frozen=True)
class ProtocolSettings:
    """Folds, removed fractions and controls; `fractions` holds 0, the untouched embedding."""

    folds: int = 10
    allow_fewer_folds: bool = False
    fractions: tuple[float, ...] = (0.0, 0.01, 0.05, 0.1, 0.2, 0.5, 0.9)
    random_draws: int = 5
    bottom: bool = True
    shuffled: bool = True
    leace: bool = True
    logistic: bool = True
    rerank: bool = False
    """Also remove step by step, ranking the features left anew before each step."""
    disease_controls: bool = False
    """Also measure the diseases after random and bottom-ranked removal."""
    seed: int = 0
    mlp: MLPSettings = field(default_factory=MLPSettings)

    @property
    def removed_fractions(self) -> tuple[float, ...]:
        """The fractions above 0, ascending."""
        return tuple(sorted(fraction for fraction in self.fractions if fraction > 0))
