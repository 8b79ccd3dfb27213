"""Convolutions with fewer multiplications are convolutions, and only where no gradient is asked for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from evenhand.models import winograd
from evenhand.models.architecture import Architecture
from evenhand.models.perceptual import PerceptualLoss
from evenhand.models.vae import VAE
from evenhand.models.vgg19 import random_weights

COUNT = st.integers(1, 3)


def plain(x: Tensor, weight: Tensor, upsample: bool) -> Tensor:
    return F.conv2d(F.interpolate(x, scale_factor=2.0) if upsample else x, weight, padding=1)


def drawn(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=random, dtype=dtype).contiguous(memory_format=torch.channels_last)


@settings(deadline=None, max_examples=30)
@given(batch=COUNT, channels=COUNT, outputs=COUNT, rows=COUNT, columns=COUNT, upsample=st.booleans())
def test_it_is_the_convolution(
    batch: int, channels: int, outputs: int, rows: int, columns: int, upsample: bool
) -> None:  # fmt: skip
    step = 2 if upsample else 4
    x, weight = drawn(batch, channels, step * rows, step * columns), drawn(outputs, channels, 3, 3)
    torch.testing.assert_close(winograd.convolution(x, weight, upsample), plain(x, weight, upsample))


@pytest.mark.parametrize("upsample", [False, True])
def test_images_in_parts_are_those_of_a_batch(upsample: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = drawn(5, 3, 8, 8), drawn(4, 3, 3, 3)
    monkeypatch.setattr(winograd, "NUMBERS_AT_A_TIME", 2 * 36 * 3 * (16 if upsample else 4))  # two images
    torch.testing.assert_close(winograd.convolution(x, weight, upsample), plain(x, weight, upsample))


@pytest.mark.parametrize("upsample", [False, True])
def test_rounding_errors_in_fp32_are_a_few_times_those_of_the_sum(upsample: bool) -> None:
    """Of 512 channels; a root mean square, since the largest error of many is a matter of chance."""
    x, weight = drawn(2, 512, 16, 16), drawn(128, 512, 3, 3)
    exact = plain(x, weight, upsample)
    errors = [
        (found.double() - exact).square().mean().sqrt() / exact.square().mean().sqrt()
        for found in (of(x.float(), weight.float(), upsample) for of in (winograd.convolution, plain))
    ]
    assert errors[0] < 10 * errors[1]
    assert errors[0] < 1e-5


def test_only_without_gradients_of_many_channels_and_whole_tiles() -> None:
    x, weight = drawn(8, 128, 16, 16, dtype=torch.float32), drawn(128, 128, 3, 3, dtype=torch.float32)
    assert not winograd.pays(x, weight)
    with torch.no_grad():
        assert winograd.pays(x, weight)
        assert not winograd.pays(x, weight, upsample=True)
        assert not winograd.pays(x.bfloat16(), weight.bfloat16())
        assert not winograd.pays(x[..., :14], weight)
        assert not winograd.pays(x, weight[:127])
        assert not winograd.pays(x[:1], weight)


def test_an_evaluation_finds_what_a_training_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconstructions and distances of features, with and without it, up to rounding."""
    torch.manual_seed(0)
    taken = []

    def counted(x: Tensor, weight: Tensor, upsample: bool = False) -> Tensor:
        taken.append(upsample)
        return convolution(x, weight, upsample)

    convolution = winograd.convolution
    monkeypatch.setattr(winograd, "convolution", counted)
    model = VAE(Architecture(width=128, multipliers=(1, 2), latent_channels=4)).eval()
    perceptual = PerceptualLoss(random_weights(0), normalize=False)
    images = 2 * torch.rand(4, 3, 64, 64) - 1
    mu = model.encoder(images)[0].detach()
    expected = model.decoder(mu).detach()
    distances = torch.no_grad()(perceptual.distances)(expected, perceptual.features(images)).detach()
    assert not taken
    with torch.no_grad():
        found = model.decoder(model.encoder(images)[0])
        perceptual.eval()
        again = perceptual.distances(found, perceptual.features(images))
    assert set(taken) == {False, True}
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(again, distances, rtol=1e-4, atol=0)
