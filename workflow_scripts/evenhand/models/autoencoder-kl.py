"""The autoencoder of a latent diffusion model (Rombach et al. 2022), read from the files in which diffusers saves it.

Pictures that such a generator makes or changes pass through it. The package diffusers is optional.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

import evenhand.workflow.torchvision_import  # noqa: F401 (diffusers imports torchvision; this makes that work everywhere)
from evenhand.models.architecture import Architecture
from evenhand.models.family import Frozen, Reconstruction
from evenhand.models.registry import check_halvings, halvings, saved_autoencoder
from evenhand.models.vae import kl_divergence, reparameterize
from evenhand.workflow.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

# Parts of names of weights as diffusers once wrote them, such as those of Stable Diffusion 1, and as it does now.
RENAMED = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


class AutoencoderKL(Frozen):
    """Pictures from the means of the posterior, in single precision, whatever the precision of the file.

    It gives no prior: the KL divergence has next to no weight in its training, latents are far from N(0, 1), and the
    generator is the diffusion model that makes them. It gives no bound: it was trained by other losses than one.
    """

    TITLE = "variational autoencoder of a latent diffusion model [rombach2022]"
    GIVES = ("latents", "posterior", "samples")
    TRAINED = False
    PACKAGES = ("diffusers",)

    def __init__(self, architecture: Architecture, path: str, saved: Mapping[str, Any] | None = None) -> None:
        """`saved` is what config.json at `path` says, and read from there unless given; weights on disk know it."""
        saved = saved or saved_autoencoder(path)[0]
        super().__init__(architecture, path=path, saved=saved)
        try:
            diffusers: Any = importlib.import_module("diffusers")
            network, unused = diffusers.AutoencoderKL.from_config(saved, return_unused_kwargs=True)
        except Exception as error:  # it raises errors of many kinds: a package of its own, a setting
            raise UserError(f"{path}: diffusers does not build what config.json describes: {error!r}") from error
        strange = [name for name in unused if not name.startswith("_")]
        if strange:
            raise UserError(
                f"{path}: config.json, of diffusers {saved.get('_diffusers_version')}, says {strange[0]}, which the "
                f"installed diffusers {diffusers.__version__} does not know"
            )
        self.network = network

    def prepare(self, images: NDArray[Any], names: Sequence[str]) -> None:
        """Read the weights.

        Raises:
            UserError: the file cannot be read, or does not hold the tensors of the model that config.json describes;
                the side of the pictures cannot be halved as often as the model does that.
        """
        check_halvings(self.options["saved"], images.shape[1])
        file = saved_autoencoder(self.options["path"])[1]
        try:
            tensors = load_file(file)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{file} cannot be read: {error}") from error
        for old, new in RENAMED.items():
            tensors = {name.replace(old, new): tensor for name, tensor in tensors.items()}
        shapes, expected = (
            {name: tuple(tensor.shape) for name, tensor in state.items()}
            for state in (tensors, self.network.state_dict())
        )
        wrong = sorted(name for name in shapes | expected if shapes.get(name) != expected.get(name))
        if wrong:
            raise UserError(
                f"{file}: expected the {len(expected)} tensors of the model that config.json describes; missing, too "
                f"many or of another shape: {len(wrong)}, the first {wrong[0]}, expected "
                f"{expected.get(wrong[0], 'none')}, found {shapes.get(wrong[0], 'none')}"
            )
        self.network.load_state_dict(tensors)

    def noise_shape(self, side: int) -> tuple[int, ...]:
        """That of the latent."""
        small = side // 2 ** halvings(self.options["saved"])
        return (self.network.config.latent_channels, small, small)

    def reconstruct(self, target: Tensor) -> Reconstruction:
        """From the mean latents."""
        found = self.network.encode(target).latent_dist
        divergence = kl_divergence(found.mean, found.logvar)
        return Reconstruction(
            self.decoded(found.mean), latents=found.mean, posterior=(found.mean, found.logvar, divergence)
        )

    def encode(self, target: Tensor) -> Tensor:
        """The mean latents, as the encoder gives them: without the scale by which a generator takes them."""
        mean: Tensor = self.network.encode(target).latent_dist.mean
        return mean

    def sample(self, found: Reconstruction, target: Tensor, noise: Tensor) -> Tensor:
        """The decoding of a latent of the posterior."""
        assert found.posterior is not None
        mean, logvar, _ = found.posterior
        return self.decoded(reparameterize(mean, logvar, noise))

    def decoded(self, latents: Tensor) -> Tensor:
        """Images (B, 3, S, S); what exceeds [-1, 1] is cut off, as diffusers does before it shows a picture."""
        image: Tensor = self.network.decode(latents).sample.clamp(-1, 1)
        return image
