"""A model is scored on images that it was not trained on: checked from its own record before every use."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from evenhand.splits.manifests import hashes_of, read_draw
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import read_rows, sha256_of

KEEP = (
    "Nothing was measured. Run Snakemake on the study: it trains what the draw asks for and evaluates it anew; to keep "
    "the old model and its results, copy its folder and the folder splits elsewhere first."
)


def sum_of_draw(md5hashes: Iterable[str]) -> str:
    """What identifies the training set in the record of a model: SHA-256 over its hashes in their order."""
    return hashlib.sha256("\n".join(md5hashes).encode()).hexdigest()


def read_cluster_of(path: str | Path | None) -> dict[str, str]:
    """The cluster of each image that data/isolated.csv lists; of none without a file."""
    return {row["md5hash"]: row["cluster"] for row in read_rows(path)} if path else {}


def seen_in_training(
    md5hashes: Iterable[str], trained_on: Collection[str], cluster_of: Mapping[str, str]
) -> list[bool]:
    """Whether each image, or one of its cluster, is in `trained_on`."""
    trained = set(trained_on)
    clusters = {cluster_of[name] for name in trained if name in cluster_of}
    return [name in trained or cluster_of.get(name) in clusters for name in md5hashes]


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
        test: hashes of the images that it is to be scored on.
        cluster_of: clusters that stay on one side (splits.leakage).

    Raises:
        UserError: the record is of another model, training set or draw, or a test image was trained on.
    """
    record = _read_record(model.with_name("run.json"))
    drawn = hashes_of(read_draw(manifest, run, train_set))
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
