"""LPIPS, learned perceptual image patch similarity (Zhang et al. 2018, eq. 1), with weights from a file of the user.

The file is the state dict of version 0.1 in the PyPI package `lpips`, by VGG16 or AlexNet; neither that package nor
torchvision is needed to use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand.workflow.errors import UserError

EPSILON = 1e-10  # of a norm, as in the package


class Convolution(NamedTuple):
    """A convolution, followed by ReLU: its place in torchvision's `features`, output channels, side of its kernel."""

    place: int
    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1


class Network(NamedTuple):
    """What the package calls `net`: its five slices, each compared at its end, and the side of max-pooling (stride 2).

    smallest: side in pixels of the smallest images from which the last slice has a place left.
    """

    name: str
    slices: tuple[tuple[Convolution, ...], ...]
    pool: int
    smallest: int

    def shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes of the tensors that are needed, as in the package's state dict."""
        yield from ((f"scaling_layer.{name}", (1, 3, 1, 1)) for name in ("shift", "scale"))
        channels = 3
        for number, convolutions in enumerate(self.slices):
            for convolution in convolutions:
                name = f"net.slice{number + 1}.{convolution.place}"
                yield f"{name}.weight", (convolution.channels, channels, convolution.kernel, convolution.kernel)
                yield f"{name}.bias", (convolution.channels,)
                channels = convolution.channels
            yield f"lin{number}.model.1.weight", (1, channels, 1, 1)


# Simonyan and Zisserman 2015, table 1, column D; Krizhevsky 2014.
NETWORKS = (
    Network(
        "vgg",
        (
            (Convolution(0, 64), Convolution(2, 64)),
            (Convolution(5, 128), Convolution(7, 128)),
            (Convolution(10, 256), Convolution(12, 256), Convolution(14, 256)),
            (Convolution(17, 512), Convolution(19, 512), Convolution(21, 512)),
            (Convolution(24, 512), Convolution(26, 512), Convolution(28, 512)),
        ),
        pool=2,
        smallest=16,
    ),
    Network(
        "alex",
        (
            (Convolution(0, 64, 11, 4, 2),),
            (Convolution(3, 192, 5, 1, 2),),
            (Convolution(6, 384),),
            (Convolution(8, 256),),
            (Convolution(10, 256),),
        ),
        pool=3,
        smallest=31,
    ),
)


class Lpips(nn.Module):
    """The distance of images that a network and weights of its channels find."""

    def __init__(self, network: Network, tensors: dict[str, Tensor]) -> None:
        """`tensors` are named as in `Network.shapes`."""
        super().__init__()
        self.network = network
        for name, _ in network.shapes():
            self.register_buffer(name.replace(".", "_"), tensors[name].float(), persistent=False)

    def features(self, x: Tensor) -> Iterator[Tensor]:
        """For images (B, 3, S, S) in [-1, 1] the outputs of the five slices, of length 1 at each place."""
        x = (x - self.get_buffer("scaling_layer_shift")) / self.get_buffer("scaling_layer_scale")
        last = 0
        for number, convolutions in enumerate(self.network.slices, start=1):
            for place, _, _, stride, padding in convolutions:
                if place - last > 2:  # than a convolution and its ReLU
                    x = F.max_pool2d(x, self.network.pool, stride=2)
                name = f"net_slice{number}_{place}"
                weight, bias = self.get_buffer(f"{name}_weight"), self.get_buffer(f"{name}_bias")
                x, last = F.relu(F.conv2d(x, weight, bias, stride, padding)), place
            yield x / (x.square().sum(dim=1, keepdim=True).sqrt() + EPSILON)

    def distances(self, reconstruction: Tensor, wanted: Iterable[Tensor]) -> Tensor:
        """Of each image of a batch, (B,), to the `features` of as many targets, or of one for all."""
        found = zip(self.features(reconstruction), wanted, strict=True)
        return torch.stack(
            [
                ((one - other).square() * self.get_buffer(f"lin{number}_model_1_weight")).sum(dim=1).mean(dim=(1, 2))
                for number, (one, other) in enumerate(found)
            ]
        ).sum(dim=0)


def load_lpips(path: str | Path, side: int) -> Lpips:
    """The network of a file for images of `side` pixels; which one it is the shapes of its tensors tell.

    The file is read by PyTorch's restricted loader, which builds tensors and executes nothing else.

    Raises:
        UserError: the file is missing, damaged or holds something else, or the images are too small for it.
    """
    expected = (
        "Expected the state dict of the PyPI package lpips, version 0.1, net vgg or alex, as "
        'torch.save(lpips.LPIPS(net="vgg").state_dict(), "lpips.pth") writes it.'
    )
    if not Path(path).is_file():
        raise UserError(f"evaluate.lpips names {path}, which is not a file. {expected}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the loader raises many classes; each means that the file is not a state dict
        raise UserError(f"evaluate.lpips: {type(error).__name__} while reading {path}. {expected}") from error
    tensors = state if isinstance(state, dict) else {}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items() if isinstance(tensor, Tensor)}
    network = next((known for known in NETWORKS if dict(known.shapes()).items() <= found.items()), None)
    if network is None:
        raise UserError(f"evaluate.lpips: {path} holds no LPIPS of vgg or alex. {expected}")
    for name, _ in network.shapes():
        if not torch.isfinite(tensors[name]).all():
            raise UserError(f"evaluate.lpips: {path} holds a NaN or an infinite number in {name}. {expected}")
        if name.startswith("lin") and (tensors[name] < 0).any():  # such a distance could fall with the damage
            raise UserError(
                f"evaluate.lpips: {path} holds negative weights in {name}, which were not learned. {expected}"
            )
    if side < network.smallest:
        raise UserError(
            f"evaluate.lpips: {network.name} of {path} needs images of {network.smallest} px; these have {side}."
        )
    return Lpips(network, tensors)
