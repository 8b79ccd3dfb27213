"""What a model family is, and weights on disk: safetensors with family and architecture inside, never a pickle."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from evenhand.models.architecture import Architecture
from evenhand.models.registry import Declared, check_packages, declared
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import sha256_of, write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from evenhand.models.perceptual import PerceptualLoss
    from evenhand.training.recipe import Recipe


@dataclass(frozen=True)
class Reconstruction:
    """What a model makes of a batch of images, on its device; None: its family does not give it.

    image: (B, 3, S, S) in [-1, 1]; latents: (B, C, s, s), the same for the same image; posterior: mean and log-variance
    of the latents and the KL divergence of each to the prior, all shaped like these; bound: negative evidence lower
    bound in nats, but for a constant, (B,); last_layer: the convolution whose tanh is the image, and what it takes;
    code_distance: mean squared distance of the latents to their codes, (B,); bits: of its file per pixel, (B,).
    """

    image: Tensor
    latents: Tensor | None = None
    posterior: tuple[Tensor, Tensor, Tensor] | None = None
    bound: Tensor | None = None
    last_layer: tuple[nn.Conv2d, Tensor] | None = None
    code_distance: Tensor | None = None
    bits: Tensor | None = None


class Family(nn.Module, ABC):
    """A kind of generative model: what the workflow asks of a network of (B, 3, S, S) images in [-1, 1].

    The first four are literals, which are read without importing the class. TITLE and LOSS say in words what it is ("a
    ...", with what is cited in brackets) and what it minimises but for the perceptual loss, with the keys of the block
    `loss` as fields. TERMS names what `training_terms` gives, the first is `loss`; `kl` and `perceptual` are those that
    `loss.kl_scale` and `loss.feature_scale` weigh. GIVES names what there is beside the image of a `Reconstruction`
    (keys of `evenhand.models.registry.GIVEN`): what rests on the others is not applicable. GRAPH says whether a step of
    training on a GPU may be recorded as one graph; one that looks at values on its way may not. Literals as well are
    TRAINED, false of a `Frozen` family, which needs neither LOSS nor TERMS, and PACKAGES, which the family imports and
    the workflow does not need.
    """

    TITLE: ClassVar[str]
    LOSS: ClassVar[str]
    TERMS: ClassVar[tuple[str, ...]]
    GIVES: ClassVar[tuple[str, ...]]
    GRAPH: ClassVar[bool] = False
    TRAINED: ClassVar[bool] = True
    PACKAGES: ClassVar[tuple[str, ...]] = ()

    def __init__(self, architecture: Architecture, **options: Any) -> None:  # noqa: ANN401 (any YAML value)
        """`options` are those of `model.options` of a configuration, of which a family has its own."""
        super().__init__()
        self.architecture, self.options = architecture, options

    @abstractmethod
    def noise_shape(self, side: int) -> tuple[int, ...]:
        """Shape of the N(0, 1) noise that the training on an image of `side` pixels takes, and a sample."""

    @abstractmethod
    def training_terms(
        self, target: Tensor, noise: Tensor, perceptual: PerceptualLoss | None, recipe: Recipe
    ) -> Tensor:
        """The scalars of `TERMS` of a batch, (terms,), for `noise` (B, *noise_shape); the first is minimised."""

    @abstractmethod
    def reconstruct(self, target: Tensor) -> Reconstruction:
        """What the model makes of a batch, without chance."""

    def encode(self, target: Tensor) -> Tensor:
        """The `latents` of a batch alone; of who gives latents."""
        raise NotImplementedError

    def sample(self, found: Reconstruction, target: Tensor, noise: Tensor) -> Tensor:
        """A reconstruction by chance of what `found` is the one without, for `noise`; of who gives samples."""
        raise NotImplementedError

    def generate(self, noise: Tensor) -> Tensor:
        """Images of none, for `noise`; of who gives a prior."""
        raise NotImplementedError


class Frozen(Family):
    """A kind of model that is not trained here: its options say all of it, and files of the user what it knows.

    An option `path` names such a file or folder, whose content the workflow watches. A subclass repeats TRAINED.
    """

    LOSS = ""
    TERMS = ()
    TRAINED = False

    def prepare(self, images: NDArray[np.uint8], names: Sequence[str]) -> None:
        """Take in what files hold, once, before the model is written: parameters and buffers alone are kept.

        Args:
            images: on which it will be tested, (n, S, S, 3).
            names: their ids.
        """

    def noise_shape(self, side: int) -> tuple[int, ...]:
        """It takes none."""
        return (0,)

    def training_terms(
        self, target: Tensor, noise: Tensor, perceptual: PerceptualLoss | None, recipe: Recipe
    ) -> Tensor:
        """There are none."""
        raise NotImplementedError


def family_class(family: str) -> type[Family]:
    """The class that `model.family` of a configuration names.

    Raises:
        UserError: there is none (`declared`), its file cannot be imported, or it is no `Family`.
    """
    where = declared(family)
    if where.own:
        specification = importlib.util.spec_from_file_location(f"evenhand_family_{where.path.stem}", where.path)
        assert specification is not None
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        try:
            specification.loader.exec_module(module)
        except Exception as error:  # whatever the user's code raises
            raise UserError(f"model.family: {where.path} cannot be imported: {error!r}") from error
    else:
        module = importlib.import_module(f"evenhand.models.{family}")
    found = getattr(module, where.name)
    if not issubclass(found, Family):
        raise UserError(f"model.family: expected {family} to be a subclass of evenhand.models.family.Family")
    return found


def build(model: Mapping[str, Any]) -> Family:
    """The untrained model that the `model` block of a configuration describes; without a family it is the paper's VAE.

    Raises:
        UserError: there is no such family, a package of it is not installed, or it does not take these options.
    """
    family, options = model.get("family", "vae"), model.get("options", {})
    check_packages(family)
    found = family_class(family)
    try:
        return found(Architecture.from_config(model), **options)
    except TypeError as error:
        raise UserError(f"model.options: {family} does not take {options}: {error}") from error


def parameter_count(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def made_with(family: Declared) -> dict[str, Any]:
    """Of the record of a model: the sum of a user's own family, and the versions behind it."""
    versions = {"python": sys.version.split()[0], "torch": torch.__version__, "numpy": np.__version__}
    versions |= {name: getattr(importlib.import_module(name), "__version__", "unknown") for name in family.packages}
    return {"versions": versions} | ({"family_sha256": sha256_of(family.path)} if family.own else {})


def save_weights(path: str | Path, model: Family, family: str = "vae") -> None:
    """Write the state of `model`, its architecture, and `family` (as in a configuration) with its options.

    Files of the paper's VAE have always been written without the last two: the same training gives the same bytes.
    """
    described = asdict(model.architecture)
    if family != "vae":
        described |= {"family": family, "options": model.options}
    tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    # One entry: the order of several is not the same in every file.
    write_bytes(save(tensors, {"architecture": json.dumps(described)}), path)


def load_weights(path: str | Path) -> Family:
    """The trained model in `path`, in evaluation mode on the CPU.

    Raises:
        UserError: the file is missing, truncated, or not one that `save_weights` wrote, or its family is not there.
    """
    try:
        with safe_open(path, framework="pt") as file:
            described = json.loads(file.metadata()["architecture"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        model = build(described)
        model.load_state_dict(tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{path} does not hold the weights of a trained model: {error}. Delete it and run its training again."
        ) from error
    return model.eval()
