"""Ranking features by input gradient, and which of them to remove."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from evenhand.probes.networks import Fitted, Network, Rows, network_inputs, network_logits


def rank_features(matrix: torch.Tensor, network: Network, fitted: Fitted, rows: Rows) -> NDArray[np.int64]:
    """Features from the most to the least informative for one trained probe.

    The measure is the mean over `rows` of the absolute gradient of the logit with respect to the standardised
    input; with several classes, that of each logit less the mean of all (softmax knows no common offset), averaged
    over the classes. Features that the probe does not see count 0. Ties go to the lower feature number.

    Args:
        rows: the training fold; the test fold has no place here.
    """
    total, kept = torch.zeros(matrix.shape[1], dtype=torch.float64), torch.from_numpy(network.kept)
    for start in range(0, len(rows), 4096):
        x = network_inputs(matrix, network, rows[start : start + 4096]).requires_grad_()
        logits = network_logits(fitted, x)
        if logits.shape[1] > 1:
            logits = logits - logits.mean(1, keepdim=True)
        for output in logits.T:
            (gradient,) = torch.autograd.grad(output.sum(), x, retain_graph=True)
            total[kept] += gradient.abs().sum(0).double().cpu()
    answer: NDArray[np.int64] = np.argsort(-total.numpy(), kind="stable")
    return answer


def removed_count(fraction: float, features: int) -> int:
    """k = round(p d), half rounded up."""
    return int(fraction * features + 0.5)


def kept_after(removed: Sequence[int] | Rows, features: int) -> Rows:
    """Numbers of the features that are left, ascending."""
    return np.setdiff1d(np.arange(features), np.asarray(removed, dtype=np.int64))
