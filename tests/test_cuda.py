"""What only a GPU can show. Plain pytest, no Snakemake: python -m pytest tests/test_cuda.py"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from torch import Tensor
from training_job import CONFIG, command, write_data

from evenhand.evaluation.reconstructions import decode, of_training
from evenhand.evaluation.slug import slug
from evenhand.models.architecture import Architecture
from evenhand.models.conformance import SMALL, new_model, pictures, trained
from evenhand.models.fast import Adam
from evenhand.models.perceptual import PerceptualLoss
from evenhand.models.vae import VAE
from evenhand.models.vgg19 import random_weights
from evenhand.probes.batched_mlp import fit_networks
from evenhand.probes.networks import Network, predict
from evenhand.probes.settings import MLPSettings
from evenhand.probes.targets import Labels
from evenhand.training.devices import choose_precision, make_deterministic, peak_memory_mb, place
from evenhand.training.loop import draw_epoch, to_unit_range, train, train_step
from evenhand.training.recipe import Recipe

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device")

ROOT = Path(__file__).parents[1]
FAMILIES = ("vae", "sigma_vae", "vqvae", "diffusion")
ARCHITECTURE = Architecture(width=16, latent_channels=8)
RECIPE = Recipe(epochs=1, batch_size=16, learning_rate=1e-3, clip_norm=10.0, flip=0.5, kl_scale=1.0, feature_scale=1.0)
ON_CUDA = {**CONFIG, "train": {**CONFIG["train"], "device": "cuda", "precision": "auto"}}  # type: ignore[dict-item]


@pytest.fixture(autouse=True)
def deterministic() -> None:
    make_deterministic()


def one_step(device: str, precision: str) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss terms of one step and the gradients that the optimiser saw, on the CPU."""
    torch.manual_seed(0)
    place_on = torch.device(device)
    model = place(VAE(ARCHITECTURE), place_on).train()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    perceptual = place(PerceptualLoss(random_weights(0), False, dtype), place_on)
    images = torch.randint(0, 256, (16, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    noise = draw_epoch(1, 0, 16, ARCHITECTURE.latent_shape(64), 0.5).noise
    terms = train_step(
        model,
        Adam(model.parameters(), RECIPE.learning_rate),
        perceptual,
        to_unit_range(images.to(place_on)),
        noise.to(place_on),
        RECIPE,
        precision,
    )
    return terms.cpu(), {
        name: parameter.grad.cpu() for name, parameter in model.named_parameters() if parameter.grad is not None
    }


def test_a_step_in_fp32_agrees_with_the_processor() -> None:
    (terms, gradients), (expected, reference) = one_step("cuda", "fp32"), one_step("cpu", "fp32")
    torch.testing.assert_close(terms, expected, rtol=1e-4, atol=1e-5)
    norm = torch.stack([gradient.norm() for gradient in reference.values()]).norm()
    for name, gradient in gradients.items():
        # On a processor fp32 differs from fp64 by 0.4 % in the worst of these weights.
        assert (gradient - reference[name]).norm() <= 1e-2 * reference[name].norm() + 1e-5 * norm, name


def test_bf16_is_fp32_up_to_its_rounding() -> None:
    (terms, _), (expected, _) = one_step("cuda", "bf16"), one_step("cuda", "fp32")
    torch.testing.assert_close(terms, expected, rtol=0.03, atol=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_gives_the_same_bits(precision: str) -> None:
    (terms, gradients), (again, repeated) = one_step("cuda", precision), one_step("cuda", precision)
    assert torch.equal(terms, again)
    for name, gradient in gradients.items():
        assert torch.equal(gradient, repeated[name]), name


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_graphs_and_known_targets_change_no_bit(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randint(
        0, 256, (70, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    ).cuda()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    recipe = dataclasses.replace(RECIPE, epochs=4)  # the last of five batches is smaller
    models, histories = [], []
    for graphs, memory in ((False, 0), (True, 0), (True, 2**32)):
        monkeypatch.setattr("evenhand.models.fast.GRAPHS", graphs)
        torch.manual_seed(0)
        model = place(VAE(ARCHITECTURE), torch.device("cuda"))
        perceptual = place(PerceptualLoss(random_weights(0), False, dtype), torch.device("cuda"))
        history: list[dict[str, float]] = []
        train(model, Adam(model.parameters(), RECIPE.learning_rate), perceptual, images, recipe, 1, precision,
              history, lambda history: None, lambda n: None, memory)  # fmt: skip
        models.append(model.state_dict())
        histories.append(history)
    assert histories[0] == histories[1] == histories[2]
    for name, tensor in models[0].items():
        assert torch.equal(tensor, models[1][name]), name
        assert torch.equal(tensor, models[2][name]), name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_learns_as_on_the_processor(family: str) -> None:
    recipe, images = dataclasses.replace(RECIPE, batch_size=4, epochs=2), pictures(10)
    states, histories = [], []
    for name in ("cpu", "cuda", "cuda"):
        model = place(new_model(SMALL | {"family": family, "options": {}}), torch.device(name))
        perceptual = place(PerceptualLoss(random_weights(0), False), torch.device(name))
        history: list[dict[str, float]] = []
        train(model, Adam(model.parameters(), RECIPE.learning_rate), perceptual, images.to(name), recipe, 1, "fp32",
              history, lambda history: None, lambda n: None)  # fmt: skip
        states.append(model.state_dict())
        histories.append(history)
    for row, expected in zip(histories[1], histories[0], strict=True):
        assert row == pytest.approx(expected, rel=2e-2)
    assert histories[1] == histories[2]
    for name, tensor in states[1].items():
        assert torch.equal(tensor, states[2][name]), name


def test_training_stays_on_the_device() -> None:
    # A step that waited for the device, or copied from it, would stop here.
    one_step("cuda", "bf16")
    torch.manual_seed(0)
    device = torch.device("cuda")
    model = place(VAE(ARCHITECTURE), device).train()
    optimizer = Adam(model.parameters(), RECIPE.learning_rate)
    target, noise = torch.zeros(4, 3, 64, 64, device=device), torch.zeros(4, 8, 4, 4, device=device)
    train_step(model, optimizer, None, target, noise, RECIPE, "bf16")
    torch.cuda.set_sync_debug_mode("error")
    try:
        train_step(model, optimizer, None, target, noise, RECIPE, "bf16")
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_jobs_share_the_devices_and_give_the_same_weights(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    outputs = [tmp_path / str(index) for index in range(torch.cuda.device_count() + 1)]  # one waits for a lease
    processes = [subprocess.Popen(command(data, output, ON_CUDA), stdout=subprocess.DEVNULL) for output in outputs]
    assert [process.wait() for process in processes] == [0] * len(outputs)
    records = [json.loads((output / "run.json").read_text()) for output in outputs]
    precision = choose_precision("auto", torch.device("cuda"))
    for record, output in zip(records, outputs, strict=True):
        assert record["device"] == "cuda"
        assert record["precision"] == precision
        assert 0 < record["peak_memory_mb"] < torch.cuda.get_device_properties(0).total_memory / 2**20
        if record["device_name"] == records[0]["device_name"]:
            assert (output / "model.safetensors").read_bytes() == (outputs[0] / "model.safetensors").read_bytes()


def test_a_killed_training_continues_to_the_same_bytes(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    subprocess.run(command(data, tmp_path / "whole", ON_CUDA), check=True, stdout=subprocess.DEVNULL)
    process = subprocess.Popen(command(data, tmp_path / "killed", ON_CUDA), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 3/"):
            break
    process.kill()
    process.wait()
    done = subprocess.run(command(data, tmp_path / "killed", ON_CUDA), check=True, capture_output=True, text=True)
    assert "continuing after epoch" in done.stdout
    assert all(
        torch.equal(tensor, load_file(tmp_path / "whole" / "model.safetensors")[name])
        for name, tensor in load_file(tmp_path / "killed" / "model.safetensors").items()
    )


def test_peak_memory_is_that_of_the_device() -> None:
    device = torch.device("cuda")
    torch.cuda.reset_peak_memory_stats(device)
    before = peak_memory_mb(device)
    held = torch.zeros(2**26, dtype=torch.uint8, device=device)
    assert peak_memory_mb(device) == pytest.approx(before + held.numel() / 2**20, abs=4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_probes_agree_with_the_processor(precision: str) -> None:
    draws = np.random.default_rng(0)
    x = draws.normal(size=(2000, 100)).astype(np.float32)
    y = (x @ draws.normal(size=100) + draws.normal(size=2000) > 0).astype(np.int64)
    rows, every = np.arange(2000), np.arange(100)
    center, scale = np.zeros(100, np.float32), np.ones(100, np.float32)
    networks = [
        Network(rows[:1200], rows[1200:1500], 0, center, scale, kept, seed)
        for seed, kept in enumerate([every, every[:93]])
    ]
    labels = [Labels(y[:, None].astype(np.float32), "sigmoid")]
    found = {}
    for name, kind in (("cpu", "fp32"), ("cuda", precision), ("again", precision)):
        matrix = torch.from_numpy(x).to("cuda" if name == "again" else name)
        settings = MLPSettings(max_epochs=10, precision=kind)  # type: ignore[arg-type]
        fitted = fit_networks(matrix, labels, networks, settings)
        logits = [predict(matrix, *pair, rows[1500:])[:, 0] for pair in zip(networks, fitted, strict=True)]
        found[name] = [roc_auc_score(y[1500:], each) for each in logits]
    assert found["cuda"] == found["again"]
    assert found["cuda"] == pytest.approx(found["cpu"], abs=0.005)


def test_a_probe_runs_as_the_workflow_runs_it(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    codes = np.arange(300) % 2
    np.save(tmp_path / "x.npy", (draws.normal(size=(300, 12)) + codes[:, None]).astype(np.float32))
    sick = draws.integers(2, size=300)
    table = [f"{i},{i},{'ab'[code]},{'yn'[ill]}" for i, (code, ill) in enumerate(zip(codes, sick, strict=True))]
    (tmp_path / "rows.csv").write_text("\n".join(["id,patient,tone,disease", *table, ""]))
    probe = yaml.safe_load((ROOT / "config.yaml").read_text())["probe"]
    probe |= {"device": "cuda", "folds": 3, "fractions": [0, 0.5], "random_draws": 1}
    binary = {"kind": "binary", "columns": ["tone"], "values": {"a": "a", "b": "b"}}
    target = [binary | {"name": "tone"}]
    disease = [{"name": "disease", "kind": "binary", "columns": ["disease"], "values": {"n": "n", "y": "y"}}]
    source = {"id": None, "group": "patient", "attributes": target, "diseases": disease}
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "workflow_scripts" / "probe_embeddings.py"), "--name", "made up"),
            *("--embeddings", f"{tmp_path}/x.npy", "--metadata", f"{tmp_path}/rows.csv"),
            *("--config", json.dumps({"seed": 1, "probe": probe, "source": source})),
            *("--folds", f"{tmp_path}/folds.csv", "--counts", f"{tmp_path}/counts.csv"),
            *("--left-out", f"{tmp_path}/left_out.csv"),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "on cuda" in done.stdout


@pytest.mark.parametrize("family", FAMILIES)
def test_an_evaluation_has_the_means_of_the_processor(family: str) -> None:
    model = new_model(SMALL | {"family": family, "options": {}})
    trained(model, 1, [])
    images = np.random.default_rng(1).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    columns = []
    # TF32 as evaluations of the VAE take; nearest codes jump with any rounding.
    for device, tf32 in ((torch.device("cpu"), False), (torch.device("cuda"), family == "vae")):
        make_deterministic(tf32=tf32)
        perceptual = place(PerceptualLoss(random_weights(0), False), device)
        placed = place(model.eval(), device)
        known = of_training(placed, images[20:], 100, seed=1, batch_size=8, device=device)
        names = [str(row) for row in range(20)]
        columns.append(decode(placed, images[:20], names, perceptual, known, samples=2, seed=1, batch_size=8,
                              device=device, workers=1).columns)  # fmt: skip
    assert set(columns[1]) == set(columns[0])
    for name, values in columns[0].items():
        # What is left of two large numbers keeps fewer digits.
        assert columns[1][name].mean() == pytest.approx(values.mean(), rel=0.1 if name == "typicality" else 1e-2), name


def test_slug_has_the_variances_of_the_processor() -> None:
    images = pictures(12).numpy()
    model = new_model(SMALL | {"family": "vae", "options": {}})
    trained(model, 1, [])
    found = []
    for device in (torch.device("cpu"), torch.device("cuda")):
        placed = place(model.eval(), device)
        found.append(slug(placed, images[:4], ["a", "b", "c", "d"], images[4:], 8, 6, 1, device))  # type: ignore[arg-type]
    assert found[1] == pytest.approx(found[0], rel=1e-2)
