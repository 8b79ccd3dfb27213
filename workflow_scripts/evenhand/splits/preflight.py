"""What can be known to be wrong with a study before its first expensive job, from its configuration and its table."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from evenhand.data.metadata import assign_group, is_given, without_checksum
from evenhand.models.lpips import load_lpips
from evenhand.probes.openclip import load_openclip
from evenhand.splits.design import design_from, feasible_train_size
from evenhand.splits.groups import columns_of
from evenhand.workflow.errors import UserError
from evenhand.workflow.planning import local_folder

PHOTOGRAPH_BYTES = 70_000  # the mean of 95 originals
VGG19_BYTES = 575_000_000
MARGIN = 1.1  # tables, figures and logs


def data_mistakes(metadata: pd.DataFrame, data: Mapping[str, Any]) -> Iterator[str]:
    """Sources that are not there, and checksums or addresses that the table does not have.

    Args:
        metadata: data/metadata.csv.
        data: the block `data` of the configuration.
    """
    names = without_checksum(metadata)
    lacking = f"found {len(names):,} ids that are no MD5 and have no checksum, such as {next(iter(names), '')!r}"
    for source in data["sources"]:
        if "urls" in source:
            if not is_given(metadata["url"]).any():
                yield "data.sources: {urls: true} asks for the URLs of the table; found none in any row"
            elif len(names):
                yield (
                    "data.sources: {urls: true}: a downloaded file is believed when it has the checksum in the table "
                    f"(data.columns.checksum), or its id as MD5; {lacking}. Files fetched by hand are named as "
                    "{folder: PATH, verify: false}"
                )
            continue
        path = source.get("folder") or source["archive"]
        if not Path(path).exists():
            kind = "folder" if "folder" in source else "zip or tar archive"
            yield f"data.sources: expected a {kind} at {path}; nothing is there"
        elif source.get("verify", True) and len(names):
            yield (
                f"data.sources: {path}: verify (the default) compares a file with the checksum in the table "
                f"(data.columns.checksum), or its MD5 with the id; {lacking}. With verify: false the names of the "
                "files are trusted"
            )


def design_mistakes(metadata: pd.DataFrame, seed: int, splits: Mapping[str, Any]) -> Iterator[str]:
    """Whether the table has the images that the test and training sets need, if every photograph is there."""
    design = design_from(seed, splits)
    try:
        counts = assign_group(metadata, design.groups).value_counts()
    except UserError as error:
        yield str(error)
        return
    found = "; ".join(cells_of(metadata, column) for column in columns_of(design.groups))
    for entry in splits["groups"]:
        if entry["name"] not in counts:
            where = f"splits.groups: {entry['name']}"
            yield f"{where}: expected rows with {entry['where']}; found none. Rows by cell: {found}"
    try:
        feasible_train_size(design, {group.name: int(counts.get(group.name, 0)) for group in design.groups})
    except UserError as error:
        yield f"{error} Rows of the table by cell: {found}."


def cells_of(table: pd.DataFrame, column: str, most: int = 12) -> str:
    """What a column holds and how often, such as "sex 'F' 120, 'M' 80", the commonest first."""
    counts = table[column].astype(str).value_counts().sort_index().sort_values(ascending=False, kind="stable")
    named = ", ".join(f"{cell!r} {n:,}" for cell, n in counts.head(most).items())
    rest = f" and {len(counts) - most:,} other cells" if len(counts) > most else ""
    return f"{column} {named}{rest}"


def weight_mistakes(config: Mapping[str, Any]) -> Iterator[str]:
    """Whether networks that compare pictures, given by their paths, are there and can be loaded."""
    weights = config["loss"]["perceptual_weights"]
    if weights not in ("imagenet", "random") and not Path(weights).is_file():
        yield f"loss.perceptual_weights: expected imagenet, random or a file; {weights} is none"
    if local_folder(config["evaluate"]["extractor"]):
        try:
            load_openclip(config["evaluate"]["extractor"])
        except UserError as error:
            yield f"evaluate.extractor: {error}"
    if config["evaluate"]["lpips"]:
        try:
            load_lpips(config["evaluate"]["lpips"], config["data"]["image_size"])
        except UserError as error:
            yield str(error)


def device_mistakes(config: Mapping[str, Any], cuda: bool) -> Iterator[str]:
    """Devices that were asked for and that this machine, which runs the jobs, does not have."""
    asked = [block for block in ("train", "evaluate", "probe") if config[block]["device"] == "cuda"]
    if asked and not cuda:
        yield f"{', '.join(f'{block}.device' for block in asked)}: cuda; PyTorch finds no usable GPU on this machine"


def bytes_needed(config: Mapping[str, Any], metadata: pd.DataFrame, parameters: int, downloads: Path) -> dict[str, int]:
    """About how much a study will write, by what it is.

    Args:
        config: the whole configuration.
        metadata: data/metadata.csv.
        parameters: weights of one model.
        downloads: the folder of downloaded files; what is in it is not fetched again.
    """
    data, splits = config["data"], config["splits"]
    models = splits["runs"] * len(splits["train_sets"])
    needed = {
        "packed images": len(metadata) * 3 * data["image_size"] ** 2,
        "weights of all models": models * 4 * parameters,
        # Weights and two moments of Adam of the trainings under way, at least one.
        "checkpoints": 3 * 4 * parameters,
    }
    if data["synthetic"] is None and any("urls" in source for source in data["sources"]):
        there = len(list((downloads / "images").glob("*.jpg"))) if (downloads / "images").is_dir() else 0
        needed["downloads"] = max(0, int(is_given(metadata["url"]).sum()) - there) * PHOTOGRAPH_BYTES
    if config["loss"]["perceptual_weights"] == "imagenet" and not list(downloads.glob("vgg19-*.pth")):
        needed["VGG19"] = VGG19_BYTES
    return needed


def disk_mistakes(needed: Mapping[str, int], results: Path, free: int) -> Iterator[str]:
    """Whether there is room for it all, beside what the study has written already."""
    written = sum(path.stat().st_size for path in results.rglob("*") if path.is_file()) if results.is_dir() else 0
    wanted = int(MARGIN * sum(needed.values())) - written
    if wanted > free:
        parts = ", ".join(f"{what} {size / 1e9:.1f}" for what, size in needed.items())
        yield (
            f"disk: the study needs about {wanted / 1e9:.1f} GB more in {results} (GB: {parts}); {free / 1e9:.1f} GB "
            "are free"
        )


def free_bytes(folder: Path) -> int:
    """Room on the disk of a folder that need not be there yet."""
    while not folder.is_dir():
        folder = folder.absolute().parent
    return shutil.disk_usage(folder).free
