"""Disagreement of the models of different runs: an uncertainty that needs no posterior (study, section 4)."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class RunningVariance:
    """Variance of each image's reconstructions over a changing set of models, in one pass (Welford 1962)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        """`shape` of the images: (n, S, S, 3)."""
        self.count = np.zeros(shape[0], dtype=np.int64)
        self.mean = np.zeros(shape, dtype=np.float64)
        self.squares = np.zeros(shape, dtype=np.float64)

    def add(self, values: NDArray[np.float64], member: NDArray[np.bool_]) -> None:
        """Count one model's reconstructions (n, S, S, 3) of the images where `member` (n,) is true."""
        self.count[member] += 1
        shift = values[member] - self.mean[member]
        self.mean[member] += shift / self.count[member, None, None, None]
        self.squares[member] += shift * (values[member] - self.mean[member])

    def per_image(self) -> NDArray[np.float64]:
        """Unbiased variance over models, averaged over pixels and channels; NaN for images with fewer than two."""
        total = self.squares.mean(axis=(1, 2, 3))
        return np.where(self.count > 1, total / np.maximum(self.count - 1, 1), np.nan)


def ensemble_variance(
    images: pd.DataFrame,
    shape: tuple[int, ...],
    models: Iterable[tuple[NDArray[np.uint8], Sequence[bool]]],
) -> pd.DataFrame:
    """Variance over models of the reconstructions of each image, among models that were not trained on it.

    Args:
        images: md5hash and group of each image.
        shape: (n, S, S, 3) of the images.
        models: for each model its reconstructions, uint8 of `shape`, and which images it has seen in training, (n,).

    Returns:
        md5hash, group, n_models (that were not trained on the image), ensemble_var (pixels in [-1, 1]; NaN for
        fewer than two models).
    """
    variance = RunningVariance(shape)
    for reconstructions, seen in models:
        variance.add(reconstructions.astype(np.float64) / 127.5 - 1, ~np.asarray(seen))
    return images[["md5hash", "group"]].assign(n_models=variance.count, ensemble_var=variance.per_image())
