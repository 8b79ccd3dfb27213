"""Reconstruct the test images of one run under the models of every run, and measure how much these differ."""

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fairgen.devices import add_gpu_options, leased_device, make_deterministic, place
from fairgen.ensemble import ensemble_variance
from fairgen.errors import run
from fairgen.evaluation import images_at_a_time, reconstruct
from fairgen.images import read_images, read_names, rows_of
from fairgen.seals import check_seal
from fairgen.tables import read_table, write_parquet
from fairgen.weights import load_weights


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", required=True, nargs="+", help="model.safetensors of every run")
    parser.add_argument("--manifests", required=True, nargs="+", help="splits/run<r>.csv, in the order of the models")
    parser.add_argument("--train-set", required=True)
    parser.add_argument("--images", required=True, help="data/images.npy")
    parser.add_argument("--index", required=True, help="data/images.csv")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--device", default="auto", choices=["auto", "cuda", "cpu"])
    parser.add_argument("--threads", type=int, default=1)
    add_gpu_options(parser)
    parser.add_argument("--output", required=True, help="Parquet: md5hash, group, n_models, ensemble_var")
    args = parser.parse_args(argv)

    torch.set_num_threads(args.threads)
    make_deterministic()
    for path in args.manifests:
        check_seal(path)
    manifests = [read_table(path) for path in args.manifests]
    test = manifests[0][manifests[0]["role"].isin(["test_light", "test_dark"])].reset_index(drop=True)
    images = read_images(args.images, rows_of(test["md5hash"], read_names(args.index)))

    def models(device: torch.device) -> Iterator[tuple[NDArray[np.uint8], set[str]]]:
        for path, manifest in zip(args.models, manifests, strict=True):
            model = place(load_weights(path)[0], device)
            size = images_at_a_time(args.batch_size, images.shape[1])
            starts = range(0, len(images), size)
            parts = [reconstruct(model, images[start : start + size], device) for start in starts]
            trained_on = manifest.loc[manifest["role"] == f"train_{args.train_set}", "md5hash"]
            yield np.concatenate(parts), set(trained_on)

    with leased_device(args.device, args.gpu_slots, "reconstructing", args.gpus) as device:
        table = ensemble_variance(test, images.shape, models(device))
    print(table.groupby("group")[["n_models", "ensemble_var"]].mean().to_string())
    write_parquet(table, args.output)


if __name__ == "__main__":
    run(main)
