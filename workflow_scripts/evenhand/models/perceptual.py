"""The perceptual loss: mean squared differences of VGG19 feature maps (Hou et al. 2017; paper v2, eq. 2).

The features are the outputs of all 16 convolutions before their ReLU. The network is frozen, so only the 16
pairs of weight and bias are kept; they come from `evenhand.models.vgg19` as one safetensors file, and training never
imports torchvision.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand.models import winograd
from evenhand.models.fast import few_channels_convolution, few_pixels_convolution, mean_over_images, mean_square
from evenhand.workflow.errors import UserError

# Output channels of the convolutions of VGG19 (Simonyan and Zisserman 2015, table 1, column E); M: max-pooling.
VGG19_LAYERS: tuple[int | str, ...] = (
    *(64, 64, "M"),
    *(128, 128, "M"),
    *(256, 256, 256, 256, "M"),
    *(512, 512, 512, 512, "M"),
    *(512, 512, 512, 512),
)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def feature_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the 32 tensors of the feature network: `conv0.weight`, `conv0.bias`, ..."""
    channels_in, index = 3, 0
    for layer in VGG19_LAYERS:
        if isinstance(layer, int):
            yield f"conv{index}.weight", (layer, channels_in, 3, 3)
            yield f"conv{index}.bias", (layer,)
            channels_in, index = layer, index + 1


def check_features(tensors: dict[str, Tensor], origin: str) -> None:
    """Raise a `UserError` unless `tensors` are the 32 tensors of VGG19's convolutions; `origin` names their file."""
    for name, shape in feature_shapes():
        found = tuple(tensors[name].shape) if name in tensors else "nothing"
        if found != shape:
            raise UserError(
                f"{origin} does not hold the convolutions of VGG19: expected {name} of shape {shape}, found {found}. "
                "Delete the file and run the perceptual_features rule again."
            )
        if not torch.isfinite(tensors[name].sum()):  # one number: a look at each would take a tenth of a second
            raise UserError(f"{origin} holds a NaN or an infinite number in {name}. Provide an intact file.")


class PerceptualLoss(nn.Module):
    """Mean over the 16 convolutions of the mean squared difference of their outputs."""

    def __init__(self, tensors: dict[str, Tensor], normalize: bool, dtype: torch.dtype = torch.float32) -> None:
        """`tensors` are named as in `feature_shapes`; `normalize` rescales [-1, 1] images as for ImageNet.

        The network is kept as `dtype`, so that autocast, which keeps no copy of frozen weights, has nothing to cast.
        """
        super().__init__()
        self.normalize = normalize
        self.known: tuple[Tensor, KnownTargets, Tensor] | None = None  # a batch, who knows its features, and which
        for name, _ in feature_shapes():
            self.register_buffer(name.replace(".", "_"), tensors[name].to(dtype), persistent=False)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def features(self, x: Tensor) -> Iterator[Tensor]:
        """The outputs of the 16 convolutions for images (B, 3, S, S) in [-1, 1], from first to last."""
        if self.normalize:
            x = ((x + 1) / 2 - self.get_buffer("mean")) / self.get_buffer("std")
        index = 0
        for layer in VGG19_LAYERS:
            if layer == "M":
                x = F.max_pool2d(x, 2)
                continue
            weight, bias = self.get_buffer(f"conv{index}_weight"), self.get_buffer(f"conv{index}_bias")
            if not self.training and winograd.pays(x, weight):  # a training compares the features of one convolution
                x = winograd.convolution(x, weight).add_(bias[:, None, None])
            else:
                x = (few_pixels_convolution if index else few_channels_convolution)(x, weight, bias)
            yield x
            x = F.relu(x)
            index += 1

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch, a scalar. No gradient flows to `target`, whose features may be `known`."""
        if self.known is not None and target is self.known[0]:
            _, targets, places = self.known
            return mean_over_images(lambda x, at: self._mean_to(x, targets.at(at)), reconstruction, places)
        return mean_over_images(self.mean_over_layers, reconstruction, target)

    def mean_over_layers(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """The loss as PyTorch's autograd follows it."""
        # Layer by layer side by side, so that no more than one layer of the target is held.
        return self._mean_to(reconstruction, torch.no_grad()(self.features)(target))

    def _mean_to(self, reconstruction: Tensor, wanted: Iterator[Tensor]) -> Tensor:
        pairs = zip(self.features(reconstruction), wanted, strict=True)
        return torch.stack([mean_square(found, layer) for found, layer in pairs]).mean()

    def pooled(self, x: Tensor) -> Tensor:
        """What pictures are compared by: `pool` of images as in `features`, (B, 512)."""
        for last in self.features(x):
            found = last
        return pool(found)

    def distances(self, reconstruction: Tensor, wanted: Iterable[Tensor]) -> Tensor:
        """The loss of each image of a batch, (B,), to the `features` of as many targets, or of one for all."""
        return self._distances(reconstruction, wanted)[0]

    def distances_and_pooled(self, reconstruction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """`distances` to the features of the targets, and the targets' `pooled`, of one pass of each."""
        distances, last = self._distances(reconstruction, self.features(target))
        return distances, pool(last)

    def _distances(self, reconstruction: Tensor, wanted: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """And the last features that were wanted."""
        found = []
        for layer, expected in zip(self.features(reconstruction), wanted, strict=True):
            found.append((layer - expected).square().mean(dim=(1, 2, 3)))
        return torch.stack(found).mean(dim=0), expected


def pool(last: Tensor) -> Tensor:
    """The last convolution (B, 512, h, w) after its ReLU, mean over its places: (B, 512)."""
    return F.relu(last).mean(dim=(2, 3))


class KnownTargets:
    """The features of all targets of a training, kept: a step then takes those of the reconstructions alone.

    An image's features are the same wherever in a batch of one size it stands, so the bits are those that a step would
    find by itself (tests/test_training.py, and on a GPU tests/test_cuda.py).
    """

    @torch.no_grad()
    def __init__(self, perceptual: PerceptualLoss, n: int, batches: Iterable[tuple[int, Tensor]]) -> None:
        """`batches` of one size, each after the place of its first image, have all `n` images, as in `features`."""
        self.layers: list[Tensor] = []  # (n, h, w, C)
        for first, images in batches:
            for index, layer in enumerate(perceptual.features(images)):
                rows = layer.permute(0, 2, 3, 1)
                if index == len(self.layers):
                    self.layers.append(rows.new_empty(n, *rows.shape[1:]))
                self.layers[index][first : first + len(rows)] = rows

    def at(self, places: Tensor) -> Iterator[Tensor]:
        """As `PerceptualLoss.features` of the images at `places` (B,)."""
        return (layer.index_select(0, places).permute(0, 3, 1, 2) for layer in self.layers)


def values_per_image(side: int) -> int:
    """How many features an image of `side` pixels has."""
    total = 0
    for layer in VGG19_LAYERS:
        if isinstance(layer, int):
            total += layer * side**2
        else:
            side //= 2
    return total


def extractor_of(path: str | Path) -> str:
    """What `PerceptualLoss.pooled` takes features with, in words, from the file that `load_features` reads."""
    with safe_open(path, framework="pt") as file:
        weights = file.metadata()["weights"]
    known = {"imagenet": "trained on ImageNet", "random": "untrained, with random weights: a weak choice"}
    return f"VGG19, last convolution, mean over places ({known.get(weights, f'weights of {Path(weights).name}')})"


def load_features(path: str | Path) -> dict[str, Tensor]:
    """The tensors that `PerceptualLoss` takes, from the safetensors file that the perceptual_features rule wrote.

    Raises:
        UserError: the file is not there, is damaged or holds something else.
    """
    try:
        tensors = load_file(path)
    except Exception as error:  # safetensors raises its own class for a damaged header, OSError for a missing file
        raise UserError(f"cannot read the VGG19 features {path}: {error}. Delete it and run the rule again.") from error
    check_features(tensors, str(path))
    return tensors
