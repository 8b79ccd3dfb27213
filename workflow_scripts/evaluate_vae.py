"""Evaluate one trained model on the test sets of its run."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from evenhand.data.tone import measure_tone
from evenhand.evaluation.distributions import Features
from evenhand.evaluation.pictures import choose_pictures, write_pictures
from evenhand.evaluation.reconstructions import (
    Pixels,
    decode,
    measured_skin,
    of_training,
    pooled_features,
    sample_prior,
)
from evenhand.models.codec import equal_error
from evenhand.models.family import load_weights
from evenhand.models.lpips import load_lpips
from evenhand.models.perceptual import PerceptualLoss, extractor_of, load_features
from evenhand.probes.openclip import embed_images, load_openclip
from evenhand.splits.manifests import (
    id_array,
    ids_of,
    read_cluster_of,
    read_draw,
    read_images,
    rows_of,
    training_images,
)
from evenhand.training.devices import add_gpu_options, keep_freed_memory, leased_device, make_deterministic, place
from evenhand.workflow.errors import run
from evenhand.workflow.files import write_checksums, write_npz
from evenhand.workflow.planning import local_folder
from evenhand.workflow.seeds import generator
from evenhand.workflow.tables import read_image_table, write_parquet

KNOWN = 400  # training images
OF_IMAGE = [
    *("id", "skin_type", "second_skin_type"),
    *("condition", "condition_2", "condition_3", "source"),
]


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    torch.set_num_threads(args.threads)
    config, seed = args.config["evaluate"], args.config["seed"]
    keep_freed_memory()
    make_deterministic(tf32=config["tf32"])
    model = load_weights(args.model)
    drawn = read_draw(args.test, args.run, None)
    test = ids_of(drawn)
    trained_on = training_images(
        args.model, args.training, args.train_set, args.run, test, read_cluster_of(args.clusters)
    )
    index = read_image_table(args.index)
    rows = rows_of(test, index["id"])
    images = read_images(args.images, rows)
    perceptual = PerceptualLoss(load_features(args.features), args.config["loss"]["perceptual_normalize"]).eval()
    training = read_images(args.images, rows_of(trained_on, index["id"]))
    chosen = training[choose_known(trained_on, generator(seed, "known", args.train_set, args.run))]
    extract, extractor = feature_extractor(config["extractor"], args.extractor_sum, perceptual, args.features)
    # A GPU is held for as long as the network works, not for what comes after it.
    with leased_device(config["device"], args.gpu_slots, "evaluating", args.gpus) as device:
        place(model, device)
        decoded = decode(
            model,
            images,
            test,
            place(perceptual, device),
            of_training(model, chosen, len(trained_on), seed=seed, batch_size=config["batch_size"], device=device),
            samples=config["samples"],
            seed=seed,
            batch_size=config["batch_size"],
            device=device,
            workers=args.threads,
            lpips=place(load_lpips(args.lpips, images.shape[1]), device) if args.lpips else None,
        )
        generated = {"posterior": decoded.reconstructions}
        if "prior" in model.GIVES:
            generated["prior"] = sample_prior(model, images.shape[1], config["prior_samples"], seed, device)
        if args.pictures:
            # As many as there are of each group: every number depends on how many are compared.
            shown = generated["prior"][: min(len(trained_on), *map(len, drawn.values()))]
            features = [
                extract(shown, device),
                # VGG19 has taken those of the test images for the distances.
                extract(images, device) if local_folder(config["extractor"]) else decoded.pooled,
                extract(training, device),
            ]
    on_skin = measured_skin(images, decoded.reconstructions, args.threads) if args.config["skin"] else {}
    measured = pd.DataFrame(decoded.columns | on_skin)
    group = np.array([name for name, names in drawn.items() for _ in names])
    reference = group == args.config["reference"]
    codec = equal_error(images, reference, measured.loc[reference, "mse"].mean(), args.threads)
    measured = measured.assign(
        codec_mse=codec.errors, codec_bits=codec.bits, codec_quality=codec.quality, codec_side=codec.side
    )

    table = index.loc[rows, OF_IMAGE].reset_index(drop=True)
    of_model = {"train_set": args.train_set, "compared_share": args.config["compared_share"], "run": args.run}
    for column, (name, value) in enumerate((of_model | {"group": group}).items()):
        table.insert(column, name, value)
    write_parquet(table.join(measured), args.evaluation)
    embeddings = {
        "id": id_array(table["id"]),
        "group": np.array(table["group"], dtype=str),
    }
    if decoded.latents is not None:
        embeddings["mu_pooled"] = decoded.latents.mean(axis=(2, 3))
        if config["full_latents"]:
            embeddings["mu"] = decoded.latents
    write_npz(embeddings, args.embeddings)
    samples = tones({"training": training} | generated, args.config["skin"], args.threads)
    write_parquet(samples.assign(**of_model)[[*of_model, "sample_of", "skin_share", "ita"]], args.samples)
    if args.pictures:
        draws = drawn, read_draw(args.training, args.run, args.train_set)
        write_pictures(choose_pictures(features, draws, **of_model, extractor=extractor, seed=seed), args.pictures)
    products = (args.evaluation, args.embeddings, args.samples, args.pictures)
    write_checksums([path for path in products if path], args.sums)
    print(
        measured.groupby(group)[["mse", *(name for name in ("latent_std", "kl") if name in measured)]]
        .mean()
        .to_string()
    )


def choose_known(names: Sequence[str], random: np.random.Generator) -> NDArray[np.int64]:
    """Places of the training images that scores hold test images against, drawn whatever the order of the names."""
    return np.argsort(names, kind="stable")[random.permutation(len(names))[:KNOWN]]


def feature_extractor(
    name: str, checksum: str, perceptual: PerceptualLoss, vgg19: str
) -> tuple[Callable[[Pixels, torch.device], Features], str]:
    """What takes the features of pictures (n, S, S, 3) on a device, and what it is in words.

    Args:
        name: `evaluate.extractor`.
        checksum: of the files that it names.
        perceptual: on the device before it is used.
        vgg19: its file.
    """
    if not (folder := local_folder(name)):
        return partial(pooled_features, perceptual), extractor_of(vgg19)
    model, preprocess = load_openclip(name)

    def embed(pictures: Pixels, device: torch.device) -> Features:
        return embed_images(model, preprocess, pictures, np.arange(len(pictures)), device)

    return embed, f"open_clip model {Path(*folder).name} (files {checksum[:12]}), image embedding"


def tones(pictures: Mapping[str, Pixels], skin: bool, threads: int) -> pd.DataFrame:
    """Apparent tones of pictures by what they are samples of, one row each; no row where there is no `skin`."""
    if not skin:
        return pd.DataFrame(columns=["skin_share", "ita", "sample_of"])
    there = {name: pixels for name, pixels in pictures.items() if len(pixels)}  # frozen models have no training images
    measured = [measure_tone(pixels, threads).assign(sample_of=name) for name, pixels in there.items()]
    samples = pd.concat(measured, ignore_index=True)
    samples["ita"] = samples["ita"].where(~samples["few_skin"].astype(bool))
    return samples


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="model.safetensors, with its run.json")
    parser.add_argument("--images", required=True, help="data/images.npy")
    parser.add_argument("--index", required=True, help="data/images.csv")
    parser.add_argument("--test", required=True, help="splits/run<r>/test.csv")
    parser.add_argument("--training", required=True, type=Path, help="splits/run<r>/train_<set>.csv")
    parser.add_argument("--clusters", help="data/isolated.csv: none of the cluster of a test image may be trained on")
    parser.add_argument("--features", required=True, help="VGG19 features from prepare_vgg19.py")
    parser.add_argument("--lpips", help="evaluate.lpips, where it names a file")
    parser.add_argument("--extractor-sum", default="", help="SHA-256 of the open_clip model that takes features")
    parser.add_argument("--train-set", required=True)
    parser.add_argument("--run", required=True, type=int)
    parser.add_argument(
        "--config",
        required=True,
        type=json.loads,
        help="JSON: seed, loss, evaluate, reference, compared_share, skin",
    )
    parser.add_argument("--threads", type=int, default=1)
    add_gpu_options(parser)
    parser.add_argument("--evaluation", required=True, help="output: Parquet, one row per test image")
    parser.add_argument("--embeddings", required=True, help="output: npz of latent means, pooled over space")
    parser.add_argument("--samples", required=True, help="output: Parquet of apparent tones, one row per picture")
    parser.add_argument("--pictures", help="output: npz of features of generated and real pictures, of who has a prior")
    parser.add_argument("--sums", help="output: SHA-256 of these")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
