"""Features that are removed from an embedding: the best-ranked ones, or the concept itself by least squares (LEACE)."""

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


Floats = NDArray[np.float64]
# Directions whose share of the largest variance is below this are rounding, not data.
RELATIVE_CUTOFF = 1e-10
BLOCK_ROWS = 8192


def fit_leace(x: NDArray[np.floating], z: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """The erasure `r(x) = x - (x - mean) @ left @ right`, the smallest change after which cov(r(x), z) = 0.

    With W the whitening matrix of x, `left @ right` is the transpose of pinv(W) P W, where P projects
    onto the column space of W cov(x, z).

    Args:
        x: (n, d) features of the training rows.
        z: (n, k) concept, such as one-hot classes (whose rank is k - 1).

    Returns:
        left (d, r) and right (r, d), r being the rank of cov(x, z) and at most k.
    """
    mean, concept = x.mean(axis=0, dtype=np.float64), z - z.mean(axis=0)
    covariance = np.zeros((x.shape[1], z.shape[1]))
    scatter = np.zeros((x.shape[1],) * 2 if len(x) > x.shape[1] else (0, 0))
    for start in range(0, len(x), BLOCK_ROWS):
        block = x[start : start + BLOCK_ROWS] - mean
        covariance += block.T @ concept[start : start + BLOCK_ROWS] / len(x)
        if len(scatter):
            scatter += block.T @ block / len(x)
    if len(scatter):
        variance, directions = np.linalg.eigh(scatter)
    else:  # fewer rows than features: the same directions from the small side
        _, singular, rows = np.linalg.svd(x - mean, full_matrices=False)
        variance, directions = singular**2 / len(x), rows.T
    used = variance > RELATIVE_CUTOFF * variance.max()
    deviation, directions = np.sqrt(variance[used]), directions[:, used]
    # In the basis of the principal directions W is 1 / deviation, its pseudo-inverse deviation.
    whitened = (directions / deviation).T @ covariance
    basis, strength, _ = np.linalg.svd(whitened, full_matrices=False)
    rank = int((strength > 1e-12 * max(strength[0], 1.0)).sum())
    basis = basis[:, :rank]
    return (directions / deviation) @ basis, basis.T @ (directions * deviation).T
