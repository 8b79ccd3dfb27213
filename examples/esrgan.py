"""A super-resolution network of others, judged: the ESRGAN that the npm package @upscalerjs/esrgan-thick (MIT) ships.

Its file is TensorFlow.js's: model.json, the layers as Keras names them and what each takes, and the weights in binary
files beside it. The network is built from that in PyTorch; every shape is checked against the layers.

    npm pack @upscalerjs/esrgan-thick && tar xzf upscalerjs-esrgan-thick-*.tgz

and in a study (see studies/codec.yaml):

    model:
      family: examples/esrgan.py:ESRGAN
      options: {path: package/models/x4, factor: 4}
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evenhand.models.architecture import Architecture
from evenhand.models.upscale import Upscale
from evenhand.workflow.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


class ESRGAN(Upscale):
    TITLE = "generative super-resolution network (ESRGAN, Wang et al. 2018)"
    GIVES = ()
    TRAINED = False

    def __init__(self, architecture: Architecture, path: str, factor: int = 4) -> None:
        super().__init__(architecture, factor, path=path)
        model = json.loads((Path(path) / "model.json").read_text("utf-8"))
        self.layers = model["modelTopology"]["model_config"]["config"]["layers"]
        self.manifest = model["weightsManifest"]
        self.convolutions = nn.ModuleDict()
        channels: dict[str, int] = {}
        for layer in self.layers:
            name, kind, taken = layer["name"], layer["class_name"], [channels[before] for before in _inputs(layer)]
            if kind == "Conv2D":
                self.convolutions[name] = _convolution(layer["config"], *taken)
            channels[name] = {
                "InputLayer": 3,
                "Conv2D": layer["config"].get("filters"),
                "Concatenate": sum(taken),
                f"PixelShuffle{factor}x": sum(taken) // factor**2,
            }.get(kind, taken[0] if taken else 0)

    def prepare(self, images: NDArray[np.uint8], names: Sequence[str]) -> None:
        """Read the weights."""
        path, parameters = Path(self.options["path"]), self.convolutions.state_dict()
        for group in self.manifest:
            values = np.concatenate([np.fromfile(path / name, dtype="<f4") for name in group["paths"]])
            sizes = [int(np.prod(weight["shape"])) for weight in group["weights"]]
            if sum(sizes) != len(values) or any(weight["dtype"] != "float32" for weight in group["weights"]):
                raise UserError(f"{path}: expected {sum(sizes)} numbers of 32 bits; found {len(values)}")
            ends = np.cumsum([0, *sizes])
            for weight, (first, last) in zip(group["weights"], pairwise(ends), strict=True):
                layer, part = weight["name"].split("/")
                value = torch.from_numpy(values[first:last].reshape(weight["shape"]).copy())
                name = f"{layer}.{'bias' if part == 'bias' else 'weight'}"
                # Keras has rows, columns, channels in, channels out.
                value = value if part == "bias" else value.permute(3, 2, 0, 1)
                if name not in parameters or parameters[name].shape != value.shape:
                    raise UserError(f"{path}: the layers do not have the weights {weight['name']} {weight['shape']}")
                parameters.pop(name).copy_(value)
        if parameters:
            raise UserError(f"{path}: no weights of {', '.join(parameters)}")

    def enlarge(self, small: Tensor) -> Tensor:
        """What the layers make of it, pixels in [0, 1]."""
        found: dict[str, Tensor] = {}
        last = {before: layer["name"] for layer in self.layers for before in _inputs(layer)}
        result = small
        for layer in self.layers:
            name, before = layer["name"], _inputs(layer)
            result = self.computed(layer, [found[one] for one in before] or [(small + 1) / 2])
            found[name] = result
            for one in before:
                if last[one] == name:  # no later layer takes it
                    found.pop(one, None)
        return 2 * result - 1

    def computed(self, layer: dict[str, Any], inputs: list[Tensor]) -> Tensor:
        """What one layer makes of its inputs, (B, C, s, s)."""
        kind, factor = layer["class_name"], self.options["factor"]
        operations: dict[str, Callable[[], Tensor]] = {
            "InputLayer": lambda: inputs[0],
            "Conv2D": lambda: self.convolutions[layer["name"]](inputs[0]),
            "Activation": lambda: F.relu(inputs[0]),
            "Concatenate": lambda: torch.cat(inputs, dim=1),
            "Add": lambda: torch.stack(inputs).sum(dim=0),
            "MultiplyBeta": lambda: inputs[0] * layer["config"]["beta"],
            f"PixelShuffle{factor}x": lambda: _shuffled(inputs[0], factor),
        }
        expected = {"Activation": "relu", "Conv2D": "linear"}.get(kind)
        if kind not in operations or layer["config"].get("activation") != expected:
            raise UserError(f"{self.options['path']}: a layer {kind} {layer['name']} that nobody has written here")
        return operations[kind]()


def _shuffled(values: Tensor, factor: int) -> Tensor:
    """Channels laid out as `factor` x `factor` pixels: TensorFlow has the place first, PyTorch the channel."""
    batch, channels, rows, columns = values.shape
    places = values.view(batch, factor**2, channels // factor**2, rows, columns).transpose(1, 2)
    return F.pixel_shuffle(places.reshape(batch, channels, rows, columns), factor)


def _inputs(layer: dict[str, Any]) -> list[str]:
    """The names of the layers that a layer takes."""
    return [node[0] for nodes in layer["inbound_nodes"] for node in nodes]


def _convolution(config: dict[str, Any], channels: int) -> nn.Conv2d:
    plain = {"padding": "same", "strides": [1, 1], "dilation_rate": [1, 1], "groups": 1}
    other = [key for key, value in plain.items() if config[key] != value]
    if other:
        raise UserError(f"layer {config['name']}: {other[0]} {config[other[0]]} is not written here")
    return nn.Conv2d(channels, config["filters"], config["kernel_size"], padding="same", bias=config["use_bias"])
