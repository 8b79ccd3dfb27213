"""Reads the table of images with all its columns; where the names are enough, `fairgen.images` needs no pandas."""

from pathlib import Path

import pandas as pd


def read_image_table(path: str | Path) -> pd.DataFrame:
    """The table data/images.csv, whose row i describes image i of data/images.npy."""
    return pd.read_csv(path, dtype={"md5hash": str})
