"""Find near-duplicates and series of one patient: links and why, clusters, what other thresholds would have found."""

import argparse
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from evenhand.data.duplicate_tables import (
    cluster_list,
    cluster_table,
    compare_thresholds,
    describe_clusters,
    gather_links,
    links_along,
    nearest_pairs,
    read_image_lists,
    summarise_clusters,
)
from evenhand.data.duplicates import (
    CHAIN,
    KEPT_APART,
    TOO_LOOSE,
    Links,
    cosine_links,
    hash_links,
    join,
    perceptual_hashes,
    read_embeddings,
)
from evenhand.data.feature_search import COPY_LIKENESS, find_matches, trusted
from evenhand.data.local_features import copy_likeness
from evenhand.data.metadata import assign_group
from evenhand.splits.groups import groups_from
from evenhand.workflow.errors import UserError, run
from evenhand.workflow.files import write_npz
from evenhand.workflow.finished import make_once
from evenhand.workflow.tables import read_image_table, write_csv

BITS = (0, 2, 4, 6, 8, 10)
INLIERS = (20, 16, 14, 12, 10, 8, 6)
SIMILARITY, MIN_INLIERS = 0.95, 10  # where the configuration leaves them open


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, type=Path, help="photographs, .npy; features: of 160 pixels a side")
    parser.add_argument("--packed", required=True, help="CSV: row i names photograph i")
    parser.add_argument("--index", required=True, help="data/images.csv: the photographs of the study, the same ones")
    parser.add_argument("--config", required=True, type=json.loads, help="JSON: duplicates (of data) and groups")
    parser.add_argument("--work", required=True, type=Path, help="folder for what a killed run goes on from")
    parser.add_argument("--finished", type=Path, help="folder that keeps the products, for equal jobs of other studies")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--duplicates", required=True, help="output CSV: id, cluster, size")
    parser.add_argument("--list", required=True, help="output CSV: one row per photograph in a cluster of several")
    parser.add_argument("--links", required=True, help="output CSV: one row per pair, and why")
    parser.add_argument("--pairs", required=True, help="output .npz: the pairs nearest to the threshold")
    parser.add_argument("--clusters", required=True, help="output CSV: one row per cluster")
    parser.add_argument("--thresholds", required=True, help="output CSV: one row per threshold")
    parser.add_argument("--summary", required=True, help="output CSV: one row")
    args = parser.parse_args(argv)

    given = [args.config["duplicates"][key] for key in ("embeddings", "list", "not_same")]
    read = [args.images, args.packed, args.index, *filter(None, given)]
    outputs = ("duplicates", "list", "links", "pairs", "clusters", "thresholds", "summary")
    products = [Path(getattr(args, name)) for name in outputs]
    make_once(args.finished, args.config, read, products, lambda: find(args))


def find(args: argparse.Namespace) -> None:
    """Search the photographs of `args` and write the tables."""
    settings = args.config["duplicates"]
    index = read_image_table(args.index)
    index["group"] = assign_group(index, groups_from(args.config["groups"]))
    ids = index["id"].tolist()
    if read_image_table(args.packed, ["id"])["id"].tolist() != ids:
        raise UserError(
            f"{args.packed}: expected the photographs of {args.index}; found others, as files have changed in "
            "between. Pack them again: snakemake --forcerun pack_images pack_for_search"
        )
    rank = np.argsort(np.argsort(index["id"].to_numpy(str), kind="stable"))
    found, thresholds = _found_in_pictures(args, settings, index, rank)
    elsewhere, apart = _found_elsewhere(settings, ids)
    linked = gather_links(found | elsewhere, rank)
    counts = linked["fate"] != TOO_LOOSE
    cluster, linked.loc[counts, "fate"] = join(len(index), linked[counts], apart)
    refused = linked[linked["found_by"].str.contains("list") & (linked["fate"] == KEPT_APART)]
    if len(refused):
        raise UserError(
            f"data.duplicates.list: links {ids[refused['first'].iloc[0]]} and {ids[refused['second'].iloc[0]]}, "
            "which data.duplicates.not_same keeps apart, or images that their links lead to."
        )
    table = cluster_table(ids, cluster)
    described = describe_clusters(index.assign(cluster=table["cluster"]))
    summary = summarise_clusters(described, len(index)).assign(
        links=int(counts.sum()),
        links_kept_apart=int((linked["fate"] == KEPT_APART).sum()),
        links_of_chains=int((linked["fate"] == CHAIN).sum()),
    )
    write_npz(nearest_pairs(linked, np.load(args.images, mmap_mode="r"), settings["method"]), args.pairs)
    names = index["id"].to_numpy()
    write_csv(linked.assign(first=names[linked["first"]], second=names[linked["second"]]), args.links)
    write_csv(cluster_list(table), args.list)
    write_csv(described, args.clusters)
    write_csv(thresholds, args.thresholds)
    write_csv(summary, args.summary)
    write_csv(table, args.duplicates)
    shutil.rmtree(args.work, ignore_errors=True)
    print(summary.iloc[0].to_string())


def _found_elsewhere(settings: dict[str, Any], ids: Sequence[str]) -> tuple[dict[str, pd.DataFrame], list[list[int]]]:
    """Pairs by embedding and from the user's list, for `gather_links`; and what the user wants to be kept apart."""
    found: dict[str, pd.DataFrame] = {}
    apart: list[list[int]] = []
    if settings["embeddings"]:
        similarity = settings["similarity"] or SIMILARITY
        print(f"{settings['embeddings']}: embeddings link from a cosine of {similarity}")
        links = cosine_links(read_embeddings(Path(settings["embeddings"]), ids), similarity)
        found["embedding"] = _frame(links, 1 - similarity).assign(similarity=1 - links.distance)
    if settings["list"]:
        lines, absent = read_image_lists(settings["list"], ids, "data.duplicates.list")
        found["list"] = _frame(links_along(lines), 1)
        print(f"{settings['list']}: {len(found['list'])} links, {absent} images that are not there")
    if settings["not_same"]:
        apart, absent = read_image_lists(settings["not_same"], ids, "data.duplicates.not_same")
        print(f"{settings['not_same']}: {len(apart)} entries kept apart, {absent} images that are not there")
    return found, apart


def _found_in_pictures(
    args: argparse.Namespace, settings: dict[str, Any], index: pd.DataFrame, rank: npt.NDArray[np.int64]
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Pairs by hash and, where asked for, by local features, for `gather_links`; and what other thresholds find."""
    threshold = settings["threshold"]
    all_bits = sorted({*BITS, threshold})
    pictures = np.load(args.images, mmap_mode="r")
    by_hash = hash_links(perceptual_hashes(pictures, settings["mirrored"]), all_bits[-1])
    hashes = _frame(by_hash, threshold).assign(hash_bits=by_hash.distance)
    compared = [compare_thresholds(index, by_hash, all_bits, threshold).assign(method="hash")]
    if settings["method"] == "hash":
        return {"hash": hashes}, compared[0]
    mirrored = (False, True)[: 1 + settings["mirrored"]]
    near = [(one, two, mirror) for one, two in zip(by_hash.first, by_hash.second, strict=True) for mirror in mirrored]
    matches = find_matches(
        args.images, rank, np.array(near, np.int64).reshape(-1, 3), settings["mirrored"], args.work, args.workers
    )
    least = settings["inliers"] or MIN_INLIERS
    good = trusted(matches)
    features = matches.assign(looseness=(least / matches["inliers"]).where(good, np.inf))
    # A hash by itself is not believed: the pictures have to be alike as they are.
    close = hashes["looseness"] <= 1
    alike = [
        max(copy_likeness(pictures[one], pictures[two], mirror) for mirror in mirrored)
        for one, two in hashes.loc[close, ["first", "second"]].itertuples(index=False)
    ]
    hashes.loc[close, "looseness"] = hashes.loc[close, "looseness"].where(np.array(alike) >= COPY_LIKENESS, np.inf)
    counted = matches[good]
    by_features = Links(
        counted["first"].to_numpy(), counted["second"].to_numpy(), -counted["inliers"].to_numpy(np.float64)
    )
    lower = [-inliers for inliers in sorted({*INLIERS, least}, reverse=True)]
    table = compare_thresholds(index, by_features, lower, -least).assign(method="features")
    compared.insert(0, table.assign(threshold=-table["threshold"]))
    compared[1]["chosen"] = False
    return {"features": features, "hash": hashes}, pd.concat(compared, ignore_index=True)


def _frame(links: Links, radius: float) -> pd.DataFrame:
    """Links for `gather_links`: their distance as a part of the largest that counts, 0 where only 0 does."""
    looseness = links.distance / radius if radius else np.where(links.distance > 0, np.inf, 0.0)
    return pd.DataFrame({"first": links.first, "second": links.second, "looseness": looseness})


if __name__ == "__main__":
    run(main)
