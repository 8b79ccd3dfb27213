"""Reads tables of images with all their columns; where the names are enough, `fairgen.images` needs no pandas."""

from pathlib import Path

import pandas as pd


def read_image_table(path: str | Path) -> pd.DataFrame:
    """A table with a column md5hash: data/images.csv (row i describes image i of data/images.npy), a manifest ..."""
    return pd.read_csv(path, dtype={"md5hash": str})
