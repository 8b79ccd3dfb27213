"""Speed and memory of training, beside the published recipe written plainly (`published_recipe.py`) in the same run.

    python benchmarks/train_step.py speed      images/s of both over short epochs, ratios, share of the matrix peak
    python benchmarks/train_step.py layers     every 3x3 convolution: work, traffic, roofline bound and time
    python benchmarks/train_step.py profile    where a step's time goes, by group of kernels
    python benchmarks/train_step.py memory     peak memory of training
    python benchmarks/startup.py               from process start to the first optimiser step, beside `import torch`

The network is that of config.yaml; another study: --study studies/pilot.yaml. `benchmarks/gpu_check.py` does the same
for a GPU and more; these parts take --device cuda as well.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.autograd import DeviceType  # type: ignore[attr-defined]  # as PyTorch documents it
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

from device_speed import bandwidth, matrix_peak, seconds
from published_recipe import PublishedRecipe, best_mode
from study_options import parse_study, study_parser

from evenhand.models.architecture import Architecture
from evenhand.models.fast import Adam, plain_norm_elu_convolution
from evenhand.models.perceptual import PerceptualLoss
from evenhand.models.vae import VAE
from evenhand.models.vgg19 import random_weights
from evenhand.splits.manifests import read_images
from evenhand.training.devices import choose_precision, make_deterministic, peak_memory_mb, place, spare_memory
from evenhand.training.loop import known_targets, steps_of, targets_at, to_unit_range, train
from evenhand.training.recipe import Recipe

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Groups of kernels by parts of their names, on CUDA and on a processor; the first that fits counts.
GROUPS = {
    "convolution": ("conv", "xmma", "cutlass", "gemm", "sm80", "sm90", "cudnn::", "wgrad", "dgrad", "reorder"),
    "batch norm": ("batch_norm", "bn_", "batchnorm"),
    "pooling, upsampling": ("pool", "upsample"),
    "optimiser, gradient norm": ("adam", "multi_tensor", "foreach", "norm"),
    "copies": ("copy", "to_copy", "memcpy", "memset", "fill", "zero_", "cat", "clone", "index"),
    "activations": ("elu", "relu", "threshold", "tanh", "clamp"),
}


class Ours:
    """A model, its optimiser and `evenhand.training.loop.train` over one epoch."""

    def __init__(
        self, architecture: Architecture, features: dict[str, Tensor], images: Tensor, recipe: Recipe,
        device: torch.device, precision: str,
    ) -> None:  # fmt: skip
        self.model, self.recipe, self.precision = place(VAE(architecture), device).train(), recipe, precision
        self.perceptual = (
            place(PerceptualLoss(features, False, DTYPES[precision]), device) if recipe.feature_scale else None
        )
        self.optimizer = Adam(self.model.parameters(), recipe.learning_rate)
        self.images, self.shape = images.to(device), architecture.latent_shape(images.shape[1])
        self.noise = torch.randn(recipe.batch_size, *self.shape, generator=torch.Generator().manual_seed(0)).to(device)
        self.memory = spare_memory(device, 1)
        known = known_targets(self.perceptual, self.images, recipe, recipe.epochs, self.memory)
        self.steps = steps_of(self.model, self.optimizer, self.perceptual, known, recipe, precision)
        self.places = torch.arange(min(len(images), recipe.batch_size), device=device)

    def epoch(self) -> None:
        after, progress = lambda history: None, lambda n: None
        train(self.model, self.optimizer, self.perceptual, self.images, self.recipe, 0, self.precision,
              [], after, progress, self.memory)  # fmt: skip

    def step(self) -> Tensor:
        """One step on the first images and ever the same noise."""
        target = targets_at(self.images, self.places)
        return self.steps(target, self.noise[: len(target)], self.places)


def useful_work(architecture: Architecture, recipe: Recipe, side: int) -> float:
    """FLOP per image that a step needs as published; ours takes fewer, but what was asked for stays the same."""
    with patch("evenhand.models.vae.norm_elu_convolution", plain_norm_elu_convolution):
        return work_done(architecture, recipe, side, 2)


def work_done(architecture: Architecture, recipe: Recipe, side: int, batch: int) -> float:
    """FLOP per image that our steps of `batch` images take, without gradients for the target: counted by PyTorch.

    Upsampling and convolution are merged where the batch is large enough.
    """
    with torch.device("meta"):  # tensors with shapes and no memory
        model = VAE(architecture)
        features = PerceptualLoss(random_weights(0), False) if recipe.feature_scale else None
        features = features.to("meta") if features else None
        target, noise = torch.zeros(batch, 3, side, side), torch.zeros(batch, *architecture.latent_shape(side))
        with FlopCounterMode(display=False) as counter:
            reconstruction, mu, logvar = model(target, noise)
            loss = mu.mean() + logvar.mean() + reconstruction.mean()
            (loss if features is None else loss + features(reconstruction, target)).backward()
    return counter.get_total_flops() / batch


def random_images(n: int, side: int) -> Tensor:
    """Noise as packed images, uint8 (n, S, S, 3): a device is faster on zeros, whose bits do not change."""
    return torch.randint(256, (n, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def write_photographs(folder: Path, n: int, side: int) -> Tensor:
    """JPEG files for the baseline; the same pixels as the packed array (n, S, S, 3) that ours reads."""
    draws = np.random.default_rng(0)
    for index in range(n):
        small = Image.fromarray(draws.integers(0, 256, (side // 8, side // 8, 3), np.uint8))
        small.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{index:05d}.jpg", quality=90)
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.jpg"))])
    np.save(folder / "images.npy", pixels)
    return torch.from_numpy(read_images(folder / "images.npy", np.arange(n)))


def speed(args: argparse.Namespace, architecture: Architecture, recipe: Recipe, device: torch.device) -> None:
    precisions = ["fp32"] if args.precision == "fp32" else ["fp32", "bf16"]
    features, n = random_weights(0), args.steps * args.batch
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images = write_photographs(folder, n, args.side)
        contenders: dict[str, Any] = {
            "published recipe": PublishedRecipe(architecture, features, folder, args.side, recipe, device)
        }
        for precision in precisions:
            contenders[f"ours, {precision}"] = Ours(architecture, features, images, recipe, device, precision)
        # Each in its own mode: ours gives the same bits every time, the recipe takes what is fastest.
        modes = {name: best_mode if name == "published recipe" else make_deterministic for name in contenders}
        for name, contender in contenders.items():
            modes[name]()
            print(f"{name}: first epoch {seconds(contender.epoch, device):.2f} s", flush=True)
        times: dict[str, list[float]] = {name: [] for name in contenders}
        busy: dict[str, list[float]] = {name: [] for name in contenders}
        peaks: dict[str, list[float]] = {precision: [] for precision in precisions}
        for _ in range(args.rounds):  # in turn, so that a busy machine slows all of them
            for name, contender in contenders.items():
                modes[name]()
                before = time.process_time()
                times[name].append(seconds(contender.epoch, device))
                busy[name].append(time.process_time() - before)
            make_deterministic()
            for precision in precisions:
                peaks[precision].append(matrix_peak(DTYPES[precision], device))
    work = work_done(architecture, recipe, args.side, args.batch)
    baseline = statistics.median(times["published recipe"])
    print(f"{args.rounds} epochs of {args.steps} steps of {args.batch} images of {args.side} px, medians (range):")
    for name, values in times.items():
        middle, line = statistics.median(values), ""
        if name != "published recipe":
            peak = statistics.median(peaks[name.removeprefix("ours, ")])
            share = work * n / middle / peak
            line = f", {baseline / middle:.2f} times the published recipe, {100 * share:.0f} % of the matrix peak"
        print(f"  {name:17s} {n / middle:8.2f} images/s ({n / max(values):.2f} to {n / min(values):.2f}){line}")
    if device.type == "cpu":  # on a machine that others use as well, with --threads 1, the better measure
        middles = {name: statistics.median(values) for name, values in busy.items()}
        ratios = {name: middles["published recipe"] / value for name, value in middles.items()}
        print(
            "  processor time: " + ", ".join(f"{name} {middles[name]:.2f} s ({ratios[name]:.2f})" for name in middles)
        )
    for precision, values in peaks.items():
        print(f"  matrix peak, {precision}: {statistics.median(values) / 1e12:.3f} TFLOP/s")
    useful = useful_work(architecture, recipe, args.side)
    print(f"  work of ours, whose shares these are: {work / 1e9:.1f} GFLOP an image; as published: {useful / 1e9:.1f}")
    print(
        f"  the study's models, {args.models} of {args.epochs} epochs of {args.train_size} images, one after another:"
    )
    for name, values in list(times.items())[1:]:
        per_epoch = statistics.median(values) / n * args.train_size
        print(f"    {name}: {per_epoch:.1f} s an epoch, {args.models * args.epochs * per_epoch / 3600:.2f} h in all")


def memory(args: argparse.Namespace, architecture: Architecture, recipe: Recipe, device: torch.device) -> None:
    """Peak memory of two steps; in a process of its own, since a peak never falls."""
    images = random_images(args.train_size, args.side)
    ours = Ours(architecture, random_weights(0), images, recipe, device, args.precision)
    ours.step()
    ours.step()
    print(f"peak memory, {args.precision}, {args.batch} images a step: {peak_memory_mb(device):,.0f} MiB")


@contextmanager
def recorded(model: nn.Module) -> Iterator[list[tuple[str, nn.Conv2d, Tensor]]]:
    """Name, convolution and input of every 3x3 convolution in a block, one after the other as published."""
    calls: list[tuple[str, nn.Conv2d, Tensor]] = []
    names = {id(parameter): name.removesuffix(".weight") for name, parameter in model.named_parameters()}

    def record(
        x: Tensor, bias: Tensor, norm: nn.Module, weight: Tensor, stride: int = 1, upsample: bool = False
    ) -> Tensor:
        layer = place(nn.Conv2d(weight.shape[1], len(weight), 3, stride, padding=1, bias=False), x.device)
        seen = nn.functional.interpolate(x, scale_factor=2.0) if upsample else x
        calls.append((names[id(weight)], layer, seen))
        return plain_norm_elu_convolution(x, bias, norm, weight, stride, upsample)

    with patch("evenhand.models.vae.norm_elu_convolution", record):
        yield calls


def layers(args: argparse.Namespace, architecture: Architecture, recipe: Recipe, device: torch.device) -> None:
    """Each 3x3 convolution of the VAE's blocks, forward and backward, and the time that the roofline model allows it.

    Traffic is the least possible: input, weight and output read or written once in each of the three passes.
    """
    dtype = DTYPES[args.precision]
    peak, rate = matrix_peak(dtype, device), bandwidth(device)
    print(f"peak {peak / 1e12:.3f} TFLOP/s, memory {rate / 1e9:.0f} GB/s, {args.precision}, {args.batch} images a step")
    print(f"{'convolution':28s} {'input':>17s}  GFLOP   MB  FLOP/B bound    ms least  ms found")
    model = place(VAE(architecture), device)
    with recorded(model) as calls, torch.no_grad():
        model(to_unit_range(random_images(args.batch, args.side).to(device)),
              torch.randn(args.batch, *architecture.latent_shape(args.side), device=device))  # fmt: skip
    sums = [0.0, 0.0, 0.0]
    for name, module, seen in calls:
        layer, x = module.to(dtype), seen.to(dtype).requires_grad_()
        y = layer(x)
        gradient = torch.randn_like(y)
        work = 6.0 * y.numel() * layer.weight[0].numel()
        traffic = 3.0 * x.element_size() * (x.numel() + y.numel() + layer.weight.numel())
        least = max(work / peak, traffic / rate)

        def both(layer: nn.Module = layer, x: Tensor = x, gradient: Tensor = gradient) -> None:
            layer(x).backward(gradient)

        both()
        found = statistics.median(seconds(both, device) for _ in range(3))
        bound = "matrix" if work / peak > traffic / rate else "memory"
        shape = "x".join(map(str, x.shape[1:]))
        print(f"{name:28s} {shape:>17s} {work / 1e9:6.1f} {traffic / 1e6:4.0f} {work / traffic:7.0f} {bound} "
              f"{1e3 * least:9.2f} {1e3 * found:9.2f}", flush=True)  # fmt: skip
        sums = [a + b for a, b in zip(sums, (work / 1e9, 1e3 * least, 1e3 * found), strict=True)]
    print(f"all: {sums[0]:.0f} GFLOP, {sums[1]:.1f} ms at least, {sums[2]:.1f} ms found")


def profiled(work: Callable[[], object], device: torch.device) -> tuple[float, dict[str, float], str]:
    """Seconds of `work`, its seconds by group of kernels, and its 25 longest kernels as text."""
    from torch.profiler import ProfilerActivity  # noqa: PLC0415 (the profiler is slow to import)
    from torch.profiler import profile as record  # noqa: PLC0415

    on_cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_cuda else [])]
    with record(activities=activities) as profiler:
        wall = seconds(work, device)
    events = profiler.key_averages()
    order = "self_device_time_total" if on_cuda else "self_cpu_time_total"
    return wall, kernel_groups(events, on_cuda), events.table(sort_by=order, row_limit=25)


def kernel_groups(events: Iterable[Any], on_cuda: bool) -> dict[str, float]:
    """Seconds of the profiler's `events` by group, longest first: kernels on CUDA, else PyTorch's operations.

    On CUDA an operation is credited with the time of the kernels that it started: to count both would double it.
    """
    sums: dict[str, float] = {}
    for event in events:
        if (event.device_type == DeviceType.CUDA) != on_cuda:
            continue
        spent = (event.self_device_time_total if on_cuda else event.self_cpu_time_total) / 1e6
        group = next((g for g, parts in GROUPS.items() if any(part in event.key.lower() for part in parts)), "other")
        sums[group] = sums.get(group, 0.0) + spent
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


def profile(args: argparse.Namespace, architecture: Architecture, recipe: Recipe, device: torch.device) -> None:
    images = random_images(args.batch, args.side)
    ours = Ours(architecture, random_weights(0), images, recipe, device, args.precision)
    ours.step()
    wall, sums, longest = profiled(ours.step, device)
    print(f"one step of {args.batch} images, {args.precision}: {1e3 * wall:.1f} ms")
    for group, spent in sums.items():
        print(f"  {group:26s} {1e3 * spent:9.2f} ms  {100 * spent / wall:5.1f} %")
    print(f"  {'not in any':26s} {1e3 * (wall - sum(sums.values())):9.2f} ms")
    print(longest)


def main() -> None:
    parser = study_parser(__doc__)
    parts = {"speed": speed, "memory": memory, "layers": layers, "profile": profile}
    parser.add_argument("part", choices=parts)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--shallow", action="store_true", help="model.deep: false")
    parser.add_argument("--steps", type=int, default=2, help="steps of a short epoch")
    args = parse_study(parser)
    config, splits = args.config, args.config["splits"]
    architecture = Architecture.from_config(config["model"] | ({"deep": False} if args.shallow else {}))
    args.models, args.epochs = splits["runs"] * len(splits["train_sets"]), config["train"]["epochs"]
    args.train_size = splits["train_size"]
    torch.set_num_threads(args.threads)
    make_deterministic()
    device = torch.device(args.device)
    args.precision = choose_precision(args.precision, device)
    recipe = Recipe.from_config(config["train"] | {"batch_size": args.batch, "epochs": 1}, config["loss"])
    name = torch.cuda.get_device_name() if args.device == "cuda" else f"{args.threads} processor threads"
    print(f"torch {torch.__version__}, {name}, load {os.getloadavg()[0]:.1f}")
    parts[args.part](args, architecture, recipe, device)


if __name__ == "__main__":
    main()
