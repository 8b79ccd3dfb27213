"""Embed the packed images of all groups with an open_clip model."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evenhand.data.availability import FOUND
from evenhand.data.metadata import assign_group
from evenhand.probes.openclip import embed_images, load_openclip
from evenhand.splits.groups import groups_from
from evenhand.splits.manifests import id_array
from evenhand.training.devices import add_gpu_options, leased_device, make_deterministic
from evenhand.workflow.errors import UserError, run
from evenhand.workflow.files import write_checksums, write_npz
from evenhand.workflow.tables import read_image_table, write_image_table


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, type=Path, help="data/images.npy")
    parser.add_argument("--index", required=True, type=Path, help="data/images.csv")
    parser.add_argument("--config", required=True, type=json.loads, help="JSON: model (of open_clip), groups, device")
    add_gpu_options(parser)
    parser.add_argument("--embeddings", required=True, type=Path, help="NPZ to write")
    parser.add_argument("--metadata", required=True, help="CSV to write: the rows of the index with their group")
    parser.add_argument("--sums", help="file to write: SHA-256 of these two")
    args = parser.parse_args(argv)

    make_deterministic()
    index = read_image_table(args.index).drop(columns=FOUND)
    group = assign_group(index, groups_from(args.config["groups"]))
    table = index.assign(group=group)[group != ""]
    if table.empty:
        raise UserError(f"{args.index}: expected images of the groups of splits.groups, found none.")
    model, preprocess = load_openclip(args.config["model"])
    images = np.load(args.images, mmap_mode="r")
    with leased_device(args.config["device"], args.gpu_slots, "embedding", args.gpus) as device:
        embedding = embed_images(model, preprocess, images, table["row"].to_numpy(dtype=np.int64), device)
    write_npz({"id": id_array(table["id"]), "embedding": embedding}, args.embeddings)
    write_image_table(table, args.metadata)
    write_checksums([args.embeddings, args.metadata], args.sums)


if __name__ == "__main__":
    run(main)
