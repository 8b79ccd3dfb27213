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

    The input is `(x - center) * scale`, then, if `erase` is given, `x - (x @ erase[0]) @ erase[1]`; a removed
    feature has scale 0.
    """

    train: Rows
    valid: Rows
    labels: int
    center: Floats
    scale: Floats
    seed: int
    erase: tuple[Floats, Floats] | None = None

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which features the network sees."""
        return self.scale != 0


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


class NetworkInputs:
    """The inputs of a batch of networks, made on the device from rows of the shared matrix."""

    def __init__(self, matrix: Tensor, networks: Sequence[Network]) -> None:
        def stack(arrays: Sequence[Floats]) -> Tensor:
            return torch.from_numpy(np.stack(arrays)).to(matrix.device)

        self.matrix = matrix
        self.center = stack([network.center for network in networks])[:, None]
        self.scale = stack([network.scale for network in networks])[:, None]
        erase = [network.erase for network in networks if network.erase is not None]
        self.erase = (stack([pair[0] for pair in erase]), stack([pair[1] for pair in erase])) if erase else None

    def keep(self, index: Tensor) -> None:
        """Go on with the networks at `index` alone."""
        self.center, self.scale = self.center[index], self.scale[index]
        if self.erase:
            self.erase = (self.erase[0][index], self.erase[1][index])

    def __call__(self, rows: Tensor) -> Tensor:
        """Inputs for rows (networks, batch): (networks, batch, d)."""
        x = self.matrix.index_select(0, rows.flatten()).view(*rows.shape, -1)
        x = x.sub_(self.center).mul_(self.scale)
        return x if self.erase is None else x - torch.bmm(torch.bmm(x, self.erase[0]), self.erase[1])


def forward(weights: Sequence[Tensor], biases: Sequence[Tensor], x: Tensor) -> Tensor:
    """Logits (networks, batch, outputs) of stacked networks: weights (networks, in, out), biases (networks, 1, out)."""
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        x = torch.relu(torch.baddbmm(bias, x, weight))
    return torch.baddbmm(biases[-1], x, weights[-1]).float()


def network_inputs(matrix: Tensor, network: Network, rows: Rows) -> Tensor:
    """What one network sees of `rows`: (rows, d)."""
    return NetworkInputs(matrix, [network])(torch.from_numpy(rows)[None].to(matrix.device))[0]


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


class NetworkTargets:
    """The labels of a batch of networks, by row."""

    def __init__(self, labels: Sequence[Labels], networks: Sequence[Network], loss: Loss, device: torch.device) -> None:
        used = sorted({network.labels for network in networks})
        self.loss: Loss = loss
        self.values = torch.from_numpy(np.stack([labels[index].values for index in used])).to(device)
        self.which = torch.tensor([used.index(network.labels) for network in networks], device=device)[:, None]

    def keep(self, index: Tensor) -> None:
        """Go on with the networks at `index` alone."""
        self.which = self.which[index]

    def __call__(self, rows: Tensor) -> Tensor:
        """Labels for rows (networks, batch): (networks, batch, outputs)."""
        return self.values[self.which, rows]
