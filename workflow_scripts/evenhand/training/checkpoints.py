"""What a training keeps while it runs, of the same job only: a lock and checkpoints. Later: `workflow.finished`."""

import fcntl
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from evenhand.models.family import Family
from evenhand.models.fast import Adam
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import atomic_path


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`, waiting while another process holds it; the kernel frees it when a process ends.

    On a file system without locks nothing is held, and that is printed.
    """
    with path.open("w") as file:
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"the same training is running already: waiting for {path}")
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            print(f"no locks on this file system ({error}): two jobs of one training would both train")
        yield


History = list[dict[str, float]]
MOST_OF_TIME = 0.02  # for checkpoints: a training that is never killed shall not wait for them


def seconds_until_next(cost: float, least: float) -> float:
    """The time to train before the next checkpoint, when the last one took `cost` seconds.

    At least `least` seconds, and so many that checkpoints take no more than `MOST_OF_TIME`; 0 where `least` is 0.
    """
    return max(least, cost * (1 / MOST_OF_TIME - 1)) if least else 0.0


def save_checkpoint(path: Path, key: str, model: Family, optimizer: Adam, history: History) -> None:
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


def load_checkpoint(path: Path, key: str, model: Family, optimizer: Adam) -> History:
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


if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class ProgressCallback:
    """A line per epoch, on a terminal with a progress bar below it, and TensorBoard where it is asked for."""

    def __init__(self, images: int, epochs: int, epochs_before: int, terms: Sequence[str], board: Path | None) -> None:
        """`images` an epoch, of which `epochs_before` were trained earlier; `board` is a folder for TensorBoard."""
        self.images, self.epochs, self.epochs_before, self.terms = images, epochs, epochs_before, terms
        self.start = time.perf_counter()
        self.board = open_board(board, epochs_before) if board else None
        # Disabled unless standard error is a terminal.
        self.bar = tqdm(total=images * epochs, initial=images * epochs_before, unit=" images", disable=None)

    def step(self, images: int) -> None:
        """After a step on `images`."""
        self.bar.update(images)

    def epoch(self, history: History) -> str:
        """After an epoch; the answer is its line without images/s."""
        terms = "  ".join(f"{name} {history[-1][name]:.4f}" for name in self.terms)
        line = f"epoch {len(history)}/{self.epochs}  {terms}"
        rate = self.images * (len(history) - self.epochs_before) / (time.perf_counter() - self.start)
        self.bar.write(f"{line}  {rate:.{0 if rate > 10 else 2}f} images/s")
        self.bar.set_postfix_str(terms)
        if self.board:
            for name in self.terms:
                self.board.add_scalar(name, history[-1][name], len(history))
            self.board.flush()
        return line

    def close(self) -> float:
        """End the bar; the answer is the seconds since the start."""
        self.bar.close()
        if self.board:
            self.board.close()
        return time.perf_counter() - self.start


def open_board(folder: Path, epochs_before: int) -> "SummaryWriter":
    """A writer for TensorBoard, which hides what an interrupted training wrote after epoch `epochs_before`.

    Raises:
        UserError: the package tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 (optional, and slow to import)
    except ImportError as error:
        raise UserError(
            f"train.tensorboard needs the package tensorboard, which cannot be imported ({error}). Install it "
            "(pip install tensorboard) or set train.tensorboard: false; losses are in history.csv in any case."
        ) from error
    return SummaryWriter(folder, purge_step=epochs_before + 1)
