"""The network is the published one, and its loss terms are what their formulas say."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.nn import functional as F

from evenhand.models.architecture import Architecture
from evenhand.models.family import parameter_count
from evenhand.models.fast import (
    mean_square,
    merged_kernel,
    norm_elu_convolution,
    plain_norm_elu_convolution,
    split_channels,
)
from evenhand.models.group_norm import group_norm
from evenhand.models.vae import (
    VAE,
    ResidualBlock,
    kl_divergence,
    make_norm,
    reparameterize,
)
from evenhand.training.devices import place


@pytest.mark.parametrize(("deep", "parameters"), [(True, 56_715_139), (False, 50_439_619)])
def test_parameter_counts_of_the_published_code(deep: bool, parameters: int) -> None:
    with torch.device("meta"):
        assert parameter_count(VAE(Architecture(deep=deep))) == parameters


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 3), min_size=2, max_size=6),
    st.integers(1, 5),
    st.booleans(),
    st.sampled_from(["batch", "group"]),
)
def test_every_stage_halves_the_side(multipliers: list[int], latent_side: int, deep: bool, norm: str) -> None:
    architecture = Architecture(16, tuple(multipliers), latent_channels=5, deep=deep, norm=norm)
    side = latent_side * 2 ** len(multipliers)
    assert architecture.latent_shape(side) == (5, latent_side, latent_side)
    with torch.device("meta"):
        model = VAE(architecture)
        images = torch.empty(2, 3, side, side)
        reconstruction, mu, logvar = model(images, torch.empty(2, *architecture.latent_shape(side)))
    assert reconstruction.shape == images.shape
    assert mu.shape == logvar.shape == (2, 5, latent_side, latent_side)


def test_output_stays_within_the_pixel_range() -> None:
    torch.manual_seed(0)
    model = VAE(Architecture(width=16, latent_channels=4, deep=False))
    reconstruction, _, _ = model(10 * torch.randn(2, 3, 32, 32), 10 * torch.randn(2, 4, 2, 2))
    assert reconstruction.abs().max() <= 1


def test_kl_against_its_integral() -> None:
    # KL(q || p) = E_q[log q - log p], by Gauss-Hermite quadrature through scipy's expectation.
    for mean, log_variance in [(0.0, 0.0), (1.5, 0.0), (-0.3, 1.2), (2.0, -3.0)]:
        q = stats.norm(mean, torch.tensor(0.5 * log_variance).exp().item())
        expected = q.expect(lambda z, q=q: q.logpdf(z) - stats.norm.logpdf(z))
        found = kl_divergence(torch.tensor(mean), torch.tensor(log_variance)).item()
        assert found == pytest.approx(expected, abs=1e-5)


def test_kl_vanishes_only_at_the_prior() -> None:
    assert kl_divergence(torch.zeros(3), torch.zeros(3)).tolist() == [0.0, 0.0, 0.0]
    assert (kl_divergence(torch.tensor([0.1, 0.0, 0.0]), torch.tensor([0.0, 0.1, -0.1])) > 0).all()


def test_sampled_latents_have_the_posteriors_moments() -> None:
    random = torch.Generator().manual_seed(0)
    n = 200_000
    z = reparameterize(torch.tensor(2.0), torch.tensor(0.5).log() * 2, torch.randn(n, generator=random))
    assert z.mean().item() == pytest.approx(2.0, abs=5 * 0.5 / n**0.5)
    assert z.std().item() == pytest.approx(0.5, rel=5 / (2 * n) ** 0.5)


def test_a_residual_block_that_adds_nothing_is_the_identity() -> None:
    block = ResidualBlock(8, "batch")
    torch.nn.init.zeros_(block.conv2.weight)
    torch.nn.init.zeros_(block.conv2.bias)
    x, bias = torch.randn(2, 8, 4, 4), torch.randn(8)
    assert all(map(torch.equal, block(x, bias), (x, bias)))


@pytest.mark.parametrize("side", [1, 2, 5])
def test_upsampling_within_the_convolution_is_exact(side: int) -> None:
    random = torch.Generator().manual_seed(0)
    x, weight, gradient = (
        torch.randn(*shape, generator=random).double()
        for shape in ((2, 4, side, side), (5, 4, 3, 3), (2, 5, 2 * side, 2 * side))
    )
    results = []
    for function in (
        lambda x, weight: F.conv_transpose2d(x, merged_kernel(weight), stride=2, padding=1),
        lambda x, weight: F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), weight, padding=1),
    ):
        inputs = [each.clone().requires_grad_() for each in (x, weight)]
        y = function(*inputs)
        results.append([y, *torch.autograd.grad(y, inputs, gradient)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_mean_square_is_pytorchs(dtype: torch.dtype, rtol: float) -> None:
    random = torch.Generator().manual_seed(0)
    found, wanted = (torch.randn(3, 4, 5, 5, generator=random).to(dtype).requires_grad_() for _ in range(2))
    ours = 3 * mean_square(found, wanted)
    plain = 3 * torch.nn.functional.mse_loss(found.float(), wanted.detach().float())
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, plain, rtol=rtol, atol=0)
    (gradient,), (expected,) = (torch.autograd.grad(loss, found) for loss in (ours, plain))
    torch.testing.assert_close(gradient, expected, rtol=rtol, atol=rtol * expected.abs().max().item())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_channels_are_split_as_pytorch_does(layout: torch.memory_format) -> None:
    x = torch.randn(2, 5, 3, 3).to(memory_format=layout)
    for part, expected in zip(split_channels(x, [2, 3]), x.split([2, 3], dim=1), strict=True):
        assert torch.equal(part, expected)


def test_a_large_batch_is_decoded_as_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    decoder = VAE(Architecture(width=16, latent_channels=4)).eval().decoder
    z = torch.randn(2, 4, 2, 2)
    with torch.no_grad():
        plain = decoder(z)
        monkeypatch.setattr("evenhand.models.fast.MERGED_PIXELS", 1)
        merged = decoder(z)
    assert not torch.equal(plain, merged)  # so that both ways were taken
    torch.testing.assert_close(plain, merged)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("kind_of_norm", ["batch", "group"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("stride", "upsample", "merged_pixels"), [(1, False, 1), (2, False, 1), (1, True, 1), (1, True, 10**9)]
)
def test_norm_elu_and_convolution_are_the_plain_ones(
    dtype: torch.dtype, tolerance: float, kind_of_norm: str, training: bool, stride: int, upsample: bool,
    merged_pixels: int, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("evenhand.models.fast.MERGED_PIXELS", merged_pixels)
    monkeypatch.setattr("evenhand.models.group_norm.SUMMED_PIXELS", 1)
    random = torch.Generator().manual_seed(0)
    # A mean of twice the standard deviation, and a bias as large: both have to go again.
    x = (3 + 1.5 * torch.randn(5, 8, 6, 6, generator=random)).to(dtype, memory_format=torch.channels_last)
    bias, weight = torch.randn(8, generator=random), 0.1 * torch.randn(4, 8, 3, 3, generator=random)
    results = []
    for function, kind in ((norm_elu_convolution, dtype), (plain_norm_elu_convolution, torch.float32)):
        norm = make_norm(kind_of_norm, 8).train(training)
        torch.nn.init.normal_(norm.weight, 1.0, 0.3, generator=torch.Generator().manual_seed(1))
        torch.nn.init.normal_(norm.bias, generator=torch.Generator().manual_seed(2))
        if kind_of_norm == "batch":
            norm.running_mean.fill_(0.5)
        inputs = [x.to(kind).detach().requires_grad_(), weight.clone().requires_grad_()]
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
            y = function(inputs[0], bias, norm, inputs[1], stride, upsample)
        gradient = torch.randn(y.shape, generator=torch.Generator().manual_seed(3)).to(y.dtype)
        gradients = torch.autograd.grad(y, [*inputs, norm.weight, norm.bias], gradient)
        results.append([y, *gradients, *norm.buffers()])
    for found, expected in zip(*results, strict=True):
        assert (found.float() - expected.float()).norm() <= tolerance * expected.float().norm()


def test_group_norm_keeps_a_small_deviation_around_a_large_mean() -> None:
    x = (1000 + 10 * torch.randn(4, 16, 24, 24)).to(torch.bfloat16, memory_format=torch.channels_last)
    norm = make_norm("group", 16)
    expected = F.group_norm(x.double(), 8, eps=1e-4)
    torch.testing.assert_close(group_norm(x, norm).double(), expected, rtol=0, atol=0.02)  # bf16 of numbers up to 4


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("merged_pixels", [1, 10**9])
def test_every_norm_sees_pixels_without_gaps(norm: str, merged_pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenhand.models.fast.MERGED_PIXELS", merged_pixels)
    seen: list[torch.Tensor] = []

    def recorded(x: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:  # noqa: ANN401 (passed on)
        seen.append(x)
        return norm_elu_convolution(x, *rest, **options)

    monkeypatch.setattr("evenhand.models.vae.norm_elu_convolution", recorded)
    model = place(VAE(Architecture(width=16, latent_channels=4, norm=norm)), torch.device("cpu"))
    model(torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last), torch.randn(2, 4, 4, 4))
    assert len(seen) == 36
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen)


def test_norms_use_the_published_epsilon() -> None:
    with torch.device("meta"):
        norms = [m for m in VAE(Architecture()).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 36
    assert {norm.eps for norm in norms} == {1e-4}
