"""Where the frozen VGG19 comes from: ImageNet weights, a file of the user, or seeded random numbers."""

from pathlib import Path

import requests
import torch
from torch import Tensor

from evenhand.models.perceptual import check_features, feature_shapes
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import atomic_path, sha256_of
from evenhand.workflow.torchvision_import import vgg

WEIGHTS = vgg.VGG19_Weights.IMAGENET1K_V1
URL: str = WEIGHTS.url
TIMEOUT = (10, 60)  # seconds to connect, and between two packets
CHUNK = 1 << 20


def checksum_of(url: str) -> str:
    """The start of the SHA-256 that torchvision puts into the name of a weight file, as in vgg19-dcbb9e9d.pth."""
    return url.rsplit("-", 1)[1].removesuffix(".pth")


def fetch_imagenet_weights(folder: Path, url: str = URL) -> Path:
    """The published weight file in `folder`, downloaded when it is not there, its checksum verified either way.

    Raises:
        UserError: the download failed, or the checksum does not fit; says where to put the file by hand.
    """
    path = folder / url.rsplit("/", 1)[1]
    if not path.exists():
        print(f"downloading {url}")
        try:
            _download(url, path)
        except (requests.RequestException, OSError) as error:
            raise UserError(
                f"cannot download the VGG19 weights from {url}: {error}. Without network: fetch this file on another "
                f"machine and put it at {path}, or set loss.perceptual_weights to its path."
            ) from error
    found, expected = sha256_of(path), checksum_of(url)
    if not found.startswith(expected):
        raise UserError(
            f"{path} is damaged or another file: expected a SHA-256 that starts with {expected}, found {found[:16]}... "
            "Delete it and run again."
        )
    return path


def read_weights(path: Path) -> dict[str, Tensor]:
    """The convolutions of a VGG19 state dict in torchvision's naming (`features.0.weight`, ...).

    The file is read by PyTorch's restricted loader, which builds tensors and executes nothing else.

    Raises:
        UserError: the file is missing, truncated, holds more than tensors, or another architecture.
    """
    if not path.is_file():
        raise UserError(f"loss.perceptual_weights names {path}, which is not a file. Give a path or 'imagenet'.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the loader raises many classes; each means that the file is not a state dict
        raise UserError(
            f"{path} is not a file of VGG19 weights: {type(error).__name__} while reading it. Expected the "
            "state dict that torchvision publishes (vgg19-dcbb9e9d.pth)."
        ) from error
    tensors = {}
    for number, index in enumerate(_convolutions()):
        for part in ("weight", "bias"):
            tensor = state.get(f"features.{index}.{part}") if isinstance(state, dict) else None
            if isinstance(tensor, Tensor):
                tensors[f"conv{number}.{part}"] = tensor.float().contiguous()
    check_features(tensors, str(path))
    return tensors


def random_weights(seed: int) -> dict[str, Tensor]:
    """Seeded random weights (He et al. 2015, fan-in: features keep their scale through the depth) and zero biases.

    Features of a random network still compare local structure, which is enough to exercise the study where
    the ImageNet weights cannot be had; results obtained with them are not the paper's.
    """
    random = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in feature_shapes():
        if name.endswith("weight"):
            tensors[name] = torch.empty(shape)
            torch.nn.init.kaiming_normal_(tensors[name], mode="fan_in", nonlinearity="relu", generator=random)
        else:
            tensors[name] = torch.zeros(shape)
    return tensors


def _convolutions() -> list[int]:
    """Positions of the convolutions in torchvision's `features` module."""
    with torch.device("meta"):
        layers = vgg.make_layers(vgg.cfgs["E"], batch_norm=False)
    return [index for index, layer in enumerate(layers) if isinstance(layer, torch.nn.Conv2d)]


def _download(url: str, path: Path) -> None:
    with requests.get(url, stream=True, timeout=TIMEOUT) as response, atomic_path(path) as temporary:
        response.raise_for_status()
        with open(temporary, "wb") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
