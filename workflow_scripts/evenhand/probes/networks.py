"""One probe network: what it sees, what it answers, and how several are stacked in one table of weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evenhand.probes.targets import Rows

Floats = NDArray[np.float32]
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


def parameter_count(inputs: int, hidden: Sequence[int], outputs: int) -> int:
    """Weights and biases of one network."""
    sizes = [inputs, *hidden, outputs]
    return sum((a + 1) * b for a, b in pairwise(sizes))


def padded(count: int, alignment: int) -> int:
    """`count` or the next multiple of `alignment`."""
    return -(-count // alignment) * alignment


class Parameters:
    """Weights and biases of a batch of networks in one table (networks, parameters), and views of it by layer.

    Each view begins at a multiple of `alignment`; what lies between two of them stays 0.
    """

    def __init__(self, table: Tensor, sizes: Sequence[int], alignment: int) -> None:
        self.table = table
        self.weights: list[Tensor] = []
        self.biases: list[Tensor] = []
        start = 0
        for inputs, outputs in pairwise(sizes):
            middle = start + padded(inputs * outputs, alignment)
            self.weights.append(table[:, start : start + inputs * outputs].view(len(table), inputs, outputs))
            self.biases.append(table[:, middle : middle + outputs].view(len(table), 1, outputs))
            start = middle + padded(outputs, alignment)


def initial(kept: int, sizes: Sequence[int], alignment: int, seed: torch.Generator) -> Tensor:
    """Parameters of one network: weights uniform as Glorot and Bengio (2010), biases 0.

    The first layer has weights for the `kept` inputs alone: those of columns that fill up to `sizes[0]` are 0.
    """
    parts = []
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        seen = inputs if number else kept
        bound = (6.0 / (seen + outputs)) ** 0.5
        parts += [torch.empty(seen * outputs).uniform_(-bound, bound, generator=seed)]
        parts += [torch.zeros(padded(inputs * outputs, alignment) - seen * outputs + padded(outputs, alignment))]
    return torch.cat(parts)
