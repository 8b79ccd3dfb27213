"""Train the model of one training set, run and start."""

import argparse
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from evenhand.models.family import Family, build, made_with, parameter_count, save_weights
from evenhand.models.fast import Adam
from evenhand.models.perceptual import PerceptualLoss, load_features
from evenhand.models.registry import declared
from evenhand.splits.manifests import ids_of, read_draw, read_images, read_names, rows_of, sum_of_draw
from evenhand.training.checkpoints import (
    History,
    ProgressCallback,
    file_lock,
    load_checkpoint,
    save_checkpoint,
    seconds_until_next,
)
from evenhand.training.devices import (
    add_gpu_options,
    choose_precision,
    device_reason,
    hardware,
    leased_device,
    make_deterministic,
    peak_memory_mb,
    place,
    spare_memory,
)
from evenhand.training.loop import model_seed, train
from evenhand.training.recipe import Recipe, require_variance
from evenhand.workflow.errors import UserError, run
from evenhand.workflow.files import sha256_of, write_json, write_text
from evenhand.workflow.finished import cache_products, key_of, restore_products
from evenhand.workflow.seeds import derive_seed


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    torch.set_num_threads(args.threads)
    make_deterministic(args.config["train"]["deterministic"])
    args.model.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(args.model.with_name(".lock")):
        train_one(args)


def train_one(args: argparse.Namespace) -> None:
    """Train the model of `args`, unless it has been; continue from its checkpoint where there is one."""
    config = args.config
    wanted = config["train"]["threads"]
    if args.threads != wanted:
        print(f"threads: {args.threads}, not the {wanted} of train.threads: Snakemake has given so many (--cores)")
    ids = ids_of(read_draw(args.manifest, args.run, args.train_set))
    images = read_images(args.images, rows_of(ids, read_names(args.index)))

    paired = config["train"]["paired_seeds"]
    seed = model_seed(config["seed"], args.train_set, args.run, paired=paired, start=args.start)
    family = declared(config["model"]["family"])
    recipe = Recipe.from_config(config["train"], config["loss"])
    torch.manual_seed(derive_seed(seed, "weights"))
    model = build(config["model"])
    require_variance(model.architecture, recipe, images.shape[1], len(images))
    features = load_features(args.features) if recipe.feature_scale > 0 else None
    record = {
        "config": config,
        "train_set": args.train_set,
        "run": args.run,
        **({"start": args.start} if args.start else {}),
        "seed": seed,
        "synthetic": json.loads(args.record.read_text())["synthetic"],
        "n_images": len(ids),
        "n_distinct": len(set(ids)),
        "manifest_sha256": sum_of_draw(ids),
        "images_sha256": hashlib.sha256(images.tobytes()).hexdigest(),
        "features_sha256": sha256_of(args.features) if features else None,
        "parameters": parameter_count(model),
        **made_with(family),
    }
    products = [args.model, args.history, args.run_record]
    finished = args.model.with_name(".finished")
    # A GPU is held for as long as it works, not while images are read and weights are written.
    with leased_device(config["train"]["device"], args.gpu_slots, "training", args.gpus) as device:
        record |= {"precision": choose_precision(config["train"]["precision"], device), **hardware(device)}
        key = key_of(record)
        if restore_products(finished, key, products):
            return
        history, measured = train_on(device, args, model, features, images, recipe, seed, record["precision"], key)
    measured["device_reason"] = device_reason(config["train"]["device"], device)
    with explained(args.model, f"epoch {len(history)}/{recipe.epochs}, the last"):
        save_weights(args.model, model, config["model"]["family"])
        write_text(history_csv(history), args.history)
        described = record | measured | {"model_sha256": sha256_of(args.model)}
        write_json(described, args.run_record)  # the last product
        cache_products(finished, key, products)
    checkpoint_of(args).unlink(missing_ok=True)


def train_on(
    device: torch.device,
    args: argparse.Namespace,
    model: Family,
    features: dict[str, torch.Tensor] | None,
    images: NDArray[np.uint8],
    recipe: Recipe,
    seed: int,
    precision: str,
    key: str,
) -> tuple[History, dict[str, float | str]]:
    """Train `model` on `device` to the last epoch, from the checkpoint of this `key` where there is one.

    The model ends on the CPU.

    Returns:
        The history, and what was measured: seconds, images per second, peak memory in MiB.
    """
    place(model, device)
    optimizer = Adam(model.parameters(), recipe.learning_rate)
    perceptual = None
    if features:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        perceptual = place(PerceptualLoss(features, args.config["loss"]["perceptual_normalize"], dtype), device)
    checkpoint = checkpoint_of(args)
    history = load_checkpoint(checkpoint, key, model, optimizer)
    epochs_before = len(history)
    board = args.model.with_name("tensorboard") if args.tensorboard else None
    progress = ProgressCallback(len(images), recipe.epochs, epochs_before, model.TERMS, board)
    last_saved, wait = time.perf_counter(), args.checkpoint_seconds

    def after_epoch(history: History) -> None:
        nonlocal last_saved, wait
        line = progress.epoch(history)
        begun = time.perf_counter()
        if begun - last_saved >= wait:
            with explained(checkpoint, line):
                save_checkpoint(checkpoint, key, model, optimizer, history)
            last_saved = time.perf_counter()
            wait = seconds_until_next(last_saved - begun, args.checkpoint_seconds)

    train(
        model,
        optimizer,
        perceptual,
        torch.from_numpy(images).to(device),
        recipe,
        seed,
        precision,
        history,
        after_epoch,
        progress.step,
        spare_memory(device, args.gpu_slots),
    )
    seconds = progress.close()
    trained = len(images) * (recipe.epochs - epochs_before)
    model.cpu()
    return history, {
        "seconds": seconds,
        "images_per_second": trained / seconds,
        "peak_memory_mb": peak_memory_mb(device),
    }


def checkpoint_of(args: argparse.Namespace) -> Path:
    """Where the state of the training is kept until it has ended."""
    path: Path = args.model.with_name(".checkpoint.safetensors")
    return path


@contextmanager
def explained(path: Path, state: str) -> Iterator[None]:
    """Turn a failure to write `path` into a `UserError` that names the `state` of the training."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        free = shutil.disk_usage(path.parent).free / 2**20
        raise UserError(
            f"cannot write {path} after {state}: {error}. {free:.0f} MiB of that disk are free. Make room and run "
            "again: training continues from its last checkpoint, which is kept."
        ) from error


def history_csv(history: History) -> str:
    """The history as CSV, numbers with ten significant digits as in all tables."""
    rows = [",".join(f"{value:.10g}" for value in row.values()) for row in history]
    return "\n".join([",".join(history[0]), *rows, ""])


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="data/images.npy")
    parser.add_argument("--index", required=True, help="data/images.csv")
    parser.add_argument("--record", required=True, type=Path, help="data/images.json")
    parser.add_argument("--manifest", required=True, help="splits/run<r>/train_<set>.csv")
    parser.add_argument("--features", required=True, help="VGG19 features from prepare_vgg19.py")
    parser.add_argument("--train-set", required=True)
    parser.add_argument("--run", required=True, type=int)
    parser.add_argument("--start", default=0, type=int, help="of several on this training set (splits.starts)")
    parser.add_argument("--config", required=True, type=json.loads, help="JSON: seed and blocks model, loss, train")
    parser.add_argument("--threads", type=int, default=1, help="processor threads; other numbers, other bits")
    add_gpu_options(parser)
    parser.add_argument("--tensorboard", type=int, choices=[0, 1], default=0, help="1: write losses for TensorBoard")
    # An epoch of a small network takes less than a second: saving each would cost more than training it again.
    parser.add_argument(
        "--checkpoint-seconds", type=float, default=20.0, help="least time between checkpoints; 0: one after each epoch"
    )
    parser.add_argument("--model", required=True, type=Path, help="output: model.safetensors")
    parser.add_argument("--history", required=True, type=Path, help="output: history.csv, one row per epoch")
    parser.add_argument("--run-record", required=True, type=Path, help="output: run.json")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
