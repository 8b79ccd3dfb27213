"""Reads the packed photographs that a manifest names."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairgen.errors import UserError


def read_index(path: str | Path) -> pd.DataFrame:
    """data/images.csv: row i describes image i of data/images.npy."""
    return pd.read_csv(path, dtype={"md5hash": str})


def read_manifest(path: str | Path) -> pd.DataFrame:
    """splits/run<r>.csv: run, role, group, md5hash."""
    return pd.read_csv(path, dtype={"md5hash": str})


def rows_of(md5hashes: pd.Series, index: pd.DataFrame) -> NDArray[np.int64]:
    """Positions in the packed array of the images that a manifest names, in the manifest's order.

    Raises:
        UserError: a named image is not in the index.
    """
    positions = pd.Index(index["md5hash"]).get_indexer(md5hashes)
    if (positions < 0).any():
        missing = md5hashes[positions < 0]
        raise UserError(
            f"{len(missing)} images of the manifest are not among the {len(index)} packed ones (the first is "
            f"{missing.iloc[0]}). The manifest belongs to other data: delete results of the splits stage and run again."
        )
    return np.asarray(positions, dtype=np.int64)


def read_images(path: str | Path, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The photographs at `rows` of data/images.npy: uint8 (n, S, S, 3), RGB. Only these are read from disk."""
    packed = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.ascontiguousarray(packed[rows])
