"""SLUG, sketched Lanczos uncertainty of a model's reconstructions (Lopez-Perez et al. 2025, arXiv:2503.17477).

Laplace's approximation of all weights: with a prior N(0, 1) around the trained ones and a Gaussian likelihood of
variance s^2, the posterior precision is I + G, where G is the sum of J'J / s^2 over the training images and J the
Jacobian of the reconstruction from the mean latents (generalised Gauss-Newton). The variance of the linearised
reconstruction is the diagonal of J (I + G)^-1 J'; its mean is a trace, estimated with random signs (Hutchinson 1990).
Of G the leading eigenpairs come from Lanczos's iteration, which holds three vectors as long as the weights; of its
vectors only sketches are kept, and made orthogonal as sketches (Miani et al. 2024, arXiv:2409.15008). A bias before a
batch norm has no part, as it has none in a training.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, jvp, vjp

from evenhand.models.vae import VAE
from evenhand.training.loop import to_unit_range
from evenhand.workflow.progress import track
from evenhand.workflow.seeds import derive_seed, generator

SKETCH = 100_003  # numbers of a sketch; odd, so that the same weights of different channels are not summed
TRAINING = 32  # training images, which stand for all
PROBES = 4  # of an image
GHOST = 0.5  # of the square of a Ritz vector that has to lie outside the span of those before

Weights = Mapping[str, Tensor]
Flat = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Posterior:
    """The leading eigenpairs of G, as sketches: the rest of the weights is as uncertain as the prior.

    sketch: (p,) to (m,), which keeps products of vectors up to noise; directions: (m, k), orthonormal; shrinkage: share
    of the prior variance that is lost along each, (k,), within [0, 1).
    """

    sketch: Flat
    directions: Tensor
    shrinkage: Tensor

    def variance(self, gradient: Tensor) -> Tensor:
        """Variance of what has this gradient (p,) with respect to the weights, at least 0."""
        short = self.sketch(gradient)
        return short @ short - ((self.directions.T @ short).square() * self.shrinkage).sum()


def slug(
    model: VAE,
    images: NDArray[np.uint8],
    ids: Sequence[str],
    training: NDArray[np.uint8],
    n_training: int,
    rank: int,
    seed: int,
    device: torch.device,
) -> NDArray[np.float64]:
    """Mean variance of the values of the reconstructions of `images` (n, S, S, 3), in [-1, 1], (n,).

    Args:
        model: on `device`, in evaluation mode.
        ids: names of the images; the signs of an image are seeded by its name.
        training: images that the model was trained on, of `n_training`; `TRAINING` of them, drawn by `seed`, are used.
        rank: steps of the iteration, and eigenpairs at most.
        seed: of the study.
    """
    chosen = generator(seed, "slug").permutation(len(training))[:TRAINING]
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    places = [to_unit_range(torch.from_numpy(training[place : place + 1]).to(device)) for place in chosen]
    posterior = posterior_of(model, weights, places, n_training, rank, seed)
    leaves = [weight.requires_grad_() for weight in weights.values()]
    found = []
    for image, name in track(zip(images, ids, strict=True), len(ids), "SLUG", "images"):
        with torch.enable_grad():
            values = reconstruction(model, weights, to_unit_range(torch.from_numpy(image[None]).to(device)))
        signs = random_signs((PROBES, *values.shape), derive_seed(seed, "slug", name)).to(values)
        probed = [
            torch.autograd.grad(values, leaves, sign, retain_graph=True, materialize_grads=True) for sign in signs
        ]
        variances = [posterior.variance(flat(gradient)) / values.numel() for gradient in probed]
        found.append(float(torch.stack(variances).mean()))
    return np.array(found)


def reconstruction(model: VAE, weights: Weights, images: Tensor) -> Tensor:
    """From the mean latents of `images` (B, 3, S, S)."""
    mu = functional_call(model.encoder, _part(weights, "encoder."), (images,))[0]
    values: Tensor = functional_call(model.decoder, _part(weights, "decoder."), (mu,))
    return values


def posterior_of(
    model: VAE, weights: Weights, training: Sequence[Tensor], n_training: int, rank: int, seed: int
) -> Posterior:
    """Of `model` at `weights`, by `rank` steps of Lanczos's iteration over batches of `training` images."""
    with torch.no_grad():
        squares = [(reconstruction(model, weights, images) - images).square() for images in training]
        error = torch.cat([of.flatten() for of in squares]).mean()
    times = n_training / sum(map(len, training)) / error

    def multiply(vector: Tensor) -> Tensor:
        """G vector, for a vector (p,)."""
        total = torch.zeros_like(vector)
        for images in training:

            def of(weights: Weights, images: Tensor = images) -> Tensor:
                return reconstruction(model, weights, images)

            moved = jvp(of, (weights,), (shaped(vector, weights),))[1]
            (gradient,) = vjp(of, weights)[1](moved)
            total += flat(gradient.values())
        return total * times

    p = sum(weight.numel() for weight in weights.values())
    like = next(iter(weights.values()))
    signs = random_signs((p,), derive_seed(seed, "sketch")).to(device=like.device, dtype=torch.int8)

    def sketch(vector: Tensor) -> Tensor:
        """Sums of every `SKETCH`th weight, with random signs; shorter vectors as they are, but for the signs."""
        signed = vector * signs
        return torch.nn.functional.pad(signed, (0, -p % SKETCH)).view(-1, SKETCH).sum(dim=0)

    start = torch.randn(p, generator=torch.Generator().manual_seed(derive_seed(seed, "Lanczos"))).to(like)
    return Posterior(sketch, *eigenpairs(multiply, start, rank, sketch))


def eigenpairs(multiply: Flat, start: Tensor, rank: int, sketch: Flat) -> tuple[Tensor, Tensor]:
    """Sketches (m, k) of the leading eigenvectors of a positive semidefinite matrix, and l / (1 + l) of each, (k,).

    The iteration is not orthogonalised: an eigenvector that it has found comes again. Such ghosts, which lie in the
    span of those before, are left out; one that is half there may pass, and counts as one direction too many.
    """
    vector, before = start / start.norm(), torch.zeros_like(start)
    diagonal, beside, sketches = [], [], []
    beta = 0.0
    for _ in range(rank):
        sketches.append(sketch(vector).double())
        product = multiply(vector) - beta * before
        diagonal.append(float(product @ vector))
        product -= diagonal[-1] * vector
        beta = float(product.norm())
        beside.append(beta)
        if beta <= torch.finfo(start.dtype).eps * max(map(abs, diagonal)):
            break  # all that `start` reaches is spanned
        before, vector = vector, product / beta
    tridiagonal = np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1)
    values, turned = np.linalg.eigh(tridiagonal)
    ritz = torch.stack(sketches, dim=1) @ torch.from_numpy(turned).to(sketches[0])
    directions, kept = torch.empty(len(ritz), 0).to(ritz), []
    for place in np.argsort(-values):
        if values[place] <= 0:
            break
        left = ritz[:, place] / ritz[:, place].norm()
        for _ in range(2):  # once more for the rounding of the first
            left = left - directions @ (directions.T @ left)
        if float(left @ left) > GHOST:
            directions = torch.column_stack([directions, left / left.norm()])
            kept.append(values[place] / (1 + values[place]))
    return directions.to(start), torch.tensor(kept).to(start)


def random_signs(shape: Sequence[int], seed: int) -> Tensor:
    """-1 and 1 with equal chances."""
    return torch.randint(2, tuple(shape), generator=torch.Generator().manual_seed(seed)) * 2 - 1


def flat(parts: Iterable[Tensor]) -> Tensor:
    """One vector (p,)."""
    return torch.cat([part.reshape(-1) for part in parts])


def shaped(vector: Tensor, weights: Weights) -> dict[str, Tensor]:
    """The parts of `vector` (p,), in the shapes of `weights`."""
    parts = vector.split([weight.numel() for weight in weights.values()])
    return {name: part.view(weight.shape) for part, (name, weight) in zip(parts, weights.items(), strict=True)}


def _part(weights: Weights, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
