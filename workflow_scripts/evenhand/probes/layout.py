"""How the weights and biases of many small networks of one shape lie in one table."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


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
