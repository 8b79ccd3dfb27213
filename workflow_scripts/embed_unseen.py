"""Embed every packed photograph that a trained model has not seen: its latent means, of images beyond the test sets."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from evenhand.data.availability import FOUND
from evenhand.data.metadata import assign_group
from evenhand.evaluation.reconstructions import images_at_a_time
from evenhand.models.family import load_weights
from evenhand.splits.groups import groups_from
from evenhand.splits.manifests import id_array, read_cluster_of, read_images, seen_in_training, training_images
from evenhand.training.devices import add_gpu_options, leased_device, make_deterministic, place
from evenhand.training.loop import to_unit_range
from evenhand.workflow.errors import run
from evenhand.workflow.files import write_checksums, write_npz
from evenhand.workflow.progress import track
from evenhand.workflow.tables import read_image_table, write_image_table


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="model.safetensors, with its run.json")
    parser.add_argument("--images", required=True, help="data/images.npy")
    parser.add_argument("--index", required=True, help="data/images.csv")
    parser.add_argument("--training", required=True, type=Path, help="splits/run<r>/train_<set>.csv")
    parser.add_argument("--clusters", help="data/isolated.csv: the clusters of training images count as seen")
    parser.add_argument("--train-set", required=True)
    parser.add_argument("--run", required=True, type=int)
    parser.add_argument("--config", required=True, type=json.loads, help="JSON: groups, latents, batch_size, device")
    parser.add_argument("--threads", type=int, default=1)
    add_gpu_options(parser)
    parser.add_argument("--embeddings", required=True, help="output: npz of latent means")
    parser.add_argument("--metadata", required=True, help="output: CSV, the rows of the index with their group")
    parser.add_argument("--sums", help="output: SHA-256 of these two")
    args = parser.parse_args(argv)

    torch.set_num_threads(args.threads)
    make_deterministic()
    config = args.config
    groups = groups_from(config["groups"])
    model = load_weights(args.model)
    trained_on = training_images(args.model, args.training, args.train_set, args.run)
    index = read_image_table(args.index).drop(columns=FOUND)
    seen = np.array(seen_in_training(index["id"], trained_on, read_cluster_of(args.clusters)))
    table = index[~seen]
    rows = np.flatnonzero(~seen)
    with leased_device(config["device"], args.gpu_slots, "embedding", args.gpus) as device, torch.inference_mode():
        place(model, device)
        size = images_at_a_time(config["batch_size"], np.load(args.images, mmap_mode="r").shape[1])
        starts = range(0, len(rows), size)
        parts = []
        for first in track(starts, len(starts), "embedding", "batches"):
            images = torch.from_numpy(read_images(args.images, rows[first : first + size])).to(device)
            means = model.encode(to_unit_range(images))
            parts.append((means.mean(dim=(2, 3)) if config["latents"] == "pooled" else means).cpu().numpy())
    array = "mu_pooled" if config["latents"] == "pooled" else "mu"  # as evaluate_vae.py calls them
    write_npz({"id": id_array(table["id"]), array: np.concatenate(parts)}, args.embeddings)
    write_image_table(table.assign(group=assign_group(table, groups)), args.metadata)
    write_checksums([args.embeddings, args.metadata], args.sums)
    print(f"{len(rows)} of {len(index)} packed images, {int(seen.sum())} were in the training set {args.train_set}")


if __name__ == "__main__":
    run(main)
