"""Manifests of images, the packed rows that they name, and whether a model was trained on others than those.

Without pandas, whose import delays the start of a training.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenhand.splits.design import Drawn
from evenhand.splits.groups import FROZEN
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import read_rows, row_writer, sha256_of, verify_checksum, write_checksums

COLUMNS = ["run", "role", "group", "id"]


def role_of(group: str, train_set: str | None) -> str:
    """What a drawn image of a group is for: a training set, or (None) the test set of its group."""
    return f"test_{group}" if train_set is None else f"train_{train_set}"


def write_draw(drawn: Drawn, run: int, train_set: str | None, path: str | Path) -> None:
    """Write one row per drawn image, group by group: a training set, or (None) the test sets."""
    with row_writer(path, COLUMNS) as write:
        for group, names in drawn.items():
            for name in names:
                write({"run": run, "role": role_of(group, train_set), "group": group, "id": name})
    write_checksums([path], Path(path).with_suffix(".sha256"))


def read_draw(path: str | Path, run: int, train_set: str | None) -> Drawn:
    """The images of a manifest, by the groups that it names.

    Raises:
        UserError: it is not as it was drawn, or it is the manifest of another run or role.
    """
    verify_checksum(path)
    drawn: Drawn = {}
    for row in read_rows(path):
        expected = role_of(row["group"], train_set)
        if (row["run"], row["role"]) != (str(run), expected):
            raise UserError(
                f"{path}: expected images of run {run} with the role {expected}; found run {row['run']} with the role "
                f"{row['role']}, group {row['group']}. It is the manifest of something else."
            )
        drawn.setdefault(row["group"], []).append(row["id"])
    if not drawn and train_set != FROZEN:
        raise UserError(f"{path}: expected the images of run {run}; found none.")
    return drawn


def ids_of(drawn: Drawn) -> list[str]:
    """All images of a draw in the order of its manifest."""
    return [name for names in drawn.values() for name in names]


def read_names(path: str | Path) -> list[str]:
    """The column id of data/images.csv."""
    return [row["id"] for row in read_rows(path)]


def rows_of(ids: Collection[str], packed: Iterable[str]) -> NDArray[np.int64]:
    """Positions in the packed array of the images that a manifest names, in the manifest's order.

    Args:
        ids: the names in the manifest.
        packed: the names in data/images.csv.

    Raises:
        UserError: a named image is not packed.
    """
    positions = {name: row for row, name in enumerate(packed)}
    rows = [positions.get(name, -1) for name in ids]
    missing = [name for name, row in zip(ids, rows, strict=True) if row < 0]
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


KEEP = (
    "Nothing was measured. Run Snakemake on the study: it trains what the draw asks for and evaluates it anew; to keep "
    "the old model and its results, copy its folder and the folder splits elsewhere first."
)


def sum_of_draw(ids: Iterable[str]) -> str:
    """What identifies the training set in the record of a model: SHA-256 over its ids in their order."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def read_cluster_of(path: str | Path | None) -> dict[str, str]:
    """The cluster of each image that data/isolated.csv lists; of none without a file."""
    return {row["id"]: row["cluster"] for row in read_rows(path)} if path else {}


def seen_in_training(ids: Iterable[str], trained_on: Collection[str], cluster_of: Mapping[str, str]) -> list[bool]:
    """Whether each image, or one of its cluster, is in `trained_on`."""
    trained = set(trained_on)
    clusters = {cluster_of[name] for name in trained if name in cluster_of}
    return [name in trained or cluster_of.get(name) in clusters for name in ids]


def training_images(
    model: Path,
    manifest: Path,
    train_set: str,
    run: int,
    test: Sequence[str] = (),
    cluster_of: Mapping[str, str] | None = None,
) -> list[str]:
    """The images that the model was trained on, once its record run.json, its file and its manifest agree.

    Args:
        model: model.safetensors, with run.json beside it.
        manifest: splits/run<r>/train_<train_set>.csv.
        test: ids of the images that it is to be scored on.
        cluster_of: clusters that stay on one side (splits.leakage).

    Raises:
        UserError: the record is of another model, training set or draw, or a test image was trained on.
    """
    record = _read_record(model.with_name("run.json"))
    drawn = ids_of(read_draw(manifest, run, train_set))
    expectations = [
        ("training set", train_set, record["train_set"]),
        ("run", run, record["run"]),
        ("SHA-256 of the drawn training images", sum_of_draw(drawn), record["manifest_sha256"]),
    ]
    for what, expected, found in expectations:
        if expected != found:
            raise UserError(
                f"{model} was not trained on {manifest}. {what}: expected {expected}, found {found} in its record "
                f"{model.with_name('run.json')}. {KEEP}"
            )
    found = sha256_of(model)
    if found != record["model_sha256"]:
        raise UserError(
            f"{model}: expected SHA-256 {record['model_sha256']} as in {model.with_name('run.json')}, found {found}: "
            f"it is not the file that this training wrote. {KEEP}"
        )
    overlap = [name for name, seen in zip(test, seen_in_training(test, drawn, cluster_of or {}), strict=True) if seen]
    if overlap:
        same = len(set(overlap) & set(drawn))
        raise UserError(
            f"{model}: expected test images that it was not trained on; of {len(test)}, {same} are among its training "
            f"images in {manifest} and {len(overlap) - same} are of the patient or near-duplicates of one of those, "
            f"such as {overlap[0]}. {KEEP}"
        )
    return drawn


def _read_record(path: Path) -> dict[str, object]:
    keys = {"train_set", "run", "manifest_sha256", "model_sha256"}
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: expected the record of a training as JSON; found: {error}. {KEEP}") from error
    absent = sorted(keys - set(record if isinstance(record, dict) else ()))
    if absent:
        raise UserError(f"{path}: expected the record of a training; it does not say {', '.join(absent)}. {KEEP}")
    return record
