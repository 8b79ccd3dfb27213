"""Reconstruct a few test images of one run, chosen by their error, under every training set."""

import argparse
from collections.abc import Sequence

import pandas as pd

from fairgen.devices import add_gpu_options, leased_device, make_deterministic, place
from fairgen.errors import run
from fairgen.evaluation import choose_examples, reconstruct
from fairgen.files import write_npz
from fairgen.images import id_array, read_images, read_names, rows_of
from fairgen.tables import read_parquet
from fairgen.weights import load_weights


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train-sets", required=True, nargs="+", help="names, in the order of the other lists")
    parser.add_argument("--models", required=True, nargs="+", help="model.safetensors of each training set")
    parser.add_argument("--evaluations", required=True, nargs="+", help="evaluation.parquet of each training set")
    parser.add_argument("--images", required=True, help="data/images.npy")
    parser.add_argument("--index", required=True, help="data/images.csv")
    parser.add_argument("--per-group", required=True, type=int, help="images of each group")
    parser.add_argument("--device", default="auto", choices=["auto", "cuda", "cpu"])
    add_gpu_options(parser)
    parser.add_argument("--output", required=True, help="npz: md5hash, group, quantile, input, ...")
    args = parser.parse_args(argv)

    make_deterministic()
    errors = pd.concat(
        [read_parquet(path, ["md5hash", "group", "mse"]) for path in args.evaluations], ignore_index=True
    )
    examples = choose_examples(errors, args.per_group)
    images = read_images(args.images, rows_of(examples["md5hash"], read_names(args.index)))
    with leased_device(args.device, args.gpu_slots, "reconstructing", args.gpus) as device:
        reconstructions = {
            f"reconstruction_{name}": reconstruct(place(load_weights(path)[0], device), images, device)
            for name, path in zip(args.train_sets, args.models, strict=True)
        }
    labels = {
        "md5hash": id_array(examples["md5hash"]),
        "group": examples["group"].to_numpy().astype("U5"),
        "quantile": examples["quantile"].to_numpy(),
    }
    write_npz(labels | {"input": images} | reconstructions, args.output)


if __name__ == "__main__":
    run(main)
