"""The experimental design: which images each run trains on and tests on, and how many (paper v2, section 3.4)."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evenhand.splits.groups import Group, TrainSet, group_of, groups_from, train_sets_from
from evenhand.workflow.errors import UserError
from evenhand.workflow.seeds import generator

Leakage = Literal["auto", "none", "duplicates", "patients", "both"]


def cluster_images(
    images: Iterable[Mapping[str, str]], duplicates: Iterable[Mapping[str, str]] | None, patients: bool
) -> Iterator[tuple[str, str]]:
    """Every image with its cluster, which is called after the smallest id in it.

    Two images are in one cluster if they are of one patient, or near-duplicates, or joined by a chain of such.

    Args:
        images: rows of data/images.csv: id, patient (empty: an image by itself).
        duplicates: rows of data/duplicates.csv: id, cluster. None: near-duplicates may be apart.
        patients: whether the images of a patient belong together.
    """
    names = []
    parent: dict[str, str] = {}  # of each node: an image, a patient or a cluster of near-duplicates

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = node = parent[parent[node]]
        return node

    for row in images:
        names.append(row["id"])
        if patients and row["patient"]:
            parent[root(f"patient {row['patient']}")] = root(f"image {row['id']}")
    for row in duplicates or ():
        parent[root(f"cluster {row['cluster']}")] = root(f"image {row['id']}")
    smallest: dict[str, str] = {}
    for name in names:
        found = root(f"image {name}")
        smallest[found] = min(name, smallest.get(found, name))
    for name in names:
        yield name, smallest[root(f"image {name}")]


Drawn = dict[str, list[str]]  # ids of the drawn images of each group; in a training set some may be there twice


ORDERS = 20  # in which clusters are tried to fill a test set


@dataclass(frozen=True)
class Design:
    """What the configuration asks for; sizes in images."""

    seed: int
    groups: tuple[Group, ...]
    test_size: int
    train_size: int
    min_train_size: int
    replacement: bool
    train_sets: tuple[TrainSet, ...] = ()


class Candidates(NamedTuple):
    """The images of one group that may be drawn, sorted by id: ids (n,) and the cluster of each (n,).

    Clusters are numbers; an image without near-duplicates is a cluster of one.
    """

    ids: NDArray[np.str_]
    clusters: NDArray[np.int64]


def design_from(seed: int, splits: Mapping[str, Any]) -> Design:
    """The design that the `splits` block of a configuration describes; its training sets may be left out."""
    return Design(
        seed=seed,
        groups=groups_from(splits["groups"]),
        test_size=splits["test_size"],
        train_size=splits["train_size"],
        min_train_size=splits["min_train_size"],
        replacement=splits["replacement"],
        train_sets=train_sets_from(splits.get("train_sets", ())),
    )


def candidates_from(
    images: Iterable[Mapping[str, str]],
    groups: Sequence[Group],
    clusters: Iterable[Mapping[str, str]] | None = None,
) -> dict[str, Candidates]:
    """The images that are in a group, by its name.

    Args:
        images: rows of data/metadata.csv or data/images.csv, in any order.
        groups: of the study.
        clusters: rows of data/isolated.csv, each image with its cluster. Images in a cluster that holds several groups
            are left out: to which of them a near-duplicate belongs is not known (study, section 8), and a patient in
            two groups would be on both sides. None: every image is its own cluster.
    """
    group_by_id = {row["id"]: group_of(row, groups) for row in images}
    cluster_of = {row["id"]: f"cluster {row['cluster']}" for row in clusters or ()}
    groups_of_cluster: dict[str, set[str]] = {}
    for name, group in group_by_id.items():
        if group:
            groups_of_cluster.setdefault(cluster_of.get(name, name), set()).add(group)
    found = {}
    for group in (group.name for group in groups):
        # Sorted by id, so that the order of the metadata rows does not matter.
        ids = sorted(
            name
            for name, its_group in group_by_id.items()
            if its_group == group and len(groups_of_cluster[cluster_of.get(name, name)]) == 1
        )
        numbers: dict[str, int] = {}
        clustered = [numbers.setdefault(cluster_of.get(name, name), len(numbers)) for name in ids]
        found[group] = Candidates(np.array(ids, dtype=str), np.array(clustered, dtype=np.int64))
    return found


def available(candidates: Mapping[str, Candidates]) -> dict[str, int]:
    """The number of images of each group."""
    return {group: len(images.ids) for group, images in candidates.items()}


def usable(candidates: Mapping[str, Candidates], test_size: int) -> dict[str, int]:
    """The number of images of each group that its test set and training sets have between them, in any run.

    All there are, less the rest of one cluster where a test set may have to leave it over (`draw_test`): never where
    there are as many single images as it takes.
    """
    counts = {}
    for group, (ids, clusters) in candidates.items():
        sizes = np.bincount(clusters, minlength=1)
        always_whole = (sizes == 1).sum() >= test_size
        counts[group] = len(ids) - (0 if always_whole else max(0, int(sizes.max()) - 1))
    return counts


def group_counts(mix: Mapping[str, float], size: int, groups: Sequence[str]) -> dict[str, int]:
    """Images of each group in a training set of `size`, in all exactly so many; a half image goes to the later group.

    What is rounded are the sums from the last group to each, so none is off by more than one.
    """
    counts, before, share = {}, 0, 0.0
    for group in reversed(groups):
        share += mix.get(group, 0.0)
        until = size if group == groups[0] else min(size, math.floor(share * size + 0.5))
        counts[group], before = until - before, until
    return {group: counts[group] for group in groups}


def feasible_train_size(design: Design, available: Mapping[str, int]) -> int:
    """The common size of all training sets: `design.train_size`, or the smallest group's images beside its test set.

    All sets shrink together, since a comparison between sets of different size would mix composition with
    amount of data; and by a rule that does not ask which sets are in the design, so that adding one leaves
    the others as they are. `available` counts the images of each group (`usable`).

    Raises:
        UserError: a group cannot fill its test set and the smallest training set allowed.
    """
    needed = {g.name: design.test_size + (0 if g.test_only else design.min_train_size) for g in design.groups}
    short = [f"{name}: needed {n}, found {available[name]}" for name, n in needed.items() if available[name] < n]
    if short:
        raise UserError(
            f"too few images for the design ({'; '.join(short)}). Needed in each group: {design.test_size} for its "
            f"test set (splits.test_size) and {design.min_train_size} to train on (splits.min_train_size), out of the "
            "rows with a usable photograph."
        )
    return min(design.train_size, *(available[g.name] - design.test_size for g in design.groups if not g.test_only))


def draw_test(candidates: Mapping[str, Candidates], design: Design, run: int) -> Drawn:
    """Draw the test sets of a run: `design.test_size` different images of each group, in the order of their ids.

    Whole clusters are drawn. Where they do not add up to the size, one more gives as many images as are missing; its
    others are in no set of the run (`left_over`). The draw is seeded by (seed, "test", group, run).
    """
    drawn = {}
    for group in candidates:
        ids, clusters = candidates[group]
        chosen = _by_clusters(clusters, design.test_size, design.seed, "test", group, run)
        drawn[group] = ids[chosen].tolist()
    return drawn


def left_over(candidates: Mapping[str, Candidates], test: Drawn) -> list[str]:
    """The images that are in no test set although another one of their cluster is."""
    names = []
    for group, (ids, clusters) in candidates.items():
        in_test = np.isin(ids, test[group])
        names += ids[np.isin(clusters, clusters[in_test]) & ~in_test].tolist()
    return names


def draw_train(
    candidates: Mapping[str, Candidates],
    design: Design,
    run: int,
    train_set: TrainSet,
    size: int,
    test: Drawn,
) -> Drawn:
    """Draw a training set of a run from the images that neither are in its test sets nor share a cluster with them.

    Without replacement no image is twice in it. Training sets are drawn independently of each other and may share
    images: each draw is seeded by (seed, "train", name, group, run).

    Args:
        size: images in the set, from `feasible_train_size`.
        test: the test sets of the run, from `draw_test`.

    Raises:
        UserError: the test sets are not of this design.
    """
    drawn = {}
    for group, count in group_counts(train_set.mix, size, list(candidates)).items():
        ids, clusters = candidates[group]
        in_test = np.isin(ids, test[group])
        if len(test[group]) != design.test_size or in_test.sum() != design.test_size:
            raise UserError(
                f"run {run}: expected a test set of {design.test_size} different {group} images, all among the "
                f"{len(ids)} that may be drawn; found {len(test[group])}, of which {int(in_test.sum())} are. It "
                "was drawn from other images or for another design."
            )
        pool = ids[~np.isin(clusters, clusters[in_test])]
        assert len(pool) >= count, "usable() counts what a test set may leave over"
        purpose = ("train", train_set.name, group, run)
        if design.replacement:
            chosen = _bootstrapped(len(pool), count, design.seed, *purpose)
        else:
            chosen = _shuffled(len(pool), design.seed, *purpose)[:count]
        drawn[group] = pool[np.sort(chosen)].tolist()
    return drawn


def _by_clusters(clusters: NDArray[np.int64], size: int, seed: int, *purpose: str | int) -> NDArray[np.bool_]:
    """Which images are drawn when whole clusters are taken in random order, skipping those that are too large.

    Where these are too few in every one of `ORDERS` orders, the first one that was skipped in the last order fills up.

    Args:
        clusters: number of the cluster of each image, (n,) with n at least `size`; singletons are clusters of one.
        size: images to draw.
    """
    sizes = np.bincount(clusters)
    for again in range(ORDERS):
        order = _shuffled(len(sizes), seed, *purpose, *([again] if again else []))
        missing = size
        drawn = np.zeros(len(sizes), dtype=bool)
        for cluster in order:
            if sizes[cluster] <= missing:
                drawn[cluster] = True
                missing -= int(sizes[cluster])
        if not missing:
            break
    chosen = drawn[clusters]
    if missing:
        skipped = next(cluster for cluster in order if not drawn[cluster])
        chosen[np.flatnonzero(clusters == skipped)[:missing]] = True
    return chosen


def _shuffled(n: int, seed: int, *purpose: str | int) -> NDArray[np.int64]:
    """A permutation of 0..n-1. Sorting uniform numbers keeps it the same for every NumPy version."""
    return np.argsort(generator(seed, *purpose).random(n), kind="stable")


def _bootstrapped(n: int, count: int, seed: int, *purpose: str | int) -> NDArray[np.int64]:
    """`count` indices from 0..n-1, drawn with replacement."""
    return np.floor(generator(seed, *purpose).random(count) * n).astype(np.int64)


def describe_design(design: Design, planned_size: int, draws: Mapping[str, Sequence[Drawn]]) -> list[dict[str, Any]]:
    """The sizes of the design, one row per training set.

    Args:
        planned_size: images per training set if every image of the metadata were available.
        draws: for each training set what was drawn for it, in each run.

    Returns:
        train_set, compared_share and reference_share (of the second and of the first group), requested, planned, drawn
        (images per set), mix (those of each group in words), distinct (different images per set, mean over runs),
        shared (fraction of a set's images that another run's set of the same name also holds, mean over pairs of runs;
        empty for one run or no images), test_size (per group), n_runs.
    """
    rows = []
    for train_set in design.train_sets:
        drawn = draws[train_set.name]
        counts = {group.name: len(drawn[0].get(group.name, ())) for group in design.groups}
        distinct = [{name for names in run.values() for name in names} for run in drawn]
        rows.append(
            {
                "train_set": train_set.name,
                "compared_share": train_set.share(design.groups[1].name),
                "reference_share": train_set.share(design.groups[0].name),
                "requested": design.train_size,
                "planned": planned_size,
                "drawn": sum(counts.values()),
                "mix": ", ".join(f"{group} {n}" for group, n in counts.items()),
                "distinct": np.mean([len(members) for members in distinct]),
                "shared": _mean_overlap(distinct),
                "test_size": design.test_size,
                "n_runs": len(drawn),
            }
        )
    return rows


def _mean_overlap(sets: Sequence[set[str]]) -> float:
    """Mean over ordered pairs of |a and b| / |a|, counted per image, so that a thousand runs stay cheap."""
    n = len(sets)
    if n < 2 or not all(sets):
        return math.nan
    appearances: dict[str, int] = {}
    for members in sets:
        for member in members:
            appearances[member] = appearances.get(member, 0) + 1
    return float(
        np.mean([sum(appearances[member] - 1 for member in members) / len(members) for members in sets]) / (n - 1)
    )
