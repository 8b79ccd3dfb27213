"""Epoch checkpoints: model, optimiser and history in one safetensors file, usable by the same job only."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from evenhand.models.vae import VAE
from evenhand.training.adam import Adam
from evenhand.workflow.files import atomic_path

History = list[dict[str, float]]
MOST_OF_TIME = 0.02  # for checkpoints: a training that is never killed shall not wait for them


def seconds_until_next(cost: float, least: float) -> float:
    """The time to train before the next checkpoint, when the last one took `cost` seconds.

    At least `least` seconds, and so many that checkpoints take no more than `MOST_OF_TIME`; 0 where `least` is 0.
    """
    return max(least, cost * (1 / MOST_OF_TIME - 1)) if least else 0.0


def save_checkpoint(path: Path, key: str, model: VAE, optimizer: Adam, history: History) -> None:
    """Write the state after the last epoch of `history`; `key` identifies everything that the weights depend on."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors.update({f"optimizer.{name}": tensor for name, tensor in optimizer.state().items()})
    with atomic_path(path) as temporary:
        # Copies: weights in channels_last order share no storage layout that safetensors can write.
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            temporary,
            metadata={"key": key, "history": json.dumps(history)},
        )


def load_checkpoint(path: Path, key: str, model: VAE, optimizer: Adam) -> History:
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
    saved = _under("optimizer.", tensors)
    for name, tensor in optimizer.state().items():
        tensor.copy_(saved[name])
    history: History = json.loads(metadata["history"])
    print(f"continuing after epoch {len(history)} from {path}")
    return history


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
