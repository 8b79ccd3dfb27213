"""Epoch checkpoints: model, optimiser and history in one safetensors file, usable by the same job only."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fairgen.files import atomic_path
from fairgen.model import VAE

History = list[dict[str, float]]


def save_checkpoint(path: Path, key: str, model: VAE, optimizer: torch.optim.Optimizer, history: History) -> None:
    """Write the state after the last epoch of `history`; `key` identifies everything that the weights depend on."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors.update({f"optimizer.{index}.{name}": value for name, value in state.items()})
    with atomic_path(path) as temporary:
        # Copies: weights in channels_last order share no storage layout that safetensors can write.
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            temporary,
            metadata={"key": key, "history": json.dumps(history)},
        )


def load_checkpoint(path: Path, key: str, model: VAE, optimizer: torch.optim.Optimizer) -> History:
    """Restore model and optimiser in place and return the history; an empty one when there is nothing to continue.

    A checkpoint of another job, configuration or data (another `key`) or a damaged file is not used; what
    was found is printed.
    """
    if not path.exists():
        return []
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            if metadata.get("key") != key:
                print(f"{path} belongs to another configuration or data set: starting from the first epoch")
                return []
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        print(f"{path} cannot be read ({error}): starting from the first epoch")
        return []
    model.load_state_dict(_under("model.", tensors))
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, tensor in _under("optimizer.", tensors).items():
        index, entry = name.split(".")
        parameter = parameters[int(index)]
        if entry == "step":
            optimizer.state[parameter][entry] = tensor.to(parameter.device)
        else:
            # The fused optimiser walks through memory: moments need the strides of their parameter.
            optimizer.state[parameter][entry] = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
    history: History = json.loads(metadata["history"])
    print(f"continuing after epoch {len(history)} from {path}")
    return history


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
