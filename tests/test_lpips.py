"""LPIPS is that of its package, zero for equal images, and no other file passes for its weights."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import evenhand.workflow.torchvision_import  # noqa: F401 (lpips imports torchvision; this makes that work everywhere)
from evenhand.models.lpips import NETWORKS, Convolution, Lpips, Network, load_lpips
from evenhand.workflow.errors import UserError

# Of one 1x1 convolution a slice; max-pooling before the second alone.
PLACES = (0, 3, 5, 7, 9)
TINY = Network("tiny", tuple((Convolution(place, 2, 1, 1, 0),) for place in PLACES), pool=2, smallest=2)


def weights(network: Network, seed: int = 0) -> dict[str, Tensor]:
    """Random weights (He et al. 2015) under the names of the package."""
    random = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in network.shapes():
        values = torch.randn(shape, generator=random) * np.sqrt(2 / np.prod(shape[1:]))
        found[name] = values.abs() if name.startswith(("lin", "scaling_layer.scale")) else values
    return found


def images(n: int, side: int, seed: int = 1) -> Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def saved(path: Path, state: Mapping[str, Tensor]) -> Path:
    torch.save(dict(state), path)
    return path


@torch.no_grad()
@pytest.mark.parametrize("network", NETWORKS, ids=[network.name for network in NETWORKS])
def test_zero_for_equal_images_symmetric_and_one_target_for_all(tmp_path: Path, network: Network) -> None:
    model = load_lpips(saved(tmp_path / "lpips.pth", weights(network)), network.smallest)
    assert model.network is network
    one, other = images(3, network.smallest), images(3, network.smallest, seed=2)
    assert model.distances(one, model.features(one)).tolist() == [0, 0, 0]
    there, back = model.distances(one, model.features(other)), model.distances(other, model.features(one))
    assert (there > 0).all()
    torch.testing.assert_close(there, back)
    torch.testing.assert_close(model.distances(one, model.features(other[:1]))[:1], there[:1])


@torch.no_grad()
def test_a_tiny_network_by_hand() -> None:
    """Each slice gives (r, g) of the first, so that of two pictures of one colour each slice says the same."""
    state = {name: torch.zeros(shape) for name, shape in TINY.shapes()}
    state["scaling_layer.scale"] += 1
    state["scaling_layer.shift"] += 0.25
    for number, place in enumerate(PLACES):
        state[f"net.slice{number + 1}.{place}.weight"][[0, 1], [0, 1]] = 1
        state[f"lin{number}.model.1.weight"][0, :, 0, 0] = torch.tensor([1.0, 10.0])
    model = Lpips(TINY, state)
    one, other = torch.zeros(2, 1, 3, 2, 2)
    one[0, 0] = 0.25 + 0.3
    one[0, 1] = 0.25 + 0.4  # (0.6, 0.8) of length 1
    other[0, 0] = 0.25 + 0.7
    other[0, 1] = 0.25 - 0.7  # (1, 0) after ReLU
    found = model.distances(one, model.features(other)).item()
    assert found == pytest.approx(5 * (0.4**2 + 10 * 0.8**2), rel=1e-5)
    # In a quarter of the places alone: the first slice finds a quarter, those after pooling what the largest says.
    other[:, :, 0, 1] = one[:, :, 0, 1]
    other[:, :, 1] = one[:, :, 1]
    pooled = np.array([0.7, 0.4]) / np.hypot(0.7, 0.4) - [0.6, 0.8]
    expected = (0.4**2 + 10 * 0.8**2) / 4 + 4 * (pooled[0] ** 2 + 10 * pooled[1] ** 2)
    assert model.distances(one, model.features(other)).item() == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("network", NETWORKS, ids=[network.name for network in NETWORKS])
def test_numbers_are_those_of_the_package(tmp_path: Path, network: Network) -> None:
    """With the linear weights that the package brings along, which were learned, and a random network."""
    package = pytest.importorskip("lpips", reason="lpips is optional and not installed")
    torch.manual_seed(0)
    reference = package.LPIPS(net=network.name, pnet_rand=True, verbose=False)
    model = load_lpips(saved(tmp_path / "lpips.pth", reference.state_dict()), network.smallest)
    for side in (network.smallest, 64):
        one, other = images(2, side), images(2, side, seed=2)
        expected = reference(one, other).flatten()
        torch.testing.assert_close(model.distances(one, model.features(other)), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("network", NETWORKS, ids=[network.name for network in NETWORKS])
def test_images_too_small_for_a_network_are_refused(tmp_path: Path, network: Network) -> None:
    file, small = saved(tmp_path / "lpips.pth", weights(network)), network.smallest - 1
    with pytest.raises(UserError, match=rf"{network.name} of .* needs images of {small + 1} px; these have {small}"):
        load_lpips(file, small)
    with pytest.raises(RuntimeError):  # PyTorch's own refusal: the limit is where it has to be
        list(Lpips(network, weights(network)).features(images(1, small)))


def test_what_is_no_lpips_is_refused_with_how_to_make_one(tmp_path: Path) -> None:
    whole, alex = (weights(network) for network in NETWORKS)
    broken = alex["net.slice3.6.bias"].clone().index_fill_(0, torch.tensor([5]), np.nan)
    file = tmp_path / "lpips.pth"
    for state, message in [
        ({name: tensor for name, tensor in whole.items() if name != "lin4.model.1.weight"}, "no LPIPS of vgg or alex"),
        ({name: tensor for name, tensor in whole.items() if name.startswith("lin")}, "no LPIPS of vgg or alex"),
        (whole | {"lin0.model.1.weight": torch.ones(1, 65, 1, 1)}, "no LPIPS of vgg or alex"),
        (alex | {"net.slice3.6.bias": broken}, "a NaN or an infinite number in net.slice3.6.bias"),
        (alex | {"lin2.model.1.weight": -alex["lin2.model.1.weight"]}, "negative weights in lin2.model.1.weight"),
    ]:
        saved(file, state)
        with pytest.raises(UserError, match=rf"^evaluate.lpips: .*{message}.*torch.save\(lpips.LPIPS"):
            load_lpips(file, 64)
    torch.save(list(alex.values()), file)
    with pytest.raises(UserError, match="no LPIPS of vgg or alex"):
        load_lpips(file, 64)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match="while reading"):
        load_lpips(file, 64)
    torch.save({"net": torch.nn.Linear(2, 2)}, file)  # would run code
    with pytest.raises(UserError, match="UnpicklingError while reading"):
        load_lpips(file, 64)
    with pytest.raises(UserError, match="which is not a file"):
        load_lpips(tmp_path / "nothing.pth", 64)
