"""Which GPU a job gets where it sees several: on a workstation, or in one Slurm allocation of several GPUs.

Snakemake counts GPUs but assigns none. Each job takes a lock file that stands for one slot of one GPU; the
kernel frees the lock when the process ends, however it ends.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from evenhand.workflow.errors import UserError

SECONDS_BETWEEN_TRIES = 0.5


def visible_devices(count: int) -> list[str]:
    """The GPUs this process may use, as they are spelled: the entries of CUDA_VISIBLE_DEVICES, else 0 .. count - 1.

    Position i is the device that CUDA calls `cuda:i`.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [str(index) for index in range(count)]
    return [name.strip() for name in visible.split(",") if name.strip()][:count]


def lock_folder() -> Path:
    """The folder of the locks, one per user, on this machine's own disk."""
    return Path(tempfile.gettempdir()) / f"evenhand-gpu-{os.getuid()}"


@contextmanager
def lease(names: Sequence[str], slots_per_device: int, folder: Path) -> Iterator[int]:
    """Hold one slot of the least used GPU and yield its position in `names`; wait while all slots are taken.

    A name has to be the same in every process, whichever order it sees the GPUs in.

    Raises:
        UserError: there is no GPU to lease.
    """
    if not names:
        raise UserError("no GPU to use: CUDA_VISIBLE_DEVICES is empty. Unset it, or set device: cpu.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    waiting = False
    while True:
        # Slot by slot, so that a second job goes to the second GPU before it shares the first.
        for slot in range(slots_per_device):
            for position, name in enumerate(names):
                file = open(folder / f"{name.replace('/', '_')}.{slot}.lock", "w")  # noqa: SIM115 (held while leased)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    file.close()
                    continue
                try:
                    yield position
                finally:
                    file.close()
                return
        if not waiting:
            print(f"waiting for one of {len(names)} GPUs with {slots_per_device} slots each (locks in {folder})")
            waiting = True
        time.sleep(SECONDS_BETWEEN_TRIES)
