"""Reconstruct a few test images of one run, chosen by their error, under every training set."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from evenhand.evaluation.reconstructions import choose_examples, reconstruct
from evenhand.models.family import load_weights
from evenhand.splits.groups import read_train_sets
from evenhand.splits.manifests import id_array, read_cluster_of, read_images, read_names, rows_of, training_images
from evenhand.training.devices import add_gpu_options, leased_device, make_deterministic, place
from evenhand.workflow.errors import run
from evenhand.workflow.files import write_npz
from evenhand.workflow.tables import read_parquet


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train-sets", required=True, type=read_train_sets, help="settings/train_sets.json")
    parser.add_argument("--models", required=True, type=Path, help="folder of <set>/run0/model.safetensors")
    parser.add_argument("--splits", required=True, type=Path, help="folder of run0/train_<set>.csv")
    parser.add_argument("--clusters", help="data/isolated.csv: none of the cluster of an example may be trained on")
    parser.add_argument("--images", required=True, help="data/images.npy")
    parser.add_argument("--index", required=True, help="data/images.csv")
    parser.add_argument("--config", required=True, type=json.loads, help="JSON: examples (of each group), device")
    add_gpu_options(parser)
    parser.add_argument("--output", required=True, help="npz: id, group, quantile, input, ...")
    args = parser.parse_args(argv)

    make_deterministic()
    folders = {train_set.name: args.models / train_set.name / "run0" for train_set in args.train_sets}
    evaluations = [folder / "evaluation.parquet" for folder in folders.values()]
    errors = pd.concat([read_parquet(path, ["id", "group", "mse"]) for path in evaluations], ignore_index=True)
    examples = choose_examples(errors, args.config["examples"])
    images = read_images(args.images, rows_of(examples["id"], read_names(args.index)))
    shown, cluster_of = examples["id"].tolist(), read_cluster_of(args.clusters)
    reconstructions = {}
    with leased_device(args.config["device"], args.gpu_slots, "reconstructing", args.gpus) as device:
        for name, folder in folders.items():
            path = folder / "model.safetensors"
            training_images(path, args.splits / "run0" / f"train_{name}.csv", name, 0, shown, cluster_of)
            model = place(load_weights(path), device)
            reconstructions[f"reconstruction_{name}"] = reconstruct(model, images, device)[0]
    labels = {
        "id": id_array(examples["id"]),
        "group": np.array(examples["group"], dtype=str),
        "quantile": examples["quantile"].to_numpy(),
    }
    write_npz(labels | {"input": images} | reconstructions, args.output)


if __name__ == "__main__":
    run(main)
