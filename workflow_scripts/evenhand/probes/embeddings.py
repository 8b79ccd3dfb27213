"""Embeddings from a file, with the ids of their rows where it holds them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evenhand.data.foreign_tables import cell_text
from evenhand.probes.tfrecord import Value, read_examples
from evenhand.workflow.errors import UserError

EMBEDDING = "embedding"  # the feature of CXR Foundation's records


@dataclass(frozen=True)
class Embeddings:
    """A matrix (n, d), float32, the ids of its rows as text (None: the file holds none), and in words what was read."""

    matrix: NDArray[np.float32]
    ids: list[str] | None
    columns: tuple[str, ...]
    found: str


def read_embeddings(path: Path, name: str, id_column: str | None, ids: str | None, array: str | None) -> Embeddings:
    """Read a matrix from `.npy`, `.npz`, `.parquet`, `.tfrecord` or a folder of the last.

    Args:
        name: of the source, for messages.
        id_column: what the table calls the ids; None: rows are paired by position.
        ids: what the file calls them, if that is not `id_column`. Without it the only other column or array of texts,
            as many as rows, is taken; without one, of files with one record each, their names.
        array: the matrix in an `.npz`; None: the only one with two dimensions or more. The feature in records; None:
            `embedding`.

    Raises:
        UserError: the file is not there or no such array, or its ids cannot be told.
    """
    if not path.exists():
        raise UserError(f"{name}: {path} is not there; correct the path in probe.sources")
    what = f"{name}: {path}"
    readers = {".npy": _read_npy, ".npz": _read_npz, ".parquet": _read_parquet, ".tfrecord": _read_tfrecords}
    if path.is_dir():
        return _read_tfrecords(path, what, id_column, ids, array)
    if path.suffix not in readers:
        raise UserError(f"{what} is not .npy, .npz, .parquet or .tfrecord")
    return readers[path.suffix](path, what, id_column, ids, array)


def _read_npy(path: Path, what: str, _id: str | None, _ids: str | None, _array: str | None) -> Embeddings:
    with _readable(what):
        values = np.load(path, allow_pickle=False)
    matrix = _matrix(values, what)
    return Embeddings(matrix, None, (), f"{matrix.shape[1]} features")


def _read_npz(path: Path, what: str, id_column: str | None, ids: str | None, array: str | None) -> Embeddings:
    arrays: dict[str, NDArray[np.generic]] = {}
    objects = []
    with _readable(what), np.load(path, allow_pickle=False) as stored:
        for key in stored:
            try:
                arrays[key] = stored[key]
            except ValueError as error:
                if "allow_pickle" not in str(error):
                    raise
                objects.append(key)
    several = [key for key, values in arrays.items() if values.ndim >= 2]
    if array is None and len(several) != 1:
        raise UserError(f"{what} has {len(several)} matrices ({_names(arrays)}); name one of them with `array`")
    chosen = array or several[0]
    wanted = ids or (id_column if id_column in (*arrays, *objects) else None)
    for key in (chosen, *([wanted] if wanted else [])):
        if key in objects:
            raise UserError(
                f"{what}: array {key!r} holds Python objects, which are not read as they can run code; "
                f"store it as numbers or text, numpy.savez(..., {key}=values.astype(str))"
            )
        if key not in arrays:
            raise UserError(f"{what} has no array {key!r}; it has {_names(arrays)}")
    matrix = _matrix(arrays[chosen], what)
    texts = [
        key
        for key, values in arrays.items()
        if key != chosen and values.dtype.kind in "SU" and values.shape == (len(matrix),)
    ]
    found = f"array {chosen!r}, {matrix.shape[1]} features"
    if id_column is None:
        unused = f" (arrays of as many texts, {_names(texts)}, are not used)" if texts else ""
        return Embeddings(matrix, None, (), found + unused)
    if wanted is None and len(texts) > 1:
        raise UserError(
            f"{what} has no array {id_column!r} and several of as many texts as rows: {_names(texts)}; "
            "name the one that holds the ids with `ids`"
        )
    if wanted is None and texts:
        wanted = texts[0]
        found += f"; ids from {wanted!r}, its only array of as many texts as rows, as it has none called {id_column!r}"
    if wanted is None:
        hidden = f"; it has arrays of Python objects, which are not read: {_names(objects)}" if objects else ""
        return Embeddings(matrix, None, (), found + hidden)
    if arrays[wanted].shape != (len(matrix),):
        raise UserError(f"{what}: ids {wanted!r} have shape {arrays[wanted].shape}, the matrix has {len(matrix)} rows")
    with _readable(what):
        own = [_id_text(value) for value in arrays[wanted].tolist()]
    return Embeddings(matrix, own, (), found)


def _read_parquet(path: Path, what: str, id_column: str | None, ids: str | None, _array: str | None) -> Embeddings:
    with _readable(what):
        table = pq.read_table(path)
    index = {name for name in (table.schema.pandas_metadata or {}).get("index_columns", []) if isinstance(name, str)}
    wanted = ids or id_column
    columns = [name for name in table.column_names if name == wanted or name not in index]
    texts = [name for name in columns if not _is_number(table.schema.field(name).type)]
    found = ""
    if wanted is not None and wanted not in columns:
        if ids or len(texts) != 1:
            raise UserError(f"{what} has no column {wanted!r} of ids; its columns that are no numbers: {_names(texts)}")
        wanted = texts[0]
        found = f"; ids from {wanted!r}, its only column that is no number, as it has none called {id_column!r}"
    features = [name for name in columns if name != wanted]
    strange = [name for name in features if name in texts]
    if strange:
        raise UserError(f"{what}: every column but the ids is a feature and needs numbers; not so {_names(strange)}")
    if not features:
        raise UserError(f"{what} has no column of numbers; expected images x features")
    with _readable(what):
        matrix = _matrix(table.select(features).to_pandas().to_numpy(dtype=np.float32), what)
    own = [cell_text(value) for value in table[wanted].to_pylist()] if wanted is not None else None
    return Embeddings(matrix, own, tuple(features), f"{len(features)} features, {features[0]} to {features[-1]}{found}")


def _read_tfrecords(path: Path, what: str, id_column: str | None, ids: str | None, array: str | None) -> Embeddings:
    """Records of one file, or of all files .tfrecord below a folder in the order of their paths."""
    files = sorted(path.rglob("*.tfrecord")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{what} is a folder without files .tfrecord")
    vectors: list[NDArray[np.float32]] = []
    texts: list[str] = []
    named: str | None = ids
    for file in files:
        for number, features in enumerate(read_examples(file)):
            vector = features.get(array or EMBEDDING)
            if not isinstance(vector, np.ndarray):
                raise UserError(
                    f"{what}: {file.name} has no feature {array or EMBEDDING!r} of floats; it has {_names(features)}, "
                    "of which `array` names one"
                )
            if vectors and len(vector) != len(vectors[0]):
                raise UserError(
                    f"{what}: {file.name} has {len(vector)} floats in a record, those before it {len(vectors[0])}"
                )
            if not vectors and named is None and id_column in features:
                named = id_column
            if id_column is not None and named is None and number:
                raise UserError(
                    f"{what}: {file.name} has several records and none of their features, {_names(features)}, is "
                    f"called {id_column!r}; name the one that holds the ids with `ids`"
                )
            vectors.append(vector)
            texts.append(file.stem if named is None else _id_of(features, named, f"{what}: {file.name}"))
    if not vectors:
        raise UserError(f"{what} holds no record")
    source = "names of the files" if named is None else f"feature {named!r}"
    found = f"{len(files):,} files, {len(vectors[0])} features" + (f"; ids from {source}" if id_column else "")
    return Embeddings(_matrix(np.stack(vectors), what), texts if id_column is not None else None, (), found)


def _id_of(features: Mapping[str, Value], name: str, what: str) -> str:
    values = features.get(name)
    if not isinstance(values, list) or len(values) != 1:
        raise UserError(f"{what} needs one text or whole number in the feature {name!r}; it has {_names(features)}")
    return _id_text(values[0])


@contextmanager
def _readable(what: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, EOFError, BadZipFile, OSError, pa.ArrowException) as error:
        raise UserError(f"{what} cannot be read as an array of numbers with ids: {error}") from error


def _matrix(values: NDArray[np.generic], what: str) -> NDArray[np.float32]:
    if values.dtype.kind not in "fiu":
        raise UserError(f"{what} holds {values.dtype}, expected numbers")
    values = values.reshape(len(values), -1) if values.ndim > 2 else values
    if values.ndim != 2 or 0 in values.shape:
        raise UserError(f"{what} has shape {values.shape}; expected images x features")
    return values.astype(np.float32, copy=False)


def _id_text(value: object) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else cell_text(value)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _names(names: object) -> str:
    listed = list(names)  # type: ignore[call-overload]
    return ", ".join(map(repr, listed[:10])) + f" and {len(listed) - 10} more" * (len(listed) > 10) or "none"
