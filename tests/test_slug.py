"""SLUG is the exact posterior variance of a network small enough to have one, and its sketches keep products."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import jacrev

from evenhand.evaluation import slug as slugs
from evenhand.evaluation.slug import eigenpairs, posterior_of, random_signs, reconstruction, slug
from evenhand.models.architecture import Architecture
from evenhand.models.vae import VAE
from evenhand.training.loop import to_unit_range

SIDE = 4
N_TRAINING = 40


@pytest.fixture(scope="module")
def model() -> VAE:
    """Of 1,127 weights, in double precision."""
    torch.manual_seed(0)
    model = VAE(Architecture(width=2, multipliers=(1, 1), latent_channels=2, deep=False)).double().train()
    model(torch.randn(16, 3, 16, 16).double(), torch.randn(16, 2, 4, 4).double())  # running statistics
    return model.eval()


def photographs(n: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)


def unit(images: np.ndarray) -> Tensor:
    return to_unit_range(torch.from_numpy(images)).double()


def exact(model: VAE, training: Tensor, tested: Tensor) -> tuple[Tensor, Tensor]:
    """Covariance of the reconstruction of one image under the posterior, and under the prior, all weights at once."""
    weights = {name: weight.detach() for name, weight in model.named_parameters()}

    def jacobian(images: Tensor) -> Tensor:
        parts = jacrev(lambda of: reconstruction(model, of, images).flatten())(weights)
        return torch.cat([part.flatten(1) for part in parts.values()], dim=1)

    error = (reconstruction(model, weights, training) - training).square().mean()
    of_training, of_tested = jacobian(training), jacobian(tested)
    curvature = N_TRAINING / len(training) / error * of_training.T @ of_training
    posterior = torch.linalg.inv(torch.eye(len(curvature)).double() + curvature)
    return (of_tested @ posterior @ of_tested.T).detach(), (of_tested @ of_tested.T).detach()


def test_the_variance_is_that_of_the_exact_posterior(model: VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slugs, "PROBES", 400)
    images = photographs(2)
    covariance, prior = exact(model, unit(images[:1]), unit(images[1:]))
    monkeypatch.setattr(slugs, "to_unit_range", lambda pixels: to_unit_range(pixels).double())
    (found,) = slug(model, images[1:], ["a"], images[:1], N_TRAINING, 90, 1, torch.device("cpu"))
    # Of random signs s, s' C s has the trace as its mean and twice the squares off the diagonal as its variance.
    off = covariance - torch.diag(covariance.diagonal())
    error = (2 * off.square().sum() / 400).sqrt() / len(covariance)
    expected = covariance.diagonal().mean()
    assert abs(found - expected) < 4 * error + 0.02 * expected
    assert expected < 0.1 * prior.diagonal().mean()  # training has said something


def test_few_steps_leave_more_of_the_prior(model: VAE) -> None:
    images = photographs(2)
    covariance, prior = exact(model, unit(images[:1]), unit(images[1:]))
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    gradient = jacrev(lambda of: reconstruction(model, of, unit(images[1:])).flatten()[0])(weights)
    flat = torch.cat([part.flatten() for part in gradient.values()])
    posteriors = [posterior_of(model, weights, [unit(images[:1])], N_TRAINING, rank, 1) for rank in (1, 8, 90)]
    found = [float(posterior.variance(flat)) for posterior in posteriors]
    assert prior[0, 0] > found[0] > found[1] > found[2]
    assert found[2] == pytest.approx(float(covariance[0, 0]), rel=0.02)


def test_an_eigenvector_that_comes_again_counts_once() -> None:
    """Of a matrix whose large eigenvalues converge at once, so that single precision finds each several times."""
    values = torch.cat([torch.tensor([1e6, 3e5, 1e5]), torch.linspace(0, 1, 197)])
    start = torch.randn(200, generator=torch.Generator().manual_seed(0))
    directions, shrinkage = eigenpairs(lambda vector: values * vector, start, 40, lambda vector: vector)
    torch.testing.assert_close(directions.T @ directions, torch.eye(directions.shape[1]), atol=1e-4, rtol=0)
    assert 3 <= int((shrinkage > 0.9).sum()) <= 4  # of 40 steps
    torch.testing.assert_close(directions[:3, :3].abs(), torch.eye(3), atol=0.02, rtol=0)


def test_sketches_keep_products_on_average(model: VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slugs, "SKETCH", 101)
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    p = sum(weight.numel() for weight in weights.values())
    a, b = torch.randn(2, p, generator=torch.Generator().manual_seed(5)).double()
    products = []
    for seed in range(200):
        sketch = posterior_of(model, weights, [unit(photographs(1))], N_TRAINING, 1, seed).sketch
        products.append(float(sketch(a) @ sketch(a + b)))
    assert np.mean(products) == pytest.approx(float(a @ (a + b)), abs=4 * np.std(products) / np.sqrt(200))


def test_the_score_is_of_the_image_and_not_of_its_place(model: VAE) -> None:
    images = photographs(4)
    device = torch.device("cpu")
    single = VAE(Architecture(width=2, multipliers=(1, 1), latent_channels=2, deep=False)).eval()
    single.load_state_dict(model.state_dict())
    scores = slug(single, images[2:], ["a", "b"], images[:2], N_TRAINING, 4, 1, device)
    turned = slug(single, images[:1:-1], ["b", "a"], images[:2], N_TRAINING, 4, 1, device)
    assert scores.tolist() == turned[::-1].tolist()
    assert (scores > 0).all()


def test_signs_are_fair() -> None:
    signs = random_signs((10_000,), 4)
    assert set(signs.tolist()) == {-1, 1}
    assert abs(int(signs.sum())) < 400
