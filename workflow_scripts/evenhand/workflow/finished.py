"""Jobs that are not done twice: what one has made is taken over wherever all that decides it is the same.

In the same study: on a cluster Snakemake was killed, its jobs went on, and started again it cannot know of them; or
the evaluation in the same job as a training failed, and both are tried again. In another study below results/: variants
of a design have photographs, or whole trainings, in common. Snakemake deletes declared outputs before a job starts, so
a finished job keeps them a second time as hard links, which take no space.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from evenhand.workflow.files import atomic_path, sha256_of, write_json

RECORD = "record.json"
RESULTS = "results"  # of all studies, in the folder in which Snakemake works


def key_of(decides: Mapping[str, object]) -> str:
    """A hash of all that decides on the products of the running job.

    Args:
        decides: settings, and the sums of what is read; no path that differs between equal jobs. The code that the job
            has imported and the versions of all that is installed are added.
    """
    # By the names of their folders, such as numpy-2.4.0.dist-info: to read what is in 100 of them takes longer.
    installed = sorted(found.name for place in sys.path for found in Path(place).glob("*-*.*-info"))
    return hashlib.sha256(json.dumps([decides, sys.version, installed, _code()], sort_keys=True).encode()).hexdigest()


def _code() -> str:
    """SHA-256 over the running script and every module of this library that it has imported."""
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] in ("__main__", "evenhand")]
    files = sorted({file for module in modules if (file := getattr(module, "__file__", None))})
    return hashlib.sha256("".join(sha256_of(file) for file in files).encode()).hexdigest()


def cache_products(folder: Path, key: str, products: Sequence[Path]) -> None:
    """Link `products` into `folder`; `key` identifies everything that they depend on, the code included."""
    folder.mkdir(exist_ok=True)
    (folder / RECORD).unlink(missing_ok=True)
    for product in products:
        _link(product, kept(folder, product))
    write_json({"key": key, "sha256": _hashes(folder, products)}, folder / RECORD)


def kept(folder: Path, product: Path) -> Path:
    """Where in `folder` a product is kept; those of one job may have one name in two folders."""
    return folder / f"{product.parent.name}.{product.name}"


def restore_products(folder: Path, key: str, products: Sequence[Path]) -> bool:
    """Put back `products` if a job of the same `key` has ended, in this study or another one; whether one had.

    They are used only as they were kept: a link shares its bytes with the product, which something may have damaged.

    Args:
        folder: of this job: results/<study>/... In other studies the same folder is looked into.
        key: from `key_of`.
        products: the names that they get; those in other studies are called the same.
    """
    for found in (folder, *_elsewhere(folder)):
        try:
            record = json.loads((found / RECORD).read_text())
            if record["key"] != key or record["sha256"] != _hashes(found, products):
                continue
        except (OSError, ValueError, KeyError):
            continue
        for product in products:
            _link(kept(found, product), product)
            os.utime(product)  # newer than its inputs, as a product is
        if found != folder:
            cache_products(folder, key, products)
        print(f"this has been done before; its products were put back from {found}")
        return True
    return False


def make_once(
    folder: Path | None,
    settings: object,
    read: Sequence[str | Path],
    products: Sequence[Path],
    make: Callable[[], None],
) -> None:
    """Call `make`, which writes `products`, unless an equal job has ended (see `restore_products`).

    Equal are jobs of the same `settings`, of files of the same bytes to `read`, and of the same code. Without a folder
    nothing is kept, and `make` is called.
    """
    if folder is None:
        make()
        return
    key = key_of({"settings": settings, "read": [sha256_of(path) for path in read]})
    if not restore_products(folder, key, products):
        make()
        cache_products(folder, key, products)


def _elsewhere(folder: Path) -> list[Path]:
    results, *below = folder.parts
    if results != RESULTS:
        return []
    return sorted(path for path in Path(results).glob(str(Path("*", *below[1:]))) if path != folder)


def _hashes(folder: Path, products: Sequence[Path]) -> dict[str, str]:
    return {kept(folder, product).name: sha256_of(kept(folder, product)) for product in products}


def _link(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:  # a file system without hard links
            shutil.copy2(source, temporary)
