"""Reconstruct the test images of one run under the models of every run, and score how much these differ."""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from evenhand.evaluation.measures import MEASURES
from evenhand.evaluation.reconstructions import ensemble_scores, images_at_a_time, reconstruct
from evenhand.evaluation.slug import slug
from evenhand.models.family import load_weights
from evenhand.models.vae import VAE
from evenhand.splits.manifests import (
    ids_of,
    read_cluster_of,
    read_draw,
    read_images,
    read_names,
    rows_of,
    seen_in_training,
    training_images,
)
from evenhand.training.devices import add_gpu_options, keep_freed_memory, leased_device, make_deterministic, place
from evenhand.workflow.errors import run
from evenhand.workflow.tables import write_parquet


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", required=True, type=Path, help="folder of run<r>/model.safetensors")
    parser.add_argument("--splits", required=True, type=Path, help="folder of run<r>/test.csv and train_<set>.csv")
    parser.add_argument("--clusters", help="data/isolated.csv: the clusters of training images count as seen")
    parser.add_argument("--train-set", required=True)
    parser.add_argument("--images", required=True, help="data/images.npy")
    parser.add_argument("--index", required=True, help="data/images.csv")
    parser.add_argument("--config", required=True, type=json.loads, help="JSON: runs, batch_size, device")
    parser.add_argument("--threads", type=int, default=1)
    add_gpu_options(parser)
    parser.add_argument("--output", required=True, help="Parquet: id, group, n_models, and scores")
    args = parser.parse_args(argv)

    torch.set_num_threads(args.threads)
    keep_freed_memory()
    make_deterministic()
    config = args.config
    drawn = read_draw(args.splits / "run0" / "test.csv", 0, None)
    group = [group for group, images in drawn.items() for _ in images]
    test = pd.DataFrame({"id": ids_of(drawn), "group": group})
    cluster_of = read_cluster_of(args.clusters)
    names = read_names(args.index)
    images = read_images(args.images, rows_of(test["id"], names))

    def trained(number: int) -> tuple[Path, list[str]]:
        """The model of a run, and the images that it was trained on."""
        path = args.models / f"run{number}" / "model.safetensors"
        manifest = args.splits / f"run{number}" / f"train_{args.train_set}.csv"
        # The model of the same run has seen none of the images.
        own_test = test["id"].tolist() if number == 0 else ()
        return path, training_images(path, manifest, args.train_set, number, own_test, cluster_of)

    def models(device: torch.device) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float64] | None, list[bool]]]:
        for number in range(config["runs"]):
            path, trained_on = trained(number)
            model = place(load_weights(path), device)
            size = images_at_a_time(config["batch_size"], images.shape[1])
            starts = range(0, len(images), size)
            parts = [reconstruct(model, images[start : start + size], device) for start in starts]
            pictures = np.concatenate([of_batch for of_batch, _ in parts])
            bounds = [of_batch for _, of_batch in parts if of_batch is not None]
            yield (
                pictures,
                np.concatenate(bounds) if bounds else None,
                seen_in_training(test["id"], trained_on, cluster_of),
            )

    with leased_device(config["device"], args.gpu_slots, "reconstructing", args.gpus) as device:
        table = ensemble_scores(test, images.shape, models(device))
        if config["slug"]:
            first, known = trained(0)
            training = read_images(args.images, rows_of(known, names))
            model = place(load_weights(first), device)
            assert isinstance(model, VAE)  # the only ones that `evaluate.slug` is accepted with
            ids = test["id"].tolist()
            variances = slug(model, images, ids, training, len(known), config["slug"], config["seed"], device)
            table["slug"] = MEASURES["slug"].of(variances)
    print(table.groupby("group").mean(numeric_only=True).to_string())
    write_parquet(table, args.output)


if __name__ == "__main__":
    run(main)
