"""The stages of `gpu_check.py`: each yields what it measures, line by line, and runs in a process of its own."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch
from xml.etree import ElementTree

import numpy as np
import torch
from study_options import ROOT, read_study
from torch import Tensor, nn

sys.path.insert(0, str(ROOT / "workflow_scripts"))

from device_speed import bandwidth, matrix_peak, seconds
from published_recipe import PublishedRecipe, best_mode
from stage_inputs import evaluation_options, script_command, training_options, write_inputs
from train_step import DTYPES, Ours, profiled, random_images, useful_work, write_photographs

from evenhand.evaluation.reconstructions import decode, of_training
from evenhand.models.architecture import Architecture
from evenhand.models.fast import plain_norm_elu_convolution
from evenhand.models.perceptual import PerceptualLoss
from evenhand.models.vgg19 import random_weights
from evenhand.training.devices import choose_precision, make_deterministic, peak_memory_mb, place
from evenhand.training.recipe import Recipe

Lines = Iterator[dict[str, Any]]

LONG_ENOUGH = 4.0  # seconds of a candidate's steps
AT_A_TIME = 3  # models


@dataclass(frozen=True)
class Check:
    """What the stages share: the device, the study, a folder for inputs and one for results."""

    device: torch.device
    tiny: bool
    work: Path
    out: Path
    config: dict[str, Any]

    @property
    def side(self) -> int:
        return self.config["data"]["image_size"]

    @property
    def architecture(self) -> Architecture:
        return Architecture.from_config(self.config["model"])

    @property
    def recipe(self) -> Recipe:
        return Recipe.from_config(self.config["train"], self.config["loss"])

    @property
    def precision(self) -> str:
        return choose_precision(self.config["train"]["precision"], self.device)

    def peak(self, precision: str) -> float:
        """FLOP/s of products of matrices."""
        return matrix_peak(DTYPES[precision], self.device, 128 if self.tiny else None)

    def trainer(self, precision: str) -> Ours:
        images = random_images(self.recipe.batch_size, self.side)
        return Ours(self.architecture, random_weights(0), images, self.recipe, self.device, precision)


@dataclass(frozen=True)
class Candidate:
    """A way to take a step, by what of the library is replaced; the first of the list is how trainings take it."""

    name: str
    precision: str = "bf16"
    deterministic: bool = True
    tf32: bool = False
    instead: Mapping[str, Any] = field(default_factory=dict)


CANDIDATES = (
    Candidate("as is, bf16"),
    Candidate("features of the targets kept", instead={"evenhand.training.devices.FREE_SHARE": 0.5}),
    Candidate("kernel by kernel, no graph", instead={"evenhand.models.fast.GRAPHS": False}),
    Candidate("images of three channels", instead={"evenhand.models.fast.CHANNELS": 3}),
    Candidate("upsampling before convolution", instead={"evenhand.models.fast.merging_pays": lambda x: False}),
    Candidate("biases, norms, ELU one by one",
              instead={"evenhand.models.vae.norm_elu_convolution": plain_norm_elu_convolution}),
    Candidate("as is, fp32", precision="fp32"),
    Candidate("fp32, TF32", precision="fp32", tf32=True),
    Candidate("cuDNN chooses", deterministic=False),
)  # fmt: skip


def machine(check: Check) -> Lines:
    """Versions, and the peaks that shares are of."""
    cuda = check.device.type == "cuda"
    name = torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine()
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30 if cuda else None
    yield {"what": "machine", "device": name, "memory GiB": memory, "cores": len(os.sched_getaffinity(0)),
           "python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda,
           "cudnn": torch.backends.cudnn.version()}  # fmt: skip
    for precision in DTYPES:
        yield {"what": f"product of matrices, {precision}", "TFLOP/s": check.peak(precision) / 1e12}
    yield {"what": "copy", "TB/s": bandwidth(check.device) / 1e12}


def steps(check: Check) -> Lines:
    """Training steps of each candidate, one after the other; one that fails costs no other."""
    peaks = {precision: check.peak(precision) for precision in DTYPES}
    work = useful_work(check.architecture, check.recipe, check.side) * check.recipe.batch_size
    for candidate in CANDIDATES:
        try:
            yield timed_steps(check, candidate, work, peaks[candidate.precision])
        except (RuntimeError, torch.OutOfMemoryError) as error:
            yield {"what": candidate.name, "failed": str(error).splitlines()[0]}


def timed_steps(check: Check, candidate: Candidate, work: float, peak: float) -> dict[str, Any]:
    """Median over rounds of a few steps, of some seconds in all; a round waits for the device once."""
    rounds, count, warm = (1, 1, 0) if check.tiny else (7, 4, 3)
    make_deterministic(candidate.deterministic)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = candidate.tf32
    if check.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def several() -> None:
        for _ in range(count):
            trainer.step()

    times: list[float] = []
    with ExitStack() as replaced:
        for name, value in candidate.instead.items():
            replaced.enter_context(patch(name, value))
        trainer = check.trainer(candidate.precision)
        first = seconds(trainer.step, check.device)
        for _ in range(warm):
            trainer.step()
        while len(times) < rounds and (len(times) < min(2, rounds) or sum(times) * count < LONG_ENOUGH):
            times.append(seconds(several, check.device) / count)
    step = statistics.median(times)
    return {"what": candidate.name, "ms": 1e3 * step, "ms least": 1e3 * min(times), "ms most": 1e3 * max(times),
            "first step s": first, "images/s": check.recipe.batch_size / step, "useful TFLOP/s": work / step / 1e12,
            "% of peak": 100 * work / step / peak, "peak MiB": peak_memory_mb(check.device)}  # fmt: skip


def profile(check: Check) -> Lines:
    """Kernels of a step by group; convolutions with three channels beside the same with eight."""
    trainer = check.trainer(check.precision)
    for _ in range(3):
        trainer.step()
    wall, groups, longest = profiled(trainer.step, check.device)
    (check.out / "profile.txt").write_text(longest)
    yield from decoded(check, trainer)
    yield {"what": f"a step, {check.precision}, profiled", "ms": 1e3 * wall}
    for group, spent in groups.items():
        yield {"what": group, "ms": 1e3 * spent, "% of the step": 100 * spent / wall}
    width = check.config["model"]["width"]
    shapes = {"conv_in": (3, width, 3), "conv_out": (width, 3, 5), "first of VGG19": (3, 64, 3)}
    for name, (inputs, outputs, kernel) in shapes.items():
        for padded in (False, True):
            read, given = (8 if padded and channels == 3 else channels for channels in (inputs, outputs))
            yield {"what": f"{name}, {read} to {given} channels", **convolution(check, read, given, kernel)}


def decoded(check: Check, trainer: Ours) -> Lines:
    """A batch of an evaluation, of the model of `trainer`: the first, one more, and its longest kernels.

    And how far TF32 moves the mean of a measure, at most.
    """
    images, size = trainer.images.cpu().numpy(), check.config["evaluate"]["batch_size"]
    perceptual = place(PerceptualLoss(random_weights(0), False), check.device)
    means = []

    def batch() -> None:
        found = decode(trainer.model.eval(), images[:size], [str(row) for row in range(len(images[:size]))], perceptual,
                       of_training(trainer.model.eval(), images[: size // 4], len(images), seed=0, batch_size=size,
                                   device=check.device),
                       samples=check.config["evaluate"]["samples"], seed=0, batch_size=size, device=check.device,
                       workers=check.config["train"]["threads"])  # fmt: skip
        means.append(np.array([values.mean() for values in found.columns.values()]))

    for tf32 in (False, True):
        make_deterministic(tf32=tf32)
        first, again = seconds(batch, check.device), seconds(batch, check.device)
        apart = float(np.abs(means[-1] / means[0] - 1).max())
        yield {"what": f"an evaluated batch of {size}, {'TF32' if tf32 else 'fp32'}", "first s": first,
               "again s": again, "most that a mean moves": apart}  # fmt: skip
        with open(check.out / "profile.txt", "a") as file:
            file.write(profiled(batch, check.device)[2])
    make_deterministic()


def convolution(check: Check, inputs: int, outputs: int, kernel: int) -> dict[str, float]:
    """Milliseconds forward, and forward and backward, of a convolution of a batch."""
    dtype, shape = DTYPES[check.precision], (check.recipe.batch_size, inputs, check.side, check.side)
    layer = place(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), check.device).to(dtype)
    x = torch.randn(shape, device=check.device, dtype=dtype).to(memory_format=torch.channels_last).requires_grad_()
    gradient = torch.randn_like(layer(x))
    both = [seconds(lambda: layer(x).backward(gradient), check.device) for _ in range(6)]
    forward = [seconds(lambda: layer(x), check.device) for _ in range(6)]
    return {"ms forward": 1e3 * min(forward), "ms forward and backward": 1e3 * min(both)}


def tests(check: Check) -> Lines:
    """tests/test_cuda.py, where there is pytest."""
    if not find_spec("pytest"):
        yield {"what": "tests/test_cuda.py", "not run": "there is no pytest"}
        return
    report = check.work / "tests.xml"
    command = [sys.executable, "-m", "pytest", "tests/test_cuda.py", "-q", f"--junitxml={report}"]
    done = subprocess.run([*command, "-p", "no:cacheprovider"], cwd=ROOT, check=False)
    suite = ElementTree.parse(report).getroot()
    cases = list(suite.iter("testcase"))
    for kind in ("failure", "error"):
        for case in cases:
            for fault in case.iter(kind):
                yield {"what": case.get("name"), kind: (fault.get("message") or "").splitlines()[0]}
    skipped = sum(case.find("skipped") is not None for case in cases)
    yield {"what": "tests/test_cuda.py", "tests": len(cases), "skipped": skipped}
    if done.returncode:
        raise SystemExit(f"pytest ended with {done.returncode}")


def inputs(check: Check) -> Path:
    """The folder of packed images, manifest and VGG19, and of the training images as JPEG files; made when needed."""
    folder = check.work / "inputs"
    if not folder.exists():
        making, splits = check.work / "making", check.config["splits"]
        (making / "jpeg").mkdir(parents=True)
        training = write_photographs(making / "jpeg", splits["train_size"], check.side).numpy()
        test = random_images(2 * splits["test_size"], check.side).numpy()
        write_inputs(making, np.concatenate([training, test]), splits["train_size"])
        making.rename(folder)
    return folder


def whole_job(check: Check, output: Path) -> dict[str, float]:
    """Train and evaluate a model: seconds of each phase, with the waits for the device."""
    folder, threads = inputs(check), check.config["train"]["threads"]
    output.mkdir()
    begun = time.perf_counter()
    training = list(timed_lines("train_vae.py", training_options(folder, output, check.config, threads), output.name))
    trained = time.perf_counter()
    epochs = [at for at, line in training if line.startswith("epoch")]
    inside = json.loads((output / "run.json").read_text())["seconds"]
    options = evaluation_options(folder, output, check.config, threads)
    evaluating = list(timed_lines("evaluate_vae.py", options, output.name))
    evaluated = time.perf_counter()
    held = [line.split()[-2] for _, line in training + evaluating if " held cuda" in line]
    return {"until the first step s": epochs[-1] - begun - inside, "training s": inside,
            "first epoch s": epochs[0] - (epochs[-1] - inside), "saving s": trained - epochs[-1],
            "evaluation s": evaluated - trained, "all s": evaluated - begun,
            "held the device s": sum(map(float, held))}  # fmt: skip


def timed_lines(script: str, options: list[str], name: str) -> Iterator[tuple[float, str]]:
    """What a script prints, each line with the time at which it came; also to this process's output, after `name`."""
    process = subprocess.Popen(script_command(script, options), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        print(name, line, end="")
        yield time.perf_counter(), line
    if process.wait():
        raise SystemExit(f"{script} ended with {process.returncode}")


def job(check: Check) -> Lines:
    """One training and evaluation as the workflow runs them, alone on the device."""
    yield {"what": "inputs made", "seconds": seconds(lambda: inputs(check), torch.device("cpu"))}
    phases = whole_job(check, check.work / "job")
    images = check.config["splits"]["train_size"] * check.config["train"]["epochs"]
    yield {"what": "train_vae.py and evaluate_vae.py", **phases, "images/s": images / phases["training s"]}
    yield planned(check, 1, phases["all s"])


def planned(check: Check, jobs: int, a_model: float) -> dict[str, Any]:
    """What the plan of the study is made of."""
    models = check.config["splits"]["runs"] * len(check.config["splits"]["train_sets"])
    study = "The tiny study (no plan of the paper's)" if check.tiny else "The study of config.yaml"
    return {"what": "a model of the study", "jobs at a time": jobs, "seconds a model": a_model, "models": models,
            "study": study}  # fmt: skip


def overlapping(check: Check) -> Lines:
    """Several models at a time, of which one holds the device while the others start, read, measure and write."""
    inputs(check)
    outputs = [check.work / f"model {number}" for number in range(AT_A_TIME + 1)]
    begun = time.perf_counter()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for done in as_completed([pool.submit(whole_job, check, output) for output in outputs]):
            yield {"what": f"one of {len(outputs)} models", **done.result()}
    yield planned(check, AT_A_TIME, (time.perf_counter() - begun) / len(outputs))


def recipe(check: Check) -> Lines:
    """The published recipe over the same images as JPEG files, in its best mode."""
    best_mode()
    published = PublishedRecipe(
        check.architecture, random_weights(0), inputs(check) / "jpeg", check.side, check.recipe, check.device
    )
    n, epochs = check.config["splits"]["train_size"], check.config["train"]["epochs"]
    first = seconds(published.epoch, check.device)
    yield {"what": "published recipe, first epoch", "seconds": first, "images/s": n / first}
    times = []
    for _ in range(1 if check.tiny else 3):
        times.append(seconds(published.epoch, check.device))
        middle = statistics.median(times)
        yield {"what": f"published recipe, median of {len(times)} more", "seconds": middle, "images/s": n / middle,
               f"{epochs} epochs s": first + (epochs - 1) * middle}  # fmt: skip


def probes(check: Check) -> Lines:
    """Networks of the sizes of a VAE's and of a large embedding on the device, and the same on the processor."""
    from probes import batched_folds, dense_task  # noqa: PLC0415 (scikit-learn, which no other stage needs)

    from evenhand.probes.folds import make_folds  # noqa: PLC0415
    from evenhand.probes.jobs import kept_after, removed_count  # noqa: PLC0415

    sizes = [((1000, 64), 10, (0.0, 0.1, 0.5), 20), ((60_000, 1376), 2, (0.0, 0.5), 4)]
    for (n, d), folds, shares, epochs in [((300, 16), 2, (0.0, 0.5), 2)] if check.tiny else sizes:
        x, y = dense_task(n, d, 3.0, np.random.default_rng(0))
        parts = make_folds(np.arange(n), y, np.arange(n), 10, 0, False, "task", ["0", "1"])[:folds]
        order = np.random.default_rng(0).permutation(d)
        kept = [[kept_after(order[: removed_count(share, d)], d) for share in shares]] * folds
        reference: list[float] = []
        for name, precision in (("cpu", "fp32"), (check.device.type, "fp32"), (check.device.type, "bf16")):
            begun = time.perf_counter()
            aucs, trained = batched_folds(x, y, parts, kept, epochs, 0, precision, torch.device(name))
            spent = time.perf_counter() - begun
            reference = reference or aucs
            yield {"what": f"{n} x {d}, {precision} on {name}", "networks": len(aucs), "epochs": trained,
                   "seconds": spent, "mean AUC": float(np.mean(aucs)),
                   "most apart from the CPU's": float(np.abs(np.subtract(aucs, reference)).max())}  # fmt: skip


def compiled(check: Check) -> Lines:
    """Steps through torch.compile, with a cache that the next process finds; it fuses the plain operations itself."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(check.work / "compiled")
    plain, trainer = check.trainer(check.precision), check.trainer(check.precision)
    trainer.model.load_state_dict(plain.model.state_dict())
    # On a processor it is only followed, not compiled: that would take minutes.
    backend = "inductor" if check.device.type == "cuda" else "eager"
    trainer.model.compile(backend=backend)
    if trainer.perceptual is not None:
        # Not its forward: that takes a gradient inside, which the compiler cannot follow.
        compiled_mean = torch.compile(trainer.perceptual.mean_over_layers, backend=backend)
        trainer.perceptual.mean_over_layers = compiled_mean  # type: ignore[method-assign]
    expected = plain.step()
    with patch("evenhand.models.vae.norm_elu_convolution", plain_norm_elu_convolution):
        yield from compiled_steps(check, trainer, expected)


def compiled_steps(check: Check, trainer: Ours, expected: Tensor) -> Lines:
    """Of `trainer`, whose first loss should be the `expected` one."""
    begun = time.perf_counter()
    found = trainer.step()
    apart = ((found - expected) / expected).abs().max().item()
    yield {"what": "first compiled step", "seconds": time.perf_counter() - begun, "loss terms apart": apart}
    for _ in range(3):
        trainer.step()
    times = [seconds(trainer.step, check.device) for _ in range(3 if check.tiny else 20)]
    yield {"what": f"compiled step, {check.precision}", "ms": 1e3 * statistics.median(times),
           "peak MiB": peak_memory_mb(check.device)}  # fmt: skip


RUN: dict[str, Callable[[Check], Lines]] = {
    "machine": machine,
    "steps": steps,
    "profile": profile,
    "tests": tests,
    "job": job,
    "recipe": recipe,
    "probes": probes,
    "overlap": overlapping,
    "compile": compiled,
    "compile again": compiled,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=RUN)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--device", required=True, type=torch.device)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    config = read_study(str(ROOT / "tests" / "tiny.yaml") if args.tiny else None)
    config["train"]["device"] = config["evaluate"]["device"] = args.device.type
    torch.set_num_threads(config["train"]["threads"])
    make_deterministic()
    check = Check(args.device, args.tiny, args.work, args.out, config)
    for line in RUN[args.stage](check):
        with open(args.out / "results.jsonl", "a") as file:
            file.write(json.dumps({"stage": args.stage, **line}) + "\n")


if __name__ == "__main__":
    main()
