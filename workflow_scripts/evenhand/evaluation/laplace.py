"""Laplace approximation of the last layer of the decoder, in closed form (Daxberger et al. 2021, NeurIPS, section 3).

The last layer is a convolution and a tanh: the value y of a pixel and colour is tanh(w . phi), where phi are the
features under the window, and 1 for the bias. With a Gaussian likelihood of variance s^2 and a prior N(0, 1) on the
weights, the posterior precision of those of a colour is, by the generalised Gauss-Newton matrix, the identity plus the
sum of (1 - y^2)^2 phi phi' / s^2 over the training pixels; colours share no weight. The linearised variance of a value
is (1 - y^2)^2 phi' covariance phi. Pixels are sampled at the same places of all images; those of some training images
stand for all of them.

All in double precision: the sum reaches 1e12 along what all training pixels share, where its rounding in single
precision is more than the identity, which is all there is along what they lack.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand.workflow.seeds import generator

PLACES = 48  # pixels sampled of an image


@dataclass(frozen=True)
class LastLayer:
    """places: sampled pixels, rows and columns, (2, P); roots: Cholesky factors L of the posterior precision L L' of
    weights and bias of each colour, (3, d, d), lower triangular, double."""

    places: Tensor
    roots: Tensor

    def variance(self, convolution: nn.Conv2d, features: Tensor, images: Tensor) -> Tensor:
        """Mean variance of the sampled values, (B,), given the features (B, C, S, S) and their images (B, 3, S, S)."""
        inputs, slopes = sampled(convolution, features, images, self.places)
        # A sum of squares: phi' covariance phi would be a small difference of large numbers.
        away = torch.linalg.solve_triangular(self.roots, inputs.flatten(0, 1).T, upper=False)  # (3, d, B * P)
        return (away.square().sum(dim=1).view(3, *inputs.shape[:2]) * slopes.permute(2, 0, 1)).mean(dim=(0, 2))


def places_of(side: int, seed: int) -> Tensor:
    """Places of the sampled pixels, drawn once: rows and columns, (2, P)."""
    chosen = generator(seed, "laplace").choice(side * side, min(PLACES, side * side), replace=False)
    return torch.stack([torch.from_numpy(chosen // side), torch.from_numpy(chosen % side)])


def sampled(convolution: nn.Conv2d, features: Tensor, images: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs phi of the sampled pixels, (B, P, d), and squared slopes (1 - y^2)^2 of their values, (B, P, 3)."""
    rows, columns = places.to(features.device)
    size = convolution.kernel_size[0]
    windows = F.pad(features, (size // 2,) * 4).unfold(2, size, 1).unfold(3, size, 1)
    inputs = windows[:, :, rows, columns].permute(0, 2, 1, 3, 4).flatten(2)  # in the order of the weights
    slopes = (1 - images[:, :, rows, columns].double().square()).square().permute(0, 2, 1)
    return torch.cat([inputs, torch.ones_like(inputs[:, :, :1])], dim=2).double(), slopes


class Curvature:
    """The sum of (1 - y^2)^2 phi phi' over sampled pixels of training images, a batch at a time."""

    def __init__(self, places: Tensor) -> None:
        """`places`: rows and columns of the pixels, (2, P)."""
        self.places, self._images, self._values = places, 0, 0
        self._total, self._squares = torch.zeros(()), torch.zeros(())

    def add(self, convolution: nn.Conv2d, features: Tensor, images: Tensor, target: Tensor) -> None:
        """Count a batch: features (B, C, S, S), the images made of them and what they should be, (B, 3, S, S)."""
        inputs, slopes = sampled(convolution, features, images, self.places)
        flat, weights = inputs.flatten(0, 1), slopes.flatten(0, 1)
        self._total = self._total + torch.stack([(flat * of[:, None]).T @ flat for of in weights.T])
        self._squares = self._squares + (images - target).square().sum().double()
        self._images, self._values = self._images + len(images), self._values + images.numel()

    def last_layer(self, n_training: int, side: int) -> LastLayer:
        """The posterior after `n_training` images of `side` pixels, whose variance s^2 is the mean squared error."""
        times = n_training * side**2 / (self._images * self.places.shape[1])
        curvature = self._total * (times * self._values / self._squares)
        precision = curvature + torch.eye(curvature.shape[1]).to(curvature)
        return LastLayer(self.places, torch.linalg.cholesky(precision))
