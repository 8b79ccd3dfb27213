"""What the evaluation of a model costs beside its training: both on a few images, scaled to the study's sizes.

    python benchmarks/evaluation.py [--study studies/pilot.yaml] [--device cuda] [--images 64] [--threads 4]

Evaluation includes all measures of a test image, the pictures decoded from the prior, and the tones of test, training
and generated images. Network and sizes are those of config.yaml or of the study given. The share of the scores of
uncertainty and of the controls is what they need by themselves; Laplace's is given beside it.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

from study_options import read_study
from train_step import Ours

from evaluate_vae import KNOWN
from evenhand.data.tone import measure_tone
from evenhand.evaluation.reconstructions import decode, measured_skin, of_training, reconstruct, sample_prior
from evenhand.evaluation.scores import Training, complexity, luminance, reencoding
from evenhand.models.architecture import Architecture
from evenhand.models.family import Family
from evenhand.models.perceptual import PerceptualLoss
from evenhand.models.vgg19 import random_weights
from evenhand.training.devices import choose_precision, keep_freed_memory, place
from evenhand.training.loop import to_unit_range
from evenhand.training.recipe import Recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", help="overlay, such as studies/pilot.yaml")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, default=16, help="measured on each side; one training batch")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_freed_memory()

    config = read_study(args.study)
    splits, n, device = config["splits"], args.images, torch.device(args.device)
    precision = choose_precision(config["train"]["precision"], device)
    architecture = Architecture.from_config(config["model"])
    side = config["data"]["image_size"]
    pixels = np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    epochs = config["train"]["epochs"]
    config["train"] |= {"batch_size": n, "epochs": 1}
    recipe = Recipe.from_config(config["train"], config["loss"])
    trainer = Ours(architecture, random_weights(0), torch.from_numpy(pixels), recipe, device, precision)
    perceptual = place(PerceptualLoss(random_weights(0), False).eval(), device)  # in fp32, as evaluations take it

    known = max(2, round(n * KNOWN / (2 * splits["test_size"])))  # as many to a test image as in an evaluation

    def test() -> None:
        decoded = decode(
            trainer.model.eval(), pixels, [str(i) for i in range(n)], perceptual,
            of_training(trainer.model.eval(), pixels[:known], n, seed=0, batch_size=n, device=device), seed=0,
            samples=config["evaluate"]["samples"], batch_size=n, device=device, workers=args.threads,
        )  # fmt: skip
        measured_skin(pixels, decoded.reconstructions, args.threads)

    def prior() -> None:
        measure_tone(sample_prior(trainer.model.eval(), side, n, 0, device), args.threads)

    scoring, laplace = scores(trainer.model.eval(), pixels, known, device)
    training = seconds(trainer.epoch) / n
    testing, generating = seconds(test) / n, seconds(prior) / n
    toning = seconds(lambda: measure_tone(pixels, args.threads)) / n
    whole = training * splits["train_size"] * epochs
    tests = 2 * splits["test_size"]
    part = testing * tests + generating * config["evaluate"]["prior_samples"] + toning * (tests + splits["train_size"])
    print(f"{args.device}, {precision} training, {args.threads} threads, {n} images at a time of {side} px")
    print(f"a training image {1e3 * training:.1f} ms, a test image {1e3 * testing:.1f} ms, from the prior "
          f"{1e3 * generating:.1f} ms, a tone {1e3 * toning:.2f} ms")  # fmt: skip
    print(f"scores {1e3 * scoring:.1f} ms a test image, {scoring * tests / part:.0%} of an evaluation, and Laplace's "
          f"{1e3 * laplace:.1f} ms, {laplace * tests / part:.0%}")  # fmt: skip
    print(f"a model: training {whole:.0f} s, evaluation {part:.0f} s, training / evaluation {whole / part:.1f}")


def scores(model: Family, pixels: np.ndarray, known: int, device: torch.device) -> tuple[float, float]:
    """Seconds an image for all scores and controls but Laplace's, and for that one.

    The first `known` images stand for those of the training. Each model also reconstructs the test images of the first
    run (measure_ensemble), as many as it has of its own.
    """
    n, target = len(pixels), to_unit_range(torch.from_numpy(pixels).to(device))
    # The same model, of a family that does not tell its last layer.
    other = SimpleNamespace(reconstruct=lambda batch: replace(model.reconstruct(batch), last_layer=None))
    with torch.no_grad():
        found = model.reconstruct(target)
    latents, last_layer = found.latents, found.last_layer
    assert latents is not None
    assert last_layer is not None

    def of_known(of: Family | SimpleNamespace) -> Training:
        return of_training(of, pixels[:known], n, seed=0, batch_size=n, device=device)  # type: ignore[arg-type]

    @torch.no_grad()
    def score() -> None:
        of_known(other).distance(latents)
        reencoding(latents, model.encode(found.image)).cpu()
        reconstruct(model, pixels, device)
        for image in pixels:
            complexity(image)
            luminance(image)

    @torch.no_grad()
    def laplace() -> None:
        posterior = of_known(model).last_layer
        assert posterior is not None
        posterior.variance(*last_layer, found.image).cpu()

    return seconds(score) / n, (seconds(laplace) - seconds(lambda: of_known(other))) / n


def seconds(run: Callable[[], object], repeats: int = 2) -> float:
    """The faster of `repeats` calls after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times)


if __name__ == "__main__":
    main()
