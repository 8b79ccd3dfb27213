"""Training minimises the published loss and gives the same bits every time."""

import numpy as np
import pytest
import torch
from torch import Tensor

from evenhand.models.architecture import Architecture
from evenhand.models.fast import Adam, images_at_a_time, plain_norm_elu_convolution
from evenhand.models.perceptual import PerceptualLoss, feature_shapes
from evenhand.models.vae import VAE, loss_terms
from evenhand.models.vgg19 import random_weights
from evenhand.training.loop import draw_epoch, known_targets, model_seed, to_unit_range, train, train_step
from evenhand.training.recipe import Recipe
from evenhand.workflow.errors import UserError
from evenhand.workflow.seeds import derive_seed
from evenhand.workflow.torchvision_import import vgg

SMALL = Architecture(width=16, latent_channels=4, deep=False)


def recipe(**changes: float) -> Recipe:
    values = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "clip_norm": 10.0, "flip": 0.5}
    return Recipe(**{**values, "kl_scale": 1.0, "feature_scale": 1.0, **changes})  # type: ignore[arg-type]


def new_model() -> VAE:
    torch.manual_seed(0)
    return VAE(SMALL)


def photographs(n: int, side: int = 32) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8))


def test_pixels_map_onto_minus_one_to_one() -> None:
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
    assert to_unit_range(images).flatten().tolist() == pytest.approx([-1.0, -0.6, 1.0])


def test_loss_by_hand() -> None:
    # Reconstruction off by 1/2 everywhere: MSE 1/4. mu = 1, logvar = 0: KL 1/2 per latent. VGG19 whose first
    # convolution copies the red channel into one of its 64 outputs and whose others give zero: the squared
    # difference 1/4 is averaged over 64 channels and 16 layers.
    tensors = {name: torch.zeros(shape) for name, shape in feature_shapes()}
    tensors["conv0.weight"][0, 0, 1, 1] = 1.0
    target = torch.zeros(2, 3, 16, 16)
    mu, logvar = torch.ones(2, 4, 1, 1), torch.zeros(2, 4, 1, 1)
    terms = loss_terms(
        target + 0.5, target, mu, logvar, PerceptualLoss(tensors, False), recipe(kl_scale=3.0, feature_scale=7.0)
    )
    perceptual = 0.25 / 64 / 16
    assert terms.tolist() == pytest.approx([0.25 + 3 * 0.5 + 7 * perceptual, 0.25, 0.5, perceptual])


def test_without_perceptual_loss() -> None:
    target = torch.zeros(1, 3, 16, 16)
    latents = torch.zeros(1, 4, 1, 1)
    terms = loss_terms(target + 0.5, target, latents, latents, None, recipe(feature_scale=0.0))
    assert terms.tolist() == pytest.approx([0.25, 0.25, 0.0, 0.0])


def test_gradients_against_a_plain_second_implementation(monkeypatch: pytest.MonkeyPatch) -> None:
    # In fp64: in fp32 a unit of VGG19 near zero may be on in one and off in the other, which is no rounding error.
    weights = {name: tensor.double() for name, tensor in random_weights(0).items()}
    model = new_model().double()
    target = to_unit_range(photographs(3)).double()
    noise = torch.randn(3, 4, 2, 2, generator=torch.Generator().manual_seed(0)).double()
    reconstruction, mu, logvar = model(target, noise)
    perceptual_loss = PerceptualLoss(weights, False, torch.float64)
    loss_terms(reconstruction, target, mu, logvar, perceptual_loss, recipe(kl_scale=0.7))[0].backward()
    ours = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()

    layers = vgg.make_layers(vgg.cfgs["E"], batch_norm=False).requires_grad_(False).double()
    convolutions = [layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    for number, layer in enumerate(convolutions):
        layer.weight.copy_(weights[f"conv{number}.weight"])
        layer.bias.copy_(weights[f"conv{number}.bias"])
    monkeypatch.setattr("evenhand.models.vae.norm_elu_convolution", plain_norm_elu_convolution)
    mu, logvar = model.encoder(target)
    z = torch.distributions.Normal(mu, torch.exp(0.5 * logvar))
    reconstruction = model.decoder(z.loc + z.scale * noise)
    x = torch.cat([reconstruction, target])
    perceptual = torch.zeros((), dtype=torch.float64)
    for layer in layers:
        x = torch.relu(x) if isinstance(layer, torch.nn.ReLU) else layer(x)
        if isinstance(layer, torch.nn.Conv2d):
            perceptual = perceptual + (x[:3] - x[3:]).pow(2).mean() / 16
    kl = torch.distributions.kl_divergence(z, torch.distributions.Normal(0.0, 1.0)).mean()
    # `new_model` normalised with batch statistics both times, so its running averages do not matter here.
    (((reconstruction - target) ** 2).mean() + 0.7 * kl + perceptual).backward()
    for name, parameter in model.named_parameters():
        # None: of a bias that a batch norm takes away again.
        assert name in ours or name.endswith("bias")
        torch.testing.assert_close(
            ours.get(name, torch.zeros(1).double()).expand_as(parameter), parameter.grad, rtol=1e-8, atol=1e-12
        )


def test_one_batch_is_overfitted() -> None:
    model = new_model()
    optimizer = Adam(model.parameters(), 1e-3)
    # Four images of four coloured squares each.
    target = 2 * torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(0)) - 1
    target = target.repeat_interleave(16, dim=2).repeat_interleave(16, dim=3)
    losses = [
        train_step(model, optimizer, None, target, torch.zeros(4, 4, 2, 2), recipe(kl_scale=0.0), "fp32")[1].item()
        for _ in range(150)
    ]
    assert losses[-1] < 0.1 * losses[0]


def test_adam_is_pytorchs() -> None:
    # Channels last, as in training: the fused kernel would pair wrong elements if strides differed.
    ours, theirs = (new_model().to(memory_format=torch.channels_last) for _ in range(2))
    optimizer, reference = Adam(ours.parameters(), 1e-3), torch.optim.Adam(theirs.parameters(), lr=1e-3, fused=True)
    target, noise = to_unit_range(photographs(4)), torch.zeros(4, 4, 2, 2)
    for _ in range(3):
        train_step(ours, optimizer, None, target, noise, recipe(), "fp32")
        train_step(theirs, reference, None, target, noise, recipe(), "fp32")
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name]), name


def test_gradient_norm_is_clipped() -> None:
    model = new_model()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    plain = torch.optim.SGD(model.parameters(), lr=1.0)
    train_step(
        model, plain, None, to_unit_range(photographs(4)), torch.zeros(4, 4, 2, 2), recipe(clip_norm=0.01), "fp32"
    )
    moved = torch.sqrt(sum((parameter - before[name]).square().sum() for name, parameter in model.named_parameters()))
    assert moved.item() == pytest.approx(0.01, rel=1e-3)


def test_paired_models_of_a_run_have_one_seed() -> None:
    paired = [[model_seed(1, name, run, paired=True) for name in "ABC"] for run in range(2)]
    assert [len(set(seeds)) for seeds in paired] == [1, 1]
    assert paired[0] != paired[1]
    alone = {
        model_seed(1, name, run, paired=False, start=start) for name in "ABC" for run in range(2) for start in range(2)
    }
    assert len(alone) == 12
    assert derive_seed(1, "train", "A", 0) in alone  # the first start is what a study of one start trains
    assert alone.isdisjoint(seed for seeds in paired for seed in seeds)


def test_an_epoch_draws_every_image_once_and_repeats_itself() -> None:
    draws, again, other = (draw_epoch(1, epoch, 100, (4, 2, 2), 0.3) for epoch in (0, 0, 1))
    assert sorted(draws.order.tolist()) == list(range(100))
    assert draws.noise.shape == (100, 4, 2, 2)
    for ours, same, different in zip(
        (draws.order, draws.flips, draws.noise),
        (again.order, again.flips, again.noise),
        (other.order, other.flips, other.noise),
        strict=True,
    ):
        assert torch.equal(ours, same)
        assert not torch.equal(ours, different)


@pytest.mark.parametrize(("flip", "expected"), [(0.0, 0), (1.0, 5000), (0.3, 1500)])
def test_flips_have_their_probability(flip: float, expected: int) -> None:
    flips = draw_epoch(1, 0, 5000, (1, 1, 1), flip).flips
    assert abs(int(flips.sum()) - expected) <= 5 * np.sqrt(5000 * flip * (1 - flip))


def run_training(precision: str, n: int = 10, **changes: float) -> tuple[VAE, list[dict[str, float]]]:
    model = new_model()
    history: list[dict[str, float]] = []
    chosen = recipe(**changes)
    train(
        model,
        Adam(model.parameters(), chosen.learning_rate),
        None,
        photographs(n),
        chosen,
        1,
        precision,
        history,
        lambda _: None,
        lambda _: None,
    )
    return model, history


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("threads", [1, 2])
def test_training_gives_the_same_bits(precision: str, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        (first, history), (second, again) = run_training(precision), run_training(precision)
    finally:
        torch.set_num_threads(before)
    assert history == again
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_kept_features_of_targets_change_nothing(precision: str, capsys: pytest.CaptureFixture[str]) -> None:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    images, histories = photographs(10), []
    values = 64 * 2 * 32**2 + 128 * 2 * 16**2 + 256 * 4 * 8**2 + 512 * 4 * 4**2 + 512 * 4 * 2**2  # of an image
    needed = 20 * values * dtype.itemsize
    for memory in (0, needed - 1, needed):
        model, perceptual = new_model(), PerceptualLoss(random_weights(0), True, dtype)
        histories.append([])
        train(model, Adam(model.parameters(), 1e-3), perceptual, images, recipe(epochs=3, feature_scale=1.0), 1,
              precision, histories[-1], lambda _: None, lambda _: None, memory)  # fmt: skip
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[4:6] for line in said] == [["taken", "anew"], ["kept,", "they"]]
    assert histories[0] == histories[1] == histories[2]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("side", "batch"), [(16, 3), (24, 16), (32, 8), (128, 16)])
def test_kept_features_have_the_bits_of_images_and_mirror_images(precision: str, side: int, batch: int) -> None:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    images, perceptual = photographs(batch + 2, side), PerceptualLoss(random_weights(0), False, dtype)
    known = known_targets(perceptual, images, recipe(batch_size=batch), 3, 2**31)
    assert known is not None
    mirrored = torch.cat([images, images.flip(2)])
    places = torch.randperm(len(mirrored), generator=torch.Generator().manual_seed(1))[:batch]
    part = images_at_a_time(images.device, side, batch)  # of a step; at 128 px it takes halves of this batch
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        for chosen in places.split(part):
            features = perceptual.features(to_unit_range(mirrored[chosen]))
            for found, expected in zip(known.at(chosen), features, strict=True):
                assert torch.equal(found, expected)


def test_last_short_batch_is_kept_and_weighted() -> None:
    # 10 images in batches of 4: three steps an epoch, of 4, 4 and 2 images.
    model, history = run_training("fp32")
    steps = model.encoder.bottleneck.norm1.num_batches_tracked
    assert steps.item() == 2 * 3
    assert [row["epoch"] for row in history] == [1, 2]
    for row in history:
        assert row["loss"] == pytest.approx(row["mse"] + row["kl"] + row["perceptual"])


def test_a_loss_that_is_no_longer_finite_stops_training() -> None:
    with pytest.raises(UserError, match=r"no longer finite in epoch 1, step \d: loss (nan|inf), mse"):
        run_training("fp32", learning_rate=1e30)
