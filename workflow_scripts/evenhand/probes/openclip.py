"""Image embeddings from an open_clip model, such as BiomedCLIP. open_clip is an optional dependency."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from evenhand.workflow.errors import UserError
from evenhand.workflow.planning import local_folder

BIOMEDCLIP = "hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
Preprocess = Callable[[Image.Image], torch.Tensor]


def load_openclip(name: str) -> tuple[torch.nn.Module, Preprocess]:
    """The pretrained model of that name with its preprocessing; downloaded once, then from the local cache.

    Raises:
        UserError: open_clip is not installed, or the model cannot be had.
    """
    # open_clip imports torchvision; this makes that work everywhere.
    import evenhand.workflow.torchvision_import  # noqa: F401, PLC0415 (takes seconds, and few need it)

    try:
        open_clip: Any = importlib.import_module("open_clip")
    except ImportError as error:
        raise UserError(
            f"{name} needs the package open_clip_torch ({error}); "
            "install it (pip install open_clip_torch transformers) or take it out of the configuration"
        ) from error
    try:
        model, preprocess = open_clip.create_model_from_pretrained(name)
    except Exception as error:  # its back ends raise errors of many kinds: network, cache, name, package
        found = f"{name} could not be loaded ({type(error).__name__}: {next(iter(str(error).splitlines()), '')})"
        if local_folder(name):
            raise UserError(f"{found}. Expected the files of an open_clip model in that folder") from error
        raise UserError(
            f"{found}. The name is that of open_clip, such as {BIOMEDCLIP}; the first use needs a network, later ones "
            "the cache in HF_HOME. Without a network copy the cache from a machine that has one, or name a folder with "
            "the files of the model: local-dir:FOLDER"
        ) from error
    answer: tuple[torch.nn.Module, Preprocess] = model, preprocess
    return answer


def embed_images(
    model: torch.nn.Module,
    preprocess: Preprocess,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    device: torch.device,
    batch_size: int = 64,
) -> NDArray[np.float32]:
    """Embeddings (rows, features), not normalised, of `rows` of uint8 images (n, side, side, 3)."""
    model = model.to(device).eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            pictures = [preprocess(Image.fromarray(images[row])) for row in rows[start : start + batch_size]]
            encoded: torch.Tensor = model.encode_image(torch.stack(pictures).to(device))  # type: ignore[operator]
            parts.append(encoded.float().cpu().numpy())
    return np.concatenate(parts)
