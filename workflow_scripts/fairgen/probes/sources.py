"""Embeddings with their metadata, from files: whatever made them, the probes see one checked table."""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fairgen.errors import UserError


@dataclass(frozen=True)
class Source:
    """Embedding (n, d), float32 and finite, with its metadata; row i of both is the same image, ordered by id."""

    name: str
    matrix: NDArray[np.float32]
    groups: NDArray[np.int64]
    table: pd.DataFrame


def read_source(
    name: str,
    embeddings: Path,
    metadata: Path,
    id_column: str,
    group_column: str | None,
    array: str | None = None,
    clusters: Path | None = None,
) -> Source:
    """Read and check an embedding and its metadata.

    Args:
        embeddings: `.npy` (rows as in the metadata), `.npz` (the array `array`, ids in an array named like the id
            column if there is one) or `.parquet` (the id column, all other columns are features).
        metadata: CSV or Parquet, one row per image.
        group_column: what must not be split between folds, such as the patient; None: every image by itself.
        clusters: CSV with the id column and a column `cluster`; images in one cluster are one group.

    Raises:
        UserError: a file or column is missing, shapes or ids do not fit, ids repeat, or a feature is not finite or
            constant.
    """
    table = _read_table(metadata, name)
    for column in [id_column, *([group_column] if group_column else [])]:
        if column not in table:
            raise UserError(f"{name}: {metadata} has no column {column!r}; it has {', '.join(table.columns)}")
    ids = _checked_ids(table[id_column], f"{name}: column {id_column} of {metadata}")
    matrix, own_ids = _read_embeddings(embeddings, name, id_column, array)
    if own_ids is None:
        if len(matrix) != len(table):
            raise UserError(
                f"{name}: {embeddings} has {len(matrix)} rows and {metadata} has {len(table)}; "
                "without ids both must list the same images in the same order"
            )
        where = np.arange(len(table))
    else:
        own = pd.Index(_checked_ids(own_ids, f"{name}: ids of {embeddings}"))
        where = own.get_indexer(pd.Index(ids))
        lost, strange = int((where < 0).sum()), len(own) - int((where >= 0).sum())
        if lost or strange:
            raise UserError(
                f"{name}: {lost} ids of {metadata} have no embedding and {strange} embeddings no metadata; "
                f"give both files the same images (first one missing: {ids[where < 0][0] if lost else 'none'})"
            )
    order = np.argsort(ids, kind="stable")
    matrix, table = matrix[where[order]], table.iloc[order].reset_index(drop=True)
    _check_features(matrix, table[id_column], name)
    labels = table[group_column].astype(str) if group_column else table[id_column].astype(str)
    if group_column and labels.isin(["", "nan"]).any():
        raise UserError(
            f"{name}: column {group_column} is empty in some rows of {metadata}; every image needs its group"
        )
    if clusters is not None:
        found = _read_table(clusters, name).set_index(id_column)["cluster"]
        cluster = table[id_column].map(found)
        labels = labels.where(cluster.isna(), "cluster " + cluster.astype(str))
    return Source(name, matrix, pd.factorize(labels, sort=True)[0].astype(np.int64), table)


def _read_table(path: Path, name: str) -> pd.DataFrame:
    _must_exist(path, name)
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
        return table.astype({column: str for column in table.columns if table[column].dtype.kind in "iub"})
    # Text, so that ids keep their leading zeros; targets read numbers where they need them.
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _read_embeddings(
    path: Path, name: str, id_column: str, array: str | None
) -> tuple[NDArray[np.float32], "pd.Series[str] | None"]:
    _must_exist(path, name)
    ids = None
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                key = array or _only_matrix(stored, path, name)
                if key not in stored:
                    raise UserError(f"{name}: {path} has no array {key!r}; it has {', '.join(stored)}")
                values = stored[key]
                if id_column in stored:
                    ids = pd.Series(stored[id_column].astype(str))
        elif path.suffix == ".parquet":
            frame = pd.read_parquet(path)
            if id_column not in frame:
                raise UserError(f"{name}: {path} has no id column {id_column!r}")
            ids = frame.pop(id_column).astype(str)
            values = frame.to_numpy(dtype=np.float32)
        else:
            raise UserError(f"{name}: {path} is not .npy, .npz or .parquet")
    except (ValueError, EOFError, BadZipFile, pa.ArrowException) as error:
        raise UserError(f"{name}: {path} cannot be read as an array of numbers: {error}") from error
    if values.dtype.kind not in "fiu":
        raise UserError(f"{name}: {path} holds {values.dtype}, expected numbers")
    values = values.reshape(len(values), -1) if values.ndim > 2 else values
    if values.ndim != 2 or 0 in values.shape:
        raise UserError(f"{name}: {path} has shape {values.shape}; expected images x features")
    return values.astype(np.float32, copy=False), ids


def _only_matrix(stored: "np.lib.npyio.NpzFile", path: Path, name: str) -> str:
    several = [key for key in stored if stored[key].ndim >= 2]
    if len(several) != 1:
        raise UserError(f"{name}: {path} has {len(several)} matrices ({', '.join(stored)}); name one with `array`")
    return several[0]


def _checked_ids(ids: "pd.Series[str]", what: str) -> NDArray[np.str_]:
    text = ids.astype(str).to_numpy(dtype=str)
    if (text == "").any():
        raise UserError(f"{what}: {int((text == '').sum())} ids are empty; every image needs one")
    names, counts = np.unique(text, return_counts=True)
    if (counts > 1).any():
        raise UserError(f"{what}: {int((counts > 1).sum())} ids appear more than once, such as {names[counts > 1][0]}")
    return text


def _check_features(matrix: NDArray[np.float32], ids: "pd.Series[str]", name: str) -> None:
    bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(bad):
        raise UserError(
            f"{name}: {len(bad)} embeddings hold NaN or infinity, such as that of {ids.iloc[bad[0]]}; drop these images"
        )
    constant = np.flatnonzero(matrix.max(axis=0) == matrix.min(axis=0))
    if len(constant):
        raise UserError(
            f"{name}: {len(constant)} of {matrix.shape[1]} features are the same for all images, such as number "
            f"{constant[0]}; drop these columns"
        )


def _must_exist(path: Path, name: str) -> None:
    if not path.is_file():
        raise UserError(f"{name}: {path} is not there; correct the path in probe.sources")
