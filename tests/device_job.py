"""A job on a machine with GPUs of which PyTorch is made to tell, as a process of its own."""

import contextlib
import io
import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import torch

from evenhand.training import devices
from evenhand.training.devices import leased_device

# Forked from a process that has imported PyTorch, which takes seconds.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch"])


class Lines(io.StringIO):
    """Sends what is printed, line by line."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection, self.begun = connection, ""

    def write(self, text: str) -> int:
        *lines, self.begun = (self.begun + text).split("\n")
        for line in lines:
            self.connection.send(line)
        return len(text)


def hold_device(connection: Connection, folder: Path, order: str, visible: str | None, slots: int, slurm: bool) -> None:
    """Lease one of the GPUs in `order`, one letter each, spelled as `visible`, until something is received."""
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID"):
        os.environ.pop(name, None)
    os.environ.update({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
    os.environ.update({"SLURM_JOB_ID": "7"} if slurm else {})
    os.environ["TMPDIR"] = str(folder)
    devices.SECONDS_BETWEEN_TRIES = 0.01
    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: len(order)
    torch.cuda.set_device = lambda device: None
    torch.cuda.get_device_properties = lambda device: SimpleNamespace(uuid=f"uuid-{order[device]}")  # type: ignore[assignment]
    with contextlib.redirect_stdout(Lines(connection)), leased_device("auto", slots, "testing") as device:
        print("leased", order[device.index])
        connection.recv()


class DeviceJob:
    """A process that holds a GPU until it is told to end."""

    def __init__(self, folder: Path, order: str, visible: str | None, slots: int = 1, slurm: bool = False) -> None:
        self.connection, end = CONTEXT.Pipe()
        self.process = CONTEXT.Process(
            target=hold_device, args=(end, folder, order, visible, slots, slurm), daemon=True
        )
        self.process.start()
        end.close()

    def line(self, beginning: str) -> str:
        """The rest of the next line that begins so; EOFError if the job ends without one."""
        while not (line := str(self.connection.recv())).startswith(beginning):
            pass
        return line.removeprefix(beginning).strip()

    def end(self) -> None:
        self.connection.send("end")
        self.process.join()
        assert self.process.exitcode == 0
