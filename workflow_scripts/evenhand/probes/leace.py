"""Least-squares concept erasure (LEACE): no linear probe can read the concept afterwards, at the least change.

Belrose et al., LEACE: Perfect linear concept erasure in closed form, NeurIPS 2023, Theorem 4.3. The closed form
stands here, rather than the authors' package (concept-erasure 0.2.4), because that by default shrinks the covariance
and drops directions below a tolerance of 0.01, after which a linear probe can read a remainder; and because these
lines give factors of rank classes - 1, whatever the number of rows and features. Tests hold them to the defining
property, and to the package without shrinkage where it is installed.
"""

import numpy as np
from numpy.typing import NDArray

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
