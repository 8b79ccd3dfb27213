"""What a training tells while it runs."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from evenhand.training.checkpoints import History
from evenhand.training.loop import LOSS_TERMS
from evenhand.workflow.errors import UserError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Watch:
    """A line per epoch, on a terminal with a progress bar below it, and TensorBoard where it is asked for."""

    def __init__(self, images: int, epochs: int, epochs_before: int, board: Path | None) -> None:
        """`images` an epoch, of which `epochs_before` were trained earlier; `board` is a folder for TensorBoard."""
        self.images, self.epochs, self.epochs_before = images, epochs, epochs_before
        self.start = time.perf_counter()
        self.board = open_board(board, epochs_before) if board else None
        # Disabled unless standard error is a terminal.
        self.bar = tqdm(total=images * epochs, initial=images * epochs_before, unit=" images", disable=None)

    def step(self, images: int) -> None:
        """After a step on `images`."""
        self.bar.update(images)

    def epoch(self, history: History) -> str:
        """After an epoch; the answer is its line without images/s."""
        terms = "  ".join(f"{name} {history[-1][name]:.4f}" for name in LOSS_TERMS)
        line = f"epoch {len(history)}/{self.epochs}  {terms}"
        rate = self.images * (len(history) - self.epochs_before) / (time.perf_counter() - self.start)
        self.bar.write(f"{line}  {rate:.{0 if rate > 10 else 2}f} images/s")
        self.bar.set_postfix_str(terms)
        if self.board:
            for name in LOSS_TERMS:
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
