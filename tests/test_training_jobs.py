"""Trainings as processes: killed, out of disk, diverged or asked for again, they lose nothing and say what happened."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from training_job import CONFIG, command, kill_after_epoch, write_data

from evenhand.models.vae import VAE
from evenhand.training.checkpoints import seconds_until_next


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(command(data, output, CONFIG), check=True, capture_output=True)
    return output


@pytest.mark.parametrize("epochs_before", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 5))])
def test_a_killed_training_continues_to_the_same_bytes(
    data: Path, undisturbed: Path, tmp_path: Path, epochs_before: int
) -> None:
    output = tmp_path / "results"
    kill_after_epoch(epochs_before, data, output, CONFIG)
    assert not (output / "model.safetensors").exists()
    rerun = subprocess.run(command(data, output, CONFIG), check=True, capture_output=True, text=True)
    assert f"continuing after epoch {epochs_before} from" in rerun.stdout
    for name in ("model.safetensors", "history.csv"):
        assert (output / name).read_bytes() == (undisturbed / name).read_bytes()
    assert not (output / ".checkpoint.safetensors").exists()


@pytest.mark.parametrize("foreign", ["another learning rate", "damaged"])
def test_a_foreign_checkpoint_is_never_used(data: Path, undisturbed: Path, tmp_path: Path, foreign: str) -> None:
    output = tmp_path / "results"
    if foreign == "damaged":
        output.mkdir()
        (output / ".checkpoint.safetensors").write_bytes(b"\x00" * 100)
    else:
        changed = {**CONFIG, "train": {**CONFIG["train"], "learning_rate": 2e-3}}  # type: ignore[dict-item]
        kill_after_epoch(1, data, output, changed)
    rerun = subprocess.run(command(data, output, CONFIG), check=True, capture_output=True, text=True)
    assert "starting from the first epoch" in rerun.stdout
    assert (output / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()


def test_the_record_of_a_run(undisturbed: Path) -> None:
    record = json.loads((undisturbed / "run.json").read_text())
    assert record["config"] == CONFIG
    assert record["n_images"] == record["n_distinct"] == 64
    assert record["synthetic"] is True
    assert record["precision"] == "fp32"
    assert record["device"] == "cpu"
    assert record["seconds"] > 0
    assert record["peak_memory_mb"] > 0
    assert record["parameters"] == sum(
        tensor.numel()
        for name, tensor in load_file(undisturbed / "model.safetensors").items()
        if "running" not in name and "tracked" not in name
    )
    history = pd.read_csv(undisturbed / "history.csv")
    assert list(history) == ["epoch", *VAE.TERMS]
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]


def test_an_unknown_training_set_is_named(data: Path, tmp_path: Path) -> None:
    arguments = command(data, tmp_path, CONFIG)
    arguments[arguments.index("--train-set") + 1] = "Z"
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "expected images of run 0 with the role train_Z" in done.stderr
    assert "Traceback" not in done.stderr


def train(data: Path, output: Path, config: dict[str, object], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command(data, output, config), *options], capture_output=True, text=True, check=False)


def test_a_loss_that_is_no_longer_finite(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "results"
    kill_after_epoch(3, data, output, CONFIG)
    checkpoint = output / ".checkpoint.safetensors"
    with safe_open(checkpoint, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(checkpoint)
    tensors["model.encoder.mu.bias"].fill_(1e30)  # whose square, in the KL divergence, is infinite
    save_file(tensors, checkpoint, metadata=metadata)
    before = checkpoint.read_bytes()
    done = train(data, output, CONFIG)
    assert done.returncode == 1
    assert "the loss is no longer finite in epoch 4, step 1: loss " in done.stderr
    assert "kl inf" in done.stderr
    assert "Traceback" not in done.stderr
    assert checkpoint.read_bytes() == before
    assert not (output / "model.safetensors").exists()


@pytest.fixture
def small_disk(tmp_path: Path, data: Path) -> Iterator[Path]:
    """A file system that holds one checkpoint, but not a second one beside it while it is written."""
    kill_after_epoch(1, data, tmp_path / "results", CONFIG)
    size = (tmp_path / "results" / ".checkpoint.safetensors").stat().st_size
    disk = tmp_path / "disk"
    disk.mkdir()
    options = f"size={int(1.5 * size) // 1024}k"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk(data: Path, undisturbed: Path, small_disk: Path, tmp_path: Path) -> None:
    done = train(data, small_disk, CONFIG)
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert "after epoch 2/6  loss " in done.stderr
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in small_disk.iterdir()) == [".checkpoint.safetensors", ".lock"]
    # There is room again: the first epoch is not lost.
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    again = train(data, small_disk, CONFIG)
    assert again.returncode == 0
    assert "continuing after epoch 1" in again.stdout
    assert (small_disk / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()


def test_tensorboard_is_optional(data: Path, undisturbed: Path, tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "tensorboard.py").write_text("raise ImportError('not installed')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "without")}
    arguments = [*command(data, tmp_path, CONFIG), "--tensorboard", "1"]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "train.tensorboard needs the package tensorboard" in done.stderr
    assert "Traceback" not in done.stderr


def test_tensorboard_shows_the_history(data: Path, undisturbed: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the optional package tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train(data, tmp_path, CONFIG, "--tensorboard", "1").returncode == 0
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    history = pd.read_csv(tmp_path / "history.csv")
    for name in VAE.TERMS:
        assert [event.step for event in events.Scalars(name)] == history["epoch"].tolist()
        assert [event.value for event in events.Scalars(name)] == pytest.approx(history[name].tolist(), rel=1e-6)
    assert (tmp_path / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()


def test_a_job_imports_only_what_it_needs(data: Path, tmp_path: Path) -> None:
    # Each of these takes a quarter to twice as long to import as PyTorch itself.
    python, *rest = command(data, tmp_path, CONFIG)
    done = subprocess.run([python, "-X", "importtime", *rest], capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "torch" in imported
    assert not imported & {"pandas", "torch._dynamo", "torch._inductor", "torchvision", "sympy", "scipy", "matplotlib"}


def test_checkpoints_take_a_fiftieth_of_the_time_at_most() -> None:
    for cost in (0.001, 1.5, 60.0):
        wait = seconds_until_next(cost, least=20.0)
        assert wait >= 20
        assert cost / (wait + cost) <= 0.02 + 1e-12
    assert seconds_until_next(0.001, least=20.0) == 20  # what costs nothing is not put off
    assert seconds_until_next(1.5, least=0.0) == 0  # one after each epoch was asked for
