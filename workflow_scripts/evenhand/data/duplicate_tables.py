"""What the clusters of near-duplicates say about the data, and what each threshold would have found."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from evenhand.data.duplicates import Links, clusters
from evenhand.data.metadata import given_levels, several_sources


def cluster_table(hashes: Sequence[str], cluster: npt.NDArray[np.int64]) -> pd.DataFrame:
    """The cluster of every image: md5hash, cluster (named after its smallest hash), size, in the order of `hashes`."""
    table = pd.DataFrame({"md5hash": hashes, "number": cluster})
    members = table.groupby("number")["md5hash"]
    return pd.DataFrame({"md5hash": hashes, "cluster": members.transform("min"), "size": members.transform("size")})


def describe_clusters(images: pd.DataFrame) -> pd.DataFrame:
    """One row per cluster of at least two images, the largest first.

    Args:
        images: one row per image: md5hash, cluster, group, atlas and the three levels of labels.

    Returns:
        cluster, size, groups (images in each, in words), across_groups, conflicting_labels (of the finest
        level), conflicting_three (of the coarsest), across_atlases, labels (distinct, joined by " | "). The column of a
        level that the data do not have is empty, and so is that of the atlases where there is one source.
    """
    shared = images[images.groupby("cluster")["md5hash"].transform("size") > 1]
    by_cluster = shared.groupby("cluster")
    table = pd.DataFrame({"size": by_cluster.size()})
    grouped = shared.loc[shared["group"] != "", ["cluster", "group"]].groupby("cluster")["group"]
    table["groups"] = grouped.agg(_counted).reindex(table.index).fillna("")
    table["across_groups"] = grouped.nunique().reindex(table.index).fillna(0) > 1
    table["conflicting_labels"] = by_cluster["label"].nunique() > 1
    coarsest, sources = "three_partition_label" in given_levels(images), several_sources(images["atlas"])
    table["conflicting_three"] = by_cluster["three_partition_label"].nunique() > 1 if coarsest else None
    table["across_atlases"] = by_cluster["atlas"].nunique() > 1 if sources else None
    table["labels"] = by_cluster["label"].agg(lambda labels: " | ".join(sorted(set(labels))))
    return table.reset_index().sort_values(["size", "cluster"], ascending=[False, True], ignore_index=True)


def summarise_clusters(described: pd.DataFrame, n_images: int) -> pd.DataFrame:
    """Counts over all clusters, one row: images, clusters, images in them, and clusters of each troublesome kind."""
    in_clusters = int(described["size"].sum())
    row = {
        "n_images": n_images,
        "clusters": len(described),
        "images_in_clusters": in_clusters,
        "share_in_clusters": in_clusters / n_images if n_images else 0.0,
        "superfluous_images": in_clusters - len(described),
        "largest": int(described["size"].max()) if len(described) else 1,
    }
    kinds = ["across_groups", "conflicting_labels", "conflicting_three", "across_atlases"]
    counts = {kind: None if described[kind].isna().any() else int(described[kind].sum()) for kind in kinds}
    return pd.DataFrame([row | counts])


def compare_thresholds(images: pd.DataFrame, links: Links, thresholds: Sequence[int], chosen: int) -> pd.DataFrame:
    """What perceptual hashes find at each threshold, and how much of it to believe.

    Two unrelated images share their label with the probability `chance`, copies nearly always; so of links whose
    labels agree in a share s, about (s - chance) / (1 - chance) join true copies. Copies with conflicting labels
    make that an underestimate.

    Returns:
        One row per threshold (bits): links, clusters, images_in_clusters, largest, across_groups,
        conflicting_labels, same_label (share of the links), chance, estimated_true (share of the links),
        new_links and new_estimated_true (of those this threshold adds to the one before), chosen.
    """
    chance = float((images["label"].value_counts(normalize=True) ** 2).sum())
    label = images["label"].to_numpy()
    agree = label[links.first] == label[links.second]
    rows = []
    before = -1
    for threshold in thresholds:
        cluster = clusters(len(images), [links.within(threshold)])
        named = cluster_table(images["md5hash"].tolist(), cluster)
        described = describe_clusters(images.assign(cluster=named["cluster"].to_numpy()))
        summary = summarise_clusters(described, len(images)).iloc[0]
        all_links = links.distance <= threshold
        new_links = all_links & (links.distance > before)
        rows.append(
            {
                "threshold": threshold,
                "links": int(all_links.sum()),
                **summary[
                    ["clusters", "images_in_clusters", "largest", "across_groups", "conflicting_labels"]
                ].to_dict(),
                "same_label": _share(agree[all_links]),
                "chance": chance,
                "estimated_true": _excess(_share(agree[all_links]), chance),
                "new_links": int(new_links.sum()),
                "new_estimated_true": _excess(_share(agree[new_links]), chance),
                "chosen": threshold == chosen,
            }
        )
        before = threshold
    return pd.DataFrame(rows)


def _counted(names: "pd.Series[str]") -> str:
    """Each name with how often it is there, such as "dark 1, light 2"."""
    return ", ".join(f"{name} {n}" for name, n in sorted(Counter(names).items()))


def _share(values: npt.NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _excess(share: float, chance: float) -> float:
    """The share of true copies behind a share of equal labels; NaN where nothing could disagree."""
    return float(np.clip((share - chance) / (1 - chance), 0, 1)) if chance < 1 else float("nan")
