"""The experimental design: which images each run trains on and tests on (paper v2, section 3.4)."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairgen.errors import UserError
from fairgen.manifests import read_image_table
from fairgen.metadata import assign_group
from fairgen.seeds import generator

GROUPS = ("light", "dark")
MANIFEST_COLUMNS = ["run", "role", "group", "md5hash"]


@dataclass(frozen=True)
class TrainSet:
    """A training set of the design: its name and its fraction of dark images, in [0, 1]."""

    name: str
    dark_share: float


@dataclass(frozen=True)
class Design:
    """What the configuration asks for; sizes in images."""

    seed: int
    test_size: int
    train_size: int
    min_train_size: int
    replacement: bool
    train_sets: tuple[TrainSet, ...]


def design_from(seed: int, splits: dict[str, Any]) -> Design:
    """The design that the `splits` block of a configuration describes."""
    return Design(
        seed=seed,
        test_size=splits["test_size"],
        train_size=splits["train_size"],
        min_train_size=splits["min_train_size"],
        replacement=splits["replacement"],
        train_sets=tuple(TrainSet(entry["name"], entry["dark_share"]) for entry in splits["train_sets"]),
    )


def read_candidates(path: str | Path, splits: dict[str, Any]) -> pd.DataFrame:
    """The images of data/metadata.csv or data/images.csv that are in a group, with it: columns of the file, group."""
    images = read_image_table(path)
    images["group"] = assign_group(images[splits["label"]], splits["light"], splits["dark"])
    return images[images["group"].isin(GROUPS)]


def available(images: pd.DataFrame) -> dict[str, int]:
    """The number of images of each group."""
    return {group: int((images["group"] == group).sum()) for group in GROUPS}


def group_counts(train_set: TrainSet, size: int) -> dict[str, int]:
    """Images of each group in a training set of `size`; a half image goes to the dark group."""
    dark = math.floor(train_set.dark_share * size + 0.5)
    return {"light": size - dark, "dark": dark}


def feasible_train_size(design: Design, available: dict[str, int]) -> int:
    """The common size of all training sets: `design.train_size`, or the smaller group's images beside its test set.

    All sets shrink together, since a comparison between sets of different size would mix composition with
    amount of data; and by a rule that does not ask which sets are in the design, so that adding one leaves
    the others as they are. `available` counts the images of each group.

    Raises:
        UserError: a group cannot fill its test set and the smallest training set allowed.
    """
    needed = design.test_size + design.min_train_size
    short = [f"{group}: needed {needed}, found {available[group]}" for group in GROUPS if available[group] < needed]
    if short:
        raise UserError(
            f"too few images for the design ({'; '.join(short)}). Needed in each group: {design.test_size} for its "
            f"test set (splits.test_size) and {design.min_train_size} to train on (splits.min_train_size), out of the "
            "rows with a usable photograph."
        )
    return min(design.train_size, *(available[group] - design.test_size for group in GROUPS))


def isolate_clusters(images: pd.DataFrame, clusters: pd.DataFrame) -> pd.DataFrame:
    """Give each image its cluster of near-duplicates, and drop clusters that hold images of both groups.

    Whether a photograph in such a cluster shows light or dark skin is not known (study, section 8).

    Args:
        images: columns md5hash and group, of images in a group.
        clusters: columns md5hash and cluster; an image that is not listed is its own cluster.

    Returns:
        The kept images with a column cluster.
    """
    cluster_of = dict(zip(clusters["md5hash"], clusters["cluster"].astype(str), strict=True))
    images = images.assign(cluster=[cluster_of.get(name, name) for name in images["md5hash"]])
    return images[images.groupby("cluster")["group"].transform("nunique") == 1]


def draw_manifest(images: pd.DataFrame, design: Design, run: int, train_size: int) -> pd.DataFrame:
    """Draw the two test sets and all training sets of one run.

    Args:
        images: columns md5hash and group (`light` or `dark`), one row per available image, in any order; with a
            column cluster (from `isolate_clusters`) whole clusters go into a test set, and into training or test.
        design: the experiment.
        run: number of the run; every draw is seeded by (seed, purpose, set, run).
        train_size: images in each training set, from `feasible_train_size`.

    Returns:
        One row per drawn image: run, role (`test_light`, `test_dark`, `train_<set>`), group, md5hash. Test
        images of the run are in none of its training sets. Without replacement no image is twice in a set;
        the training sets are drawn independently of each other and may share images.
    """
    parts = []
    pools = {}
    for group in GROUPS:
        # Sorted by hash, so that the order of the metadata rows does not matter.
        members = images[images["group"] == group].sort_values("md5hash")
        hashes = members["md5hash"].to_numpy(dtype=str)
        clusters = pd.factorize(members["cluster"] if "cluster" in members else members["md5hash"])[0]
        in_test = _whole_clusters(clusters, design.test_size, design.seed, "test", group, run)
        parts.append((f"test_{group}", group, hashes[in_test]))
        pools[group] = hashes[~in_test]
    for train_set in design.train_sets:
        for group, count in group_counts(train_set, train_size).items():
            purpose = ("train", train_set.name, group, run)
            if design.replacement:
                chosen = _bootstrapped(len(pools[group]), count, design.seed, *purpose)
            else:
                chosen = _shuffled(len(pools[group]), design.seed, *purpose)[:count]
            parts.append((f"train_{train_set.name}", group, pools[group][np.sort(chosen)]))
    return pd.concat(
        [pd.DataFrame({"run": run, "role": role, "group": group, "md5hash": drawn}) for role, group, drawn in parts],
        ignore_index=True,
    )[MANIFEST_COLUMNS]


def describe_design(design: Design, planned_size: int, manifests: list[pd.DataFrame]) -> pd.DataFrame:
    """The sizes of the design, one row per training set.

    Args:
        planned_size: images per training set if every image of the metadata were available.
        manifests: the manifests of all runs.

    Returns:
        train_set, dark_share, requested, planned, drawn (images per set), light, dark (of the drawn),
        distinct (different images per set, mean over runs), shared (fraction of a set's images that another
        run's set of the same name also holds, mean over pairs of runs; empty for one run), test_size (per
        group), n_runs.
    """
    rows = []
    for train_set in design.train_sets:
        sets = [manifest[manifest["role"] == f"train_{train_set.name}"] for manifest in manifests]
        counts = sets[0]["group"].value_counts()
        rows.append(
            {
                "train_set": train_set.name,
                "dark_share": train_set.dark_share,
                "requested": design.train_size,
                "planned": planned_size,
                "drawn": len(sets[0]),
                "light": int(counts.get("light", 0)),
                "dark": int(counts.get("dark", 0)),
                "distinct": np.mean([drawn["md5hash"].nunique() for drawn in sets]),
                "shared": _mean_overlap([set(drawn["md5hash"]) for drawn in sets]),
                "test_size": design.test_size,
                "n_runs": len(manifests),
            }
        )
    return pd.DataFrame(rows)


def _mean_overlap(sets: list[set[str]]) -> float:
    """Mean over ordered pairs of |a and b| / |a|, counted per image, so that a thousand runs stay cheap."""
    n = len(sets)
    if n < 2:
        return math.nan
    appearances: dict[str, int] = {}
    for members in sets:
        for member in members:
            appearances[member] = appearances.get(member, 0) + 1
    return float(
        np.mean([sum(appearances[member] - 1 for member in members) / len(members) for members in sets]) / (n - 1)
    )


def _whole_clusters(clusters: NDArray[np.int64], size: int, seed: int, *purpose: str | int) -> NDArray[np.bool_]:
    """Which images are drawn when whole clusters are taken in random order, skipping those that are too large.

    Args:
        clusters: number of the cluster of each image, (n,); singletons are clusters of one.
        size: images to draw.

    Raises:
        UserError: no such selection has exactly `size` images.
    """
    sizes = np.bincount(clusters)
    missing = size
    drawn = np.zeros(len(sizes), dtype=bool)
    for cluster in _shuffled(len(sizes), seed, *purpose):
        if sizes[cluster] <= missing:
            drawn[cluster] = True
            missing -= int(sizes[cluster])
    if missing:
        raise UserError(
            f"cannot fill a test set of {size} images with whole clusters of near-duplicates ({purpose[1]}, run "
            f"{purpose[2]}): {missing} are missing after all clusters that fit. The largest of {len(sizes)} has "
            f"{sizes.max()} images, and {int((sizes == 1).sum())} images are in none (data/duplicates.csv)."
        )
    return drawn[clusters]


def _shuffled(n: int, seed: int, *purpose: str | int) -> np.ndarray:
    """A permutation of 0..n-1. Sorting uniform numbers keeps it the same for every NumPy version."""
    return np.argsort(generator(seed, *purpose).random(n), kind="stable")


def _bootstrapped(n: int, count: int, seed: int, *purpose: str | int) -> np.ndarray:
    """`count` indices from 0..n-1, drawn with replacement."""
    return np.floor(generator(seed, *purpose).random(count) * n).astype(np.int64)
