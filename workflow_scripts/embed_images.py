"""Embed the packed images of both groups with an open_clip model."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evenhand.data.availability import FOUND
from evenhand.data.images import id_array
from evenhand.data.metadata import assign_group
from evenhand.probes.openclip import embed_images, load_openclip
from evenhand.training.devices import add_gpu_options, leased_device, make_deterministic
from evenhand.workflow.checksums import seal
from evenhand.workflow.errors import UserError, run
from evenhand.workflow.files import write_npz
from evenhand.workflow.tables import read_table, write_csv


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="name that open_clip knows")
    parser.add_argument("--images", required=True, type=Path, help="data/images.npy")
    parser.add_argument("--index", required=True, type=Path, help="data/images.csv")
    parser.add_argument("--label", required=True, help="column of the skin type")
    parser.add_argument("--light", required=True, type=int, nargs="+", help="skin types of the light group")
    parser.add_argument("--dark", required=True, type=int, nargs="+", help="skin types of the dark group")
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu")
    add_gpu_options(parser)
    parser.add_argument("--embeddings", required=True, type=Path, help="NPZ to write")
    parser.add_argument("--metadata", required=True, help="CSV to write: the rows of the index with their group")
    parser.add_argument("--sums", help="file to write: SHA-256 of these two")
    args = parser.parse_args(argv)

    make_deterministic()
    index = read_table(args.index).drop(columns=FOUND)
    group = assign_group(index[args.label], args.light, args.dark)
    table = index.assign(group=group)[group != ""]
    if table.empty:
        raise UserError(f"{args.index}: no image has one of the skin types {args.light + args.dark} in {args.label}")
    model, preprocess = load_openclip(args.model)
    images = np.load(args.images, mmap_mode="r")
    with leased_device(args.device, args.gpu_slots, "embedding", args.gpus) as device:
        embedding = embed_images(model, preprocess, images, table["row"].to_numpy(dtype=np.int64), device)
    write_npz({"md5hash": id_array(table["md5hash"]), "embedding": embedding}, args.embeddings)
    write_csv(table, args.metadata)
    seal([args.embeddings, args.metadata], args.sums)


if __name__ == "__main__":
    run(main)
