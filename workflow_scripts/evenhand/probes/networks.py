"""One probe network: what it sees, what it answers, and how several are stacked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]
Loss = Literal["sigmoid", "softmax"]
# Rows put through a network at a time: bounds the memory of validation and prediction.
PREDICTED_ROWS = 4096


@dataclass(frozen=True)
class Network:
    """One network to train: which rows and labels it sees, and how its inputs are made from the matrix.

    The input is `(x - center) * scale`, then, if `erase` is given, `x - (x @ erase[0]) @ erase[1]`, then its
    columns `kept`, in that order.
    """

    train: Rows
    valid: Rows
    labels: int
    center: Floats
    scale: Floats
    kept: Rows
    seed: int
    erase: tuple[Floats, Floats] | None = None


@dataclass(frozen=True)
class Labels:
    """Labels of all rows: shape (n, outputs); one-hot for `softmax`, 0, 1 or NaN (not known) for `sigmoid`."""

    values: Floats
    loss: Loss


@dataclass
class Fitted:
    """A trained network on the CPU: `weights[i]` (inputs, outputs), `biases[i]` (outputs,), and its epochs."""

    weights: list[Tensor]
    biases: list[Tensor]
    epochs: int
    best_epoch: int
    best_score: float


def forward(weights: Sequence[Tensor], biases: Sequence[Tensor], x: Tensor) -> Tensor:
    """Logits (networks, batch, outputs) of stacked networks: weights (networks, in, out), biases (networks, 1, out)."""
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        x = torch.relu(torch.baddbmm(bias, x, weight))
    return torch.baddbmm(biases[-1], x, weights[-1]).float()


def network_inputs(matrix: Tensor, network: Network, rows: Rows, dtype: torch.dtype = torch.float32) -> Tensor:
    """What one network sees of `rows`: (rows, kept), made in blocks so that no second copy of them arises."""
    device = matrix.device
    center, scale, kept = (torch.from_numpy(part).to(device) for part in (network.center, network.scale, network.kept))
    erase = [torch.from_numpy(part).to(device) for part in network.erase or ()]
    made = torch.empty(len(rows), len(kept), dtype=dtype, device=device)
    for start in range(0, len(rows), PREDICTED_ROWS):
        block = slice(start, start + PREDICTED_ROWS)
        x = matrix.index_select(0, torch.from_numpy(rows[block]).to(device)).sub_(center).mul_(scale)
        if erase:
            x -= x @ erase[0] @ erase[1]
        made[block] = x.index_select(1, kept)
    return made


def network_logits(fitted: Fitted, x: Tensor) -> Tensor:
    """Logits (rows, outputs) of one trained network for inputs (rows, d); differentiable in x."""
    weights = [weight[None].to(x.device) for weight in fitted.weights]
    biases = [bias[None, None].to(x.device) for bias in fitted.biases]
    return forward(weights, biases, x[None])[0]


@torch.no_grad()
def predict(matrix: Tensor, network: Network, fitted: Fitted, rows: Rows) -> Floats:
    """Logits (rows, outputs) of one trained network."""
    parts = [
        network_logits(fitted, network_inputs(matrix, network, rows[start : start + PREDICTED_ROWS]))
        for start in range(0, len(rows), PREDICTED_ROWS)
    ]
    answer: Floats = torch.cat(parts).cpu().numpy()
    return answer
