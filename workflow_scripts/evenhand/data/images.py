"""Reads the packed photographs that a manifest names; without pandas, whose import delays the start of a training."""

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenhand.workflow.errors import UserError
from evenhand.workflow.files import read_rows


def read_names(path: str | Path) -> list[str]:
    """The column md5hash of data/images.csv."""
    return [row["md5hash"] for row in read_rows(path)]


def rows_of(md5hashes: Collection[str], packed: Iterable[str]) -> NDArray[np.int64]:
    """Positions in the packed array of the images that a manifest names, in the manifest's order.

    Args:
        md5hashes: the names in the manifest.
        packed: the names in data/images.csv.

    Raises:
        UserError: a named image is not packed.
    """
    positions = {name: row for row, name in enumerate(packed)}
    rows = [positions.get(name, -1) for name in md5hashes]
    missing = [name for name, row in zip(md5hashes, rows, strict=True) if row < 0]
    if missing:
        raise UserError(
            f"{len(missing)} images of the manifest are not among the {len(positions)} packed ones (the first is "
            f"{missing[0]}). The manifest belongs to other data than data/images.csv."
        )
    return np.asarray(rows, dtype=np.int64)


def id_array(ids: Iterable[str]) -> NDArray[np.str_] | NDArray[np.bytes_]:
    """Names of images as an array without Python objects: bytes where they are ASCII, as hashes are, else text."""
    names = np.asarray(list(ids), dtype=str)
    return names.astype("S") if all(name.isascii() for name in names.tolist()) else names


def read_images(path: str | Path, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The photographs at `rows` of data/images.npy: uint8 (n, S, S, 3), RGB. Only these are read from disk."""
    packed = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.ascontiguousarray(packed[rows])
