"""The network is the published one, and its loss terms are what their formulas say."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evenhand.models.fast import mean_square, merged_convolution, split_channels
from evenhand.models.vae import (
    VAE,
    Architecture,
    ResizingBlock,
    kl_divergence,
    parameter_count,
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
    from evenhand.models.vae import ResidualBlock

    block = ResidualBlock(8, "batch")
    torch.nn.init.zeros_(block.conv2.weight)
    torch.nn.init.zeros_(block.conv2.bias)
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("side", [1, 2, 5])
def test_upsampling_within_the_convolution_is_exact(side: int) -> None:
    random = torch.Generator().manual_seed(0)
    block = ResizingBlock(4, 2, "batch", up=True).double()
    x, gradient = (torch.randn(2, 4, s, s, generator=random).double() for s in (side, 2 * side))
    results = []
    for function in (
        lambda x: merged_convolution(x, block.conv1),
        lambda x: block.conv1(torch.nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")),
    ):
        x = x.detach().requires_grad_()
        y = function(x)
        results.append([y, *torch.autograd.grad(y, [x, *block.conv1.parameters()], gradient)])
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


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("merged_pixels", [1, 10**9])
def test_every_norm_sees_pixels_without_gaps(norm: str, merged_pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenhand.models.fast.MERGED_PIXELS", merged_pixels)
    model = place(VAE(Architecture(width=16, latent_channels=4, norm=norm)), torch.device("cpu"))
    seen: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.GroupNorm):
            module.register_forward_pre_hook(lambda _, inputs, name=name: seen.__setitem__(name, inputs[0]))
    model(torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last), torch.randn(2, 4, 4, 4))
    assert len(seen) == 36
    for name, x in seen.items():
        assert x.is_contiguous(memory_format=torch.channels_last), name


def test_norms_use_the_published_epsilon() -> None:
    with torch.device("meta"):
        norms = [m for m in VAE(Architecture()).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 36
    assert {norm.eps for norm in norms} == {1e-4}
