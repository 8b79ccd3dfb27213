"""The autoencoder of a latent diffusion model: a tiny random one in the files of diffusers, clear messages without."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from workflow import ROOT

import evenhand.workflow.torchvision_import  # noqa: F401 (diffusers imports torchvision; this makes that work everywhere)
from evenhand.models.conformance import SIDE, SMALL, check_model, pictures
from evenhand.models.family import Family, Frozen, build, load_weights, made_with, save_weights
from evenhand.models.registry import check_family, check_packages, declared
from evenhand.training.loop import to_unit_range
from evenhand.workflow.config import check_config, merged
from evenhand.workflow.errors import UserError

NAME = "autoencoder-kl"
WEIGHTS = "diffusion_pytorch_model.safetensors"
SCHEMA = yaml.safe_load((ROOT / "schemas" / "config.schema.yaml").read_text())
DEFAULTS = yaml.safe_load((ROOT / "config.yaml").read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small model with random weights, which halves the side of a picture twice, in the files of diffusers."""
    diffusers = pytest.importorskip("diffusers", reason="diffusers is optional and not installed")
    torch.manual_seed(0)
    network = diffusers.AutoencoderKL(
        block_out_channels=(8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=3,
        norm_num_groups=4,
    )
    with torch.no_grad():
        network.decoder.conv_out.weight.mul_(30)  # pictures exceed [-1, 1], and have to be cut off
    network.save_pretrained(tmp_path / "vae")
    return tmp_path / "vae"


def prepared(path: Path) -> Family:
    model = build(SMALL | {"family": NAME, "options": {"path": str(path)}})
    assert isinstance(model, Frozen)
    model.prepare(pictures(3).numpy(), ["a", "b", "c"])
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize("kind", ["folder", "half precision", "old names"])
def test_numbers_are_those_of_diffusers(folder: Path, kind: str) -> None:
    library = pytest.importorskip("diffusers").AutoencoderKL
    if kind == "half precision":
        library.from_pretrained(folder, low_cpu_mem_usage=False).half().save_pretrained(folder, variant="fp16")
    reference = library.from_pretrained(
        folder,
        variant="fp16" if kind == "half precision" else None,
        torch_dtype=torch.float32,
        low_cpu_mem_usage=False,
        local_files_only=True,
    )
    if kind == "old names":  # as in the files of Stable Diffusion 1, which diffusers reads as well
        new_names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
        tensors = load_file(folder / WEIGHTS)
        for new, old in new_names.items():
            tensors = {name.replace(new, old): tensor for name, tensor in tensors.items()}
        assert sum("proj_attn" in name for name in tensors) == 4
        save_file(tensors, folder / WEIGHTS)
    model = prepared(folder / "diffusion_pytorch_model.fp16.safetensors" if kind == "half precision" else folder)
    target = to_unit_range(pictures(3))
    found, posterior = model.reconstruct(target), reference.encode(target).latent_dist
    whole = reference(target).sample
    assert whole.abs().max() > 1
    assert torch.equal(found.image, whole.clamp(-1, 1))
    assert found.posterior is not None
    mean, logvar, divergence = found.posterior
    assert torch.equal(mean, posterior.mode())
    assert torch.equal((logvar / 2).exp(), posterior.std)
    torch.testing.assert_close(divergence.sum(dim=(1, 2, 3)), posterior.kl())
    noise = torch.randn(3, *model.noise_shape(SIDE), generator=torch.Generator().manual_seed(1))
    drawn = posterior.sample(generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model.sample(found, target, noise), reference.decode(drawn).sample.clamp(-1, 1))


def test_it_does_what_is_asked_of_a_family(folder: Path) -> None:
    assert {what: finding for what, finding in check_model(NAME, {"path": str(folder)}) if finding} == {}


@torch.no_grad()
def test_weights_need_the_files_no_more_and_name_the_package(folder: Path, tmp_path: Path) -> None:
    model, target = prepared(folder), to_unit_range(pictures(3))
    save_weights(tmp_path / "model.safetensors", model, NAME)
    shutil.rmtree(folder)
    loaded = load_weights(tmp_path / "model.safetensors")
    assert torch.equal(loaded.reconstruct(target).image, model.reconstruct(target).image)
    assert made_with(declared(NAME))["versions"]["diffusers"] == pytest.importorskip("diffusers").__version__


def test_weights_of_another_model_are_refused(folder: Path) -> None:
    tensors, config = load_file(folder / WEIGHTS), json.loads((folder / "config.json").read_text())
    first = "decoder.conv_in.bias"
    save_file({name: tensor for name, tensor in tensors.items() if name != first}, folder / WEIGHTS)
    with pytest.raises(
        UserError, match=rf"expected the {len(tensors)} tensors .*; .*: 1, the first {first}, .*found none"
    ):
        prepared(folder)
    save_file(tensors | {first: torch.zeros(5)}, folder / WEIGHTS)
    with pytest.raises(UserError, match=rf"{first}, expected \(16,\), found \(5,\)"):
        prepared(folder)
    (folder / WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(UserError, match=rf"{WEIGHTS} cannot be read: "):
        prepared(folder)
    (folder / "config.json").write_text(json.dumps(config | {"gamma": 2, "_diffusers_version": "9.0"}))
    with pytest.raises(UserError, match=r"of diffusers 9.0, says gamma, which the installed diffusers .* not know"):
        prepared(folder)
    (folder / "config.json").write_text(json.dumps(config | {"norm_num_groups": 5}))
    with pytest.raises(UserError, match=r"diffusers does not build what config.json describes: ValueError"):
        prepared(folder)


@pytest.mark.parametrize(
    ("changed", "weights", "side", "words"),
    [
        ({}, WEIGHTS, 32, ""),
        (None, WEIGHTS, 32, r"config.json: expected what diffusers saves .* whole pipeline: vae\); found .*No such"),
        ({"_class_name": "VQModel"}, WEIGHTS, 32, "config.json: expected _class_name AutoencoderKL; found VQModel"),
        ({"in_channels": 1}, WEIGHTS, 32, "config.json: expected in_channels 3, those of RGB; found 1"),
        ({"block_out_channels": 8}, WEIGHTS, 32, "config.json: expected block_out_channels as a list; found 8"),
        ({}, "diffusion_pytorch_model.bin", 32, r"weights as a file .safetensors; found none at .*model.safetensors"),
        ({"block_out_channels": [8] * 7}, WEIGHTS, 32, "image_size: expected a multiple of 64, .* 6 times; found 32"),
    ],
)
def test_what_is_no_such_model_is_refused_when_a_study_is_planned(
    tmp_path: Path, changed: dict[str, Any] | None, weights: str, side: int, words: str
) -> None:
    (tmp_path / weights).touch()
    if changed is not None:
        (tmp_path / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"} | changed))
    study = yaml.safe_load((ROOT / "studies" / "codec.yaml").read_text())
    config = merged(DEFAULTS, study | {"model": {"family": NAME, "options": {"path": str(tmp_path)}}})
    config["data"]["image_size"] = side
    check_config(config, SCHEMA)
    if words:
        with pytest.raises(UserError, match=words):
            check_family(config, DEFAULTS)
    else:
        check_family(config, DEFAULTS)


def test_without_the_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    words = r"autoencoder-kl needs the package diffusers, which .* does not find; install it \(pip install diffusers\)"
    with pytest.raises(UserError, match=words):
        check_packages(NAME)
    with pytest.raises(UserError, match=words):
        build(SMALL | {"family": NAME, "options": {"path": "anywhere"}})
