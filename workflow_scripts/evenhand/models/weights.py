"""Trained weights on disk: safetensors with the architecture beside them, never a pickle."""

import json
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from evenhand.models.vae import VAE, Architecture
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import write_bytes


def save_weights(path: str | Path, model: VAE, architecture: Architecture) -> None:
    """Write the state of `model` and its architecture."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(save(tensors, {"architecture": json.dumps(asdict(architecture))}), path)


def load_weights(path: str | Path) -> tuple[VAE, Architecture]:
    """The trained VAE in `path`, in evaluation mode on the CPU, and its architecture.

    Raises:
        UserError: the file is missing, truncated, or not one that `save_weights` wrote.
    """
    try:
        with safe_open(path, framework="pt") as file:
            architecture = Architecture.from_config(json.loads(file.metadata()["architecture"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        model = VAE(architecture)
        model.load_state_dict(tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{path} does not hold the weights of a trained VAE: {error}. Delete it and run its training again."
        ) from error
    return model.eval(), architecture
