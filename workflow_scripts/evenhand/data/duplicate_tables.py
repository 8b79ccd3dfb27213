"""What clusters of near-duplicates say about the data, what each threshold would have found, and lists of others."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from evenhand.data.duplicates import JOINED, TOO_LOOSE, Links, clusters
from evenhand.data.image_names import stem_of
from evenhand.data.metadata import given_levels, several_sources
from evenhand.workflow.errors import UserError


def cluster_table(ids: Sequence[str], cluster: npt.NDArray[np.int64]) -> pd.DataFrame:
    """The cluster of every image: id, cluster (named after its smallest id), size, in the order of `ids`."""
    table = pd.DataFrame({"id": ids, "number": cluster})
    members = table.groupby("number")["id"]
    return pd.DataFrame({"id": ids, "cluster": members.transform("min"), "size": members.transform("size")})


def cluster_list(table: pd.DataFrame) -> pd.DataFrame:
    """The clusters of at least two images in the form of published lists: cluster (a number, the largest first), id.

    Where the ids are hashes their column is called md5hash, as in Fitzpatrick17k-C.
    """
    shared = table[table["size"] > 1].sort_values(["size", "cluster", "id"], ascending=[False, True, True])
    name = "md5hash" if all(HASH.fullmatch(image) for image in table["id"]) else "id"
    number = pd.factorize(shared["cluster"])[0].astype(str)
    return pd.DataFrame({"cluster": number, name: shared["id"].to_numpy()})


def nearest_pairs(
    links: pd.DataFrame, images: npt.NDArray[np.uint8], method: str
) -> dict[str, npt.NDArray[np.generic]]:
    """The pairs that only just count and those that only just do not, by the method that looks at pictures.

    Args:
        links: as from `gather_links`.
        images: (n, side, side, 3), RGB.
        method: features or hash.

    Returns:
        first and second (k, side, side, 3), counts (k,), whether the pair does, and words (k,), what was found.
    """
    measured = links[links["inliers" if method == "features" else "hash_bits"].notna()]
    if method == "features":
        order = measured.sort_values(["inliers", "likeness"], ascending=False, kind="stable")
    else:
        order = measured.sort_values("hash_bits", kind="stable")
    counts = order["found_by"].str.contains(method)
    shown = pd.concat([order[counts].tail(SHOWN), order[~counts].head(SHOWN)])
    if method == "features":
        words = [
            f"{inliers:.0f} features\nscale {scale:.2g}, {round(turn)}°\nspread {spread:.0f} px\nlikeness {alike:.2f}"
            + "\nmirrored" * bool(mirrored)
            for inliers, mirrored, scale, turn, spread, alike in shown[
                ["inliers", "mirrored", "scale", "turn", "spread", "likeness"]
            ].itertuples(index=False)
        ]
    else:
        words = [f"{bits:.0f} bits" for bits in shown["hash_bits"]]
    return {
        "first": images[shown["first"].to_numpy()],
        "second": images[shown["second"].to_numpy()],
        "counts": counts[shown.index].to_numpy(bool),
        "words": np.array(words, str),
    }


def describe_clusters(images: pd.DataFrame) -> pd.DataFrame:
    """One row per cluster of at least two images, the largest first.

    Args:
        images: one row per image: id, cluster, group, source and the three levels of conditions.

    Returns:
        cluster, size, groups (images in each, in words), across_groups, conflicting_labels (of the finest
        level), conflicting_three (of the coarsest), across_sources, labels (distinct, joined by " | "). The column of a
        level that the data do not have is empty, and so is that of the sources where there is one source.
    """
    shared = images[images.groupby("cluster")["id"].transform("size") > 1]
    by_cluster = shared.groupby("cluster")
    table = pd.DataFrame({"size": by_cluster.size()})
    grouped = shared.loc[shared["group"] != "", ["cluster", "group"]].groupby("cluster")["group"]
    table["groups"] = grouped.agg(_counted).reindex(table.index).fillna("")
    table["across_groups"] = grouped.nunique().reindex(table.index).fillna(0) > 1
    table["conflicting_labels"] = by_cluster["condition"].nunique() > 1
    coarsest, several = "condition_3" in given_levels(images), several_sources(images["source"])
    table["conflicting_three"] = by_cluster["condition_3"].nunique() > 1 if coarsest else None
    table["across_sources"] = by_cluster["source"].nunique() > 1 if several else None
    table["labels"] = by_cluster["condition"].agg(lambda labels: " | ".join(sorted(set(labels))))
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
    kinds = ["across_groups", "conflicting_labels", "conflicting_three", "across_sources"]
    counts = {kind: None if described[kind].isna().any() else int(described[kind].sum()) for kind in kinds}
    return pd.DataFrame([row | counts])


SHOWN = 6  # pairs on either side of the threshold
LINK_COLUMNS = (
    *("first", "second", "found_by", "fate", "looseness", "hash_bits", "inliers", "scale", "turn", "mirrored"),
    *("shift_x", "shift_y", "spread", "likeness", "similarity"),
)


def gather_links(found: Mapping[str, pd.DataFrame], rank: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Every pair of images that something speaks for, once.

    Args:
        found: by what found them (hash, features, embedding, list): pairs with first and second (rows of images),
            looseness (0 to 1, more where the pair does not count) and columns of what was measured.
        rank: of each image by its id: the pairs have the first image first and are sorted.

    Returns:
        `LINK_COLUMNS` with the smallest looseness, found_by of those for which the pair counts, and `TOO_LOOSE` as the
        fate where there is none.
    """
    parts = []
    for kind, pairs in found.items():
        turned = rank[pairs["first"]] > rank[pairs["second"]]
        ordered = pairs.assign(
            first=pairs["first"].where(~turned, pairs["second"]), second=pairs["second"].where(~turned, pairs["first"])
        )
        parts.append(ordered.assign(found_by=np.where(pairs["looseness"] <= 1, kind, "")))
    every = pd.concat(parts, ignore_index=True).reindex(columns=LINK_COLUMNS)
    one_pair = every.groupby(["first", "second"])
    table = one_pair.first()  # of each column the first cell that is not missing
    table["looseness"] = one_pair["looseness"].min()
    table["found_by"] = one_pair["found_by"].agg(lambda kinds: ", ".join(kind for kind in kinds if kind))
    table = table.reset_index()[list(LINK_COLUMNS)]
    table["fate"] = np.where(table["found_by"] == "", TOO_LOOSE, JOINED)
    return table.iloc[np.lexsort((rank[table["second"]], rank[table["first"]]))].reset_index(drop=True)


def compare_thresholds(images: pd.DataFrame, links: Links, thresholds: Sequence[int], chosen: int) -> pd.DataFrame:
    """What is found at each threshold of hashes or of features, and how much of it to believe.

    Two unrelated images share their label with the probability `chance`, copies nearly always; so of links whose
    labels agree in a share s, about (s - chance) / (1 - chance) join true copies. Copies with conflicting labels
    make that an underestimate.

    Returns:
        One row per threshold, in the unit of the links' distance: links, clusters, images_in_clusters, largest,
        across_groups, conflicting_labels, same_label (share of the links), chance, estimated_true (share of the links),
        new_links and new_estimated_true (of those this threshold adds to the one before), chosen.
    """
    chance = float((images["condition"].value_counts(normalize=True) ** 2).sum())
    label = images["condition"].to_numpy()
    agree = label[links.first] == label[links.second]
    rows = []
    before = -1
    for threshold in thresholds:
        cluster = clusters(len(images), [links.within(threshold)])
        named = cluster_table(images["id"].tolist(), cluster)
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


SEPARATORS = re.compile(r"[\s,;\[\]()'\"]+")
# A hash or its first 8 digits, alone or as the last part of a name such as "na-co_f2_39_f9c77f9a.jpg", the
# form of the published cluster list of Fitzpatrick17k-C.
HASH = re.compile(r"(?:.*_)?([0-9a-f]{32}|[0-9a-f]{8})", re.IGNORECASE)


def read_image_lists(path: str | Path, ids: Sequence[str], key: str) -> tuple[list[list[int]], int]:
    """The pairs or clusters of images that a list holds.

    Each line holds the images of one, separated by blanks, commas or semicolons; brackets and quotes are ignored, and
    so is a first line that names no image (a header). Under a header that begins with "cluster" a line is the name of
    a cluster and one of its images instead. Where the ids are hashes, eight digits are enough.

    Args:
        path: text file, UTF-8.
        ids: of each image that is there.
        key: of the configuration that names the file.

    Returns:
        The rows of the images of each pair or cluster, and how many of the images listed are not there.

    Raises:
        UserError: a line holds something else, eight digits that begin two hashes, or an id could not be read in such
            a list; or the list names none of the images.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the list ({key}) cannot be read ({error}).") from error
    hashes = all(HASH.fullmatch(name) for name in ids)
    split = [name for name in ids if SEPARATORS.search(name)]
    if split:
        raise UserError(
            f"{path}: blanks, commas, semicolons, brackets and quotes separate the ids of a list of duplicates; found "
            f"such characters in {len(split)} ids of the images themselves, such as {split[0]!r}."
        )
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(ids):
        rows.setdefault(stem_of(name).casefold(), []).append(row)
        if hashes:
            rows.setdefault(name[:8], []).append(row)
    clusters_of: dict[str, list[int]] = {}
    absent = set()
    known = named = False
    for number, line in enumerate(lines, 1):
        fields = [field for field in SEPARATORS.split(line) if field]
        if number == 1 and fields and fields[0].casefold() == "cluster":
            named = True
            continue
        cluster = fields.pop(0) if named and fields else f"line {number}"
        names = [_name(field, hashes) for field in fields]
        if number == 1 and not any(name if hashes else name in rows for name in names):
            continue
        for field, name in zip(fields, names, strict=True):
            if not name:
                raise UserError(
                    f"{path}, line {number}: expected hashes or their first 8 digits, one pair or cluster a line; "
                    f"found {field!r}."
                )
            found = rows.get(name, [])
            if len(found) > 1:
                raise UserError(
                    f"{path}, line {number}: {name} begins the hashes of {len(found)} images; which one is meant, all "
                    "32 digits say."
                )
            clusters_of.setdefault(cluster, []).extend(found)
            known = known or bool(found)
            if not found:
                absent.add(name)
    if absent and not known and not hashes:
        raise UserError(
            f"{path}: expected ids of images, such as {ids[0]}; none of the {len(absent)} names in it is one, such as "
            f"{min(absent)}."
        )
    return list(clusters_of.values()), len(absent)


def links_along(lines: Sequence[Sequence[int]]) -> Links:
    """Links at distance 0 from each image of a line to the next."""
    pairs = np.array([pair for line in lines for pair in pairwise(line)], np.int64).reshape(-1, 2)
    return Links(pairs[:, 0], pairs[:, 1], np.zeros(len(pairs), np.float64))


def _name(field: str, hashes: bool) -> str:
    """The image that a field names, in lower case; "" for what cannot be a hash where all ids are."""
    stem = stem_of(field).casefold()
    if not hashes:
        return stem
    match = HASH.fullmatch(stem)
    return match[1] if match else ""
