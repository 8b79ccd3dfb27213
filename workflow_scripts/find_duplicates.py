"""Find near-duplicate photographs: clusters, what they mix up, and what other thresholds would have found."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evenhand.data.duplicate_tables import (
    cluster_table,
    compare_thresholds,
    describe_clusters,
    read_duplicate_list,
    summarise_clusters,
)
from evenhand.data.duplicates import clusters, cosine_links, hash_links, perceptual_hashes, read_embeddings
from evenhand.data.metadata import assign_group
from evenhand.splits.groups import groups_from
from evenhand.workflow.errors import run
from evenhand.workflow.tables import read_image_table, write_csv

THRESHOLDS = (0, 2, 4, 6, 8, 10)
SIMILARITY = 0.95  # where the configuration leaves it open


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="data/images.npy")
    parser.add_argument("--index", required=True, help="data/images.csv")
    parser.add_argument("--config", required=True, type=json.loads, help="JSON: duplicates (of data) and groups")
    parser.add_argument("--duplicates", required=True, help="output CSV: id, cluster, size")
    parser.add_argument("--clusters", required=True, help="output CSV: one row per cluster")
    parser.add_argument("--thresholds", required=True, help="output CSV: one row per threshold")
    parser.add_argument("--summary", required=True, help="output CSV: one row")
    args = parser.parse_args(argv)

    settings = args.config["duplicates"]
    index = read_image_table(args.index)
    index["group"] = assign_group(index, groups_from(args.config["groups"]))
    ids = index["id"].tolist()
    codes = perceptual_hashes(np.load(args.images, mmap_mode="r"), settings["mirrored"])
    thresholds = sorted({*THRESHOLDS, settings["threshold"]})
    by_hash = hash_links(codes, thresholds[-1])
    links = [by_hash.within(settings["threshold"])]
    if settings["embeddings"]:
        similarity = settings["similarity"] or SIMILARITY
        print(f"{settings['embeddings']}: embeddings link from a cosine of {similarity}")
        links.append(cosine_links(read_embeddings(Path(settings["embeddings"]), ids), similarity))
    if settings["list"]:
        listed, absent = read_duplicate_list(settings["list"], ids)
        links.append(listed)
        print(f"{settings['list']}: {len(listed.first)} links, {absent} images that are not there")
    table = cluster_table(ids, clusters(len(index), links))
    described = describe_clusters(index.assign(cluster=table["cluster"]))
    summary = summarise_clusters(described, len(index))
    write_csv(table, args.duplicates)
    write_csv(described, args.clusters)
    write_csv(compare_thresholds(index, by_hash, thresholds, settings["threshold"]), args.thresholds)
    write_csv(summary, args.summary)
    print(summary.iloc[0].to_string())


if __name__ == "__main__":
    run(main)
