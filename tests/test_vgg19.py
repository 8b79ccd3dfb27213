"""The perceptual network is torchvision's VGG19, its weights are checked, and no file can run code."""

import hashlib
import http.server
import os
import pickle
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from evenhand.models.fast import few_pixels_convolution
from evenhand.models.perceptual import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    VGG19_LAYERS,
    PerceptualLoss,
    feature_shapes,
    load_features,
)
from evenhand.models.vgg19 import URL, checksum_of, fetch_imagenet_weights, random_weights, read_weights
from evenhand.workflow.errors import UserError
from evenhand.workflow.torchvision_import import vgg


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """A state dict in torchvision's naming, of the convolutions only (the classifier is not read)."""
    torch.manual_seed(3)
    layers = vgg.make_layers(vgg.cfgs["E"], batch_norm=False)
    return {f"features.{name}": value for name, value in layers.state_dict().items()}


@pytest.fixture(scope="module")
def weight_file(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(state, path)
    return path


def test_layers_are_torchvisions() -> None:
    assert list(VGG19_LAYERS) == vgg.cfgs["E"][:-1]  # without the last pooling
    assert sum(isinstance(layer, int) for layer in VGG19_LAYERS) == 16


@pytest.mark.parametrize("normalize", [False, True])
def test_features_are_the_convolution_outputs_before_relu(
    state: dict[str, torch.Tensor], weight_file: Path, normalize: bool
) -> None:
    layers = vgg.make_layers(vgg.cfgs["E"], batch_norm=False)
    layers.load_state_dict({name.removeprefix("features."): value for name, value in state.items()})
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    found = list(PerceptualLoss(read_weights(weight_file), normalize).features(x))
    if normalize:
        x = ((x + 1) / 2 - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[:, None, None]
    expected = []
    with torch.no_grad():
        for layer in layers:
            x = torch.relu(x) if isinstance(layer, torch.nn.ReLU) else layer(x)
            if isinstance(layer, torch.nn.Conv2d):
                expected.append(x)
    assert len(found) == len(expected) == 16
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_loss_is_the_mean_over_layers_of_mean_squared_differences() -> None:
    loss = PerceptualLoss(random_weights(0), normalize=False)
    a, b = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    layers = [(x - y).square().mean() for x, y in zip(loss.features(a), loss.features(b), strict=True)]
    torch.testing.assert_close(loss(a, b), sum(layers) / 16)
    assert loss(a, a).item() == 0


def test_gradient_flows_to_the_reconstruction_only() -> None:
    loss = PerceptualLoss(random_weights(0), normalize=False)
    a, b = (torch.rand(1, 3, 32, 32, requires_grad=True) for _ in range(2))
    loss(a, b).backward()
    assert a.grad is not None
    assert a.grad.abs().sum() > 0
    assert b.grad is None
    assert not list(loss.parameters())


def test_a_batch_taken_in_parts_has_the_same_loss_and_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenhand.models.fast.PIXELS_AT_A_TIME", 2 * 32**2)
    loss = PerceptualLoss(random_weights(0), normalize=False)
    a, b = (torch.rand(5, 3, 32, 32, requires_grad=True) for _ in range(2))
    whole = loss.mean_over_layers(a, b)
    (expected,) = torch.autograd.grad(3 * whole, a)
    parts = loss(a, b)
    (found,) = torch.autograd.grad(3 * parts, a)
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("sides", [(2, 3), (1, 1)])
def test_small_maps_are_convolved_as_large_ones(sides: tuple[int, int]) -> None:
    weight, bias, x = (torch.randn(*shape).double() for shape in ((4, 5, 3, 3), (4,), (3, 5, *sides)))
    x.requires_grad_()
    found, expected = few_pixels_convolution(x, weight, bias), F.conv2d(x, weight, bias, padding=1)
    torch.testing.assert_close(found, expected)
    gradients = (torch.autograd.grad(y.square().sum(), x)[0] for y in (found, expected))
    torch.testing.assert_close(*gradients)


def test_random_weights_are_seeded_and_keep_the_scale_of_features() -> None:
    first, again, other = random_weights(1), random_weights(1), random_weights(2)
    assert all(torch.equal(first[name], again[name]) for name, _ in feature_shapes())
    assert not torch.equal(first["conv0.weight"], other["conv0.weight"])
    features = list(PerceptualLoss(first, normalize=False).features(torch.randn(4, 3, 64, 64)))
    scales = [feature.square().mean().item() for feature in features]
    assert max(scales) / min(scales) < 30


class WeightServer(http.server.SimpleHTTPRequestHandler):
    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder served over HTTP, and its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    WeightServer.requests = 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(WeightServer, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_download_is_verified_and_kept(served: tuple[Path, str], weight_file: Path, tmp_path: Path) -> None:
    folder, address = served
    content = weight_file.read_bytes()
    name = f"vgg19-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (folder / name).write_bytes(content)
    for _ in range(2):
        path = fetch_imagenet_weights(tmp_path, f"{address}/{name}")
        assert path.read_bytes() == content
    assert WeightServer.requests == 1


def test_a_wrong_checksum_is_refused(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = served
    (folder / "vgg19-dcbb9e9d.pth").write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match="SHA-256 that starts with dcbb9e9d, found"):
        fetch_imagenet_weights(tmp_path, f"{address}/vgg19-dcbb9e9d.pth")


def test_offline_says_where_to_put_the_file(tmp_path: Path) -> None:
    address = "http://127.0.0.1:9/vgg19-dcbb9e9d.pth"  # the discard port: nobody listens
    with pytest.raises(UserError) as refused:
        fetch_imagenet_weights(tmp_path, address)
    assert str(tmp_path / "vgg19-dcbb9e9d.pth") in str(refused.value)
    assert os.listdir(tmp_path) == []


def test_the_published_file_is_meant() -> None:
    assert URL == "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
    assert checksum_of(URL) == "dcbb9e9d"


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch trap-was-sprung",)


def test_a_pickle_in_disguise_is_never_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UserError, match="not a file of VGG19 weights"):
        read_weights(path)
    torch.save({"features.0.weight": Trap()}, path)
    with pytest.raises(UserError, match="not a file of VGG19 weights"):
        read_weights(path)
    assert not (tmp_path / "trap-was-sprung").exists()


def test_wrong_weight_files_are_named(weight_file: Path, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a file"):
        read_weights(tmp_path / "absent.pth")
    truncated = tmp_path / "truncated.pth"
    truncated.write_bytes(weight_file.read_bytes()[:1_000_000])
    with pytest.raises(UserError, match="not a file of VGG19 weights"):
        read_weights(truncated)
    other = tmp_path / "other.pth"
    torch.save({name: value for name, value in state.items() if not name.startswith("features.34")}, other)
    with pytest.raises(UserError, match=r"expected conv15.weight of shape \(512, 512, 3, 3\), found nothing"):
        read_weights(other)


def test_a_damaged_feature_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "vgg19.safetensors"
    path.write_bytes(b"not safetensors")
    with pytest.raises(UserError, match="cannot read the VGG19 features"):
        load_features(path)
    save_file({"conv0.weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"expected conv0\.weight"):
        load_features(path)
