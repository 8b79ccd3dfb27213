"""Train the VAE of one training set and run."""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from fairgen.adam import Adam
from fairgen.checkpoints import History, load_checkpoint, save_checkpoint
from fairgen.devices import choose_precision, hardware, leased_device, make_deterministic, peak_memory_mb, place
from fairgen.errors import UserError, run
from fairgen.files import sha256_of, write_json, write_text
from fairgen.finished import code_fingerprint, keep, restore, sole
from fairgen.images import read_images, read_names, rows_of
from fairgen.model import VAE, Architecture, parameter_count
from fairgen.perceptual import load_perceptual_loss
from fairgen.seeds import derive_seed
from fairgen.training import LOSS_TERMS, Recipe, train
from fairgen.weights import save_weights


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    torch.set_num_threads(args.threads)
    make_deterministic()
    args.model.parent.mkdir(parents=True, exist_ok=True)
    with (
        sole(args.model.with_name(".lock")),
        leased_device(args.config["train"]["device"], args.gpu_slots) as device,
    ):
        train_one(args, device)


def train_one(args: argparse.Namespace, device: torch.device) -> None:
    """Train the model of `args` on `device`, unless it has been; continue from its checkpoint where there is one."""
    config = args.config
    precision = choose_precision(config["train"]["precision"], device)
    hashes = read_names(args.manifest, role=f"train_{args.train_set}")
    if not hashes:
        raise UserError(f"{args.manifest} has no images for training set {args.train_set}: check splits.train_sets")
    images = read_images(args.images, rows_of(hashes, read_names(args.index)))

    seed = derive_seed(config["seed"], "train", args.train_set, args.run)
    architecture = Architecture.from_config(config["model"])
    recipe = Recipe.from_config(config["train"], config["loss"])
    torch.manual_seed(derive_seed(seed, "weights"))
    model = place(VAE(architecture), device)
    optimizer = Adam(model.parameters(), recipe.learning_rate)
    perceptual = None
    if recipe.feature_scale > 0:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        perceptual = place(load_perceptual_loss(args.features, config["loss"]["perceptual_normalize"], dtype), device)

    record = {
        "config": config,
        "train_set": args.train_set,
        "run": args.run,
        "seed": seed,
        "synthetic": json.loads(args.record.read_text())["synthetic"],
        "n_images": len(hashes),
        "n_distinct": len(set(hashes)),
        "manifest_sha256": hashlib.sha256("\n".join(hashes).encode()).hexdigest(),
        "images_sha256": hashlib.sha256(images.tobytes()).hexdigest(),
        "features_sha256": sha256_of(args.features) if perceptual else None,
        "parameters": parameter_count(model),
        "precision": precision,
        "versions": {"python": sys.version.split()[0], "torch": torch.__version__, "numpy": np.__version__},
        **hardware(device),
    }
    key = hashlib.sha256(json.dumps([record, code_fingerprint()], sort_keys=True).encode()).hexdigest()
    products = [args.model, args.history, args.run_record]
    finished = args.model.with_name(".finished")
    if restore(finished, key, products):
        return
    checkpoint = args.model.with_name(".checkpoint.safetensors")
    history = load_checkpoint(checkpoint, key, model, optimizer)
    epochs_before = len(history)
    last_saved = start = time.perf_counter()
    # Shown on a terminal only; a log gets one line per epoch.
    bar = tqdm(total=len(images) * recipe.epochs, initial=len(images) * epochs_before, unit=" images", disable=None)

    def after_epoch(history: list[dict[str, float]]) -> None:
        nonlocal last_saved
        now = time.perf_counter()
        terms = "  ".join(f"{name} {history[-1][name]:.4f}" for name in LOSS_TERMS)
        rate = len(images) * (len(history) - epochs_before) / (now - start)
        bar.write(f"epoch {len(history)}/{recipe.epochs}  {terms}  {rate:.0f} images/s")
        if now - last_saved >= args.checkpoint_seconds:
            save_checkpoint(checkpoint, key, model, optimizer, history)
            last_saved = time.perf_counter()

    train(
        model,
        optimizer,
        perceptual,
        torch.from_numpy(images).to(device),
        architecture.latent_shape(images.shape[1]),
        recipe,
        seed,
        precision,
        history,
        after_epoch,
        bar.update,
    )
    bar.close()
    seconds = time.perf_counter() - start
    trained = len(images) * (recipe.epochs - epochs_before)
    measured = {"seconds": seconds, "images_per_second": trained / seconds, "peak_memory_mb": peak_memory_mb(device)}
    save_weights(args.model, model, architecture)
    write_text(history_csv(history), args.history)
    write_json(record | measured, args.run_record)  # the last product
    keep(finished, key, products)
    checkpoint.unlink(missing_ok=True)


def history_csv(history: History) -> str:
    """The history as CSV, numbers with ten significant digits as in all tables."""
    rows = [",".join(f"{value:.10g}" for value in row.values()) for row in history]
    return "\n".join([",".join(history[0]), *rows, ""])


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="data/images.npy")
    parser.add_argument("--index", required=True, help="data/images.csv")
    parser.add_argument("--record", required=True, type=Path, help="data/images.json")
    parser.add_argument("--manifest", required=True, help="splits/run<r>.csv")
    parser.add_argument("--features", required=True, help="VGG19 features from prepare_vgg19.py")
    parser.add_argument("--train-set", required=True)
    parser.add_argument("--run", required=True, type=int)
    parser.add_argument("--config", required=True, type=json.loads, help="JSON: seed and blocks model, loss, train")
    parser.add_argument("--threads", type=int, default=1, help="processor threads; other numbers, other bits")
    parser.add_argument("--gpu-slots", type=int, default=1, help="jobs that share one GPU")
    # An epoch of a small network takes less than a second: saving each would cost more than training it again.
    parser.add_argument("--checkpoint-seconds", type=float, default=20.0, help="least time between checkpoints")
    parser.add_argument("--model", required=True, type=Path, help="output: model.safetensors")
    parser.add_argument("--history", required=True, type=Path, help="output: history.csv, one row per epoch")
    parser.add_argument("--run-record", required=True, type=Path, help="output: run.json")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
