"""A training that is asked for again although it has ended, or is still running, is not done twice.

This happens on a cluster: Snakemake was killed, its jobs went on, and started again it cannot know of them; or the
evaluation in the same job failed, and the whole job is tried again. Snakemake deletes declared outputs before a job
starts, so a finished training keeps them a second time as hard links, which take no space.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from evenhand.workflow.files import atomic_path, sha256_of, write_json

RECORD = "record.json"


@contextmanager
def sole(path: Path) -> Iterator[None]:
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


def code_fingerprint() -> str:
    """SHA-256 over the running script and every module of this library that it has imported."""
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] in ("__main__", "evenhand")]
    files = sorted({module.__file__ for module in modules if module.__file__})
    return hashlib.sha256("".join(sha256_of(file) for file in files).encode()).hexdigest()


def keep(folder: Path, key: str, products: Sequence[Path]) -> None:
    """Link `products` into `folder`; `key` identifies everything that they depend on, the code included."""
    folder.mkdir(exist_ok=True)
    (folder / RECORD).unlink(missing_ok=True)
    for product in products:
        _link(product, folder / product.name)
    write_json({"key": key, "sha256": _hashes(folder, products)}, folder / RECORD)


def restore(folder: Path, key: str, products: Sequence[Path]) -> bool:
    """Put back `products` from `folder` if the training of the same `key` has ended; whether it had.

    They are used only as they were kept: a link shares its bytes with the product, which something may have damaged.
    """
    try:
        kept = json.loads((folder / RECORD).read_text())
        if kept != {"key": key, "sha256": _hashes(folder, products)}:
            return False
    except (OSError, ValueError):
        return False
    for product in products:
        _link(folder / product.name, product)
        os.utime(product)  # newer than its inputs, as a product is
    print(f"this training has ended before; its products were put back from {folder}")
    return True


def _hashes(folder: Path, products: Sequence[Path]) -> dict[str, str]:
    return {product.name: sha256_of(folder / product.name) for product in products}


def _link(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:  # a file system without hard links
            shutil.copy2(source, temporary)
