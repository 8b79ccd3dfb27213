"""What is never on both sides: images of one patient, near-duplicates, or both, as clusters of images.

Without pandas, as the draws.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

Leakage = Literal["auto", "none", "duplicates", "patients", "both"]


def cluster_images(
    images: Iterable[Mapping[str, str]], duplicates: Iterable[Mapping[str, str]] | None, patients: bool
) -> Iterator[tuple[str, str]]:
    """Every image with its cluster, which is called after the smallest id in it.

    Two images are in one cluster if they are of one patient, or near-duplicates, or joined by a chain of such.

    Args:
        images: rows of data/images.csv: md5hash, patient (empty: an image by itself).
        duplicates: rows of data/duplicates.csv: md5hash, cluster. None: near-duplicates may be apart.
        patients: whether the images of a patient belong together.
    """
    names = []
    parent: dict[str, str] = {}  # of each node: an image, a patient or a cluster of near-duplicates

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = node = parent[parent[node]]
        return node

    for row in images:
        names.append(row["md5hash"])
        if patients and row["patient"]:
            parent[root(f"patient {row['patient']}")] = root(f"image {row['md5hash']}")
    for row in duplicates or ():
        parent[root(f"cluster {row['cluster']}")] = root(f"image {row['md5hash']}")
    smallest: dict[str, str] = {}
    for name in names:
        found = root(f"image {name}")
        smallest[found] = min(name, smallest.get(found, name))
    for name in names:
        yield name, smallest[root(f"image {name}")]
