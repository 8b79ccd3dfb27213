"""Embeddings from open_clip: a tiny random model where the package is installed, clear messages where not."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from paper import LIGHT_DARK
from PIL import Image
from safetensors.torch import load_file, save_file

from embed_images import main
from evaluate_vae import feature_extractor
from evenhand.data.availability import FOUND
from evenhand.models.perceptual import PerceptualLoss, feature_shapes
from evenhand.probes.openclip import BIOMEDCLIP, embed_images, load_openclip
from evenhand.splits.preflight import weight_mistakes
from evenhand.workflow.errors import UserError


@pytest.fixture
def tiny_model(tmp_path: Path) -> str:
    """The name of a small model with random weights, in the files in which open_clip publishes models."""
    open_clip = pytest.importorskip("open_clip", reason="open_clip_torch is optional and not installed")
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}
    text = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 1, "layers": 1}
    config = {"embed_dim": 12, "vision_cfg": vision, "text_cfg": text}
    folder = tmp_path / "tiny-random"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    torch.manual_seed(0)
    save_file(open_clip.model.CLIP(12, vision, text).state_dict(), folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


def test_without_the_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(UserError, match=r"install it \(pip install open_clip_torch"):
        load_openclip(BIOMEDCLIP)


def test_a_model_that_cannot_be_had_is_a_clear_error() -> None:
    pytest.importorskip("open_clip", reason="open_clip_torch is optional and not installed")
    with pytest.raises(UserError, match=r"no-such-model could not be loaded .*HF_HOME"):
        load_openclip("no-such-model")


def test_without_a_network_the_message_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    constants = pytest.importorskip("huggingface_hub", reason="comes with open_clip_torch").constants
    pytest.importorskip("open_clip", reason="open_clip_torch is optional and not installed")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"BiomedCLIP.* could not be loaded .*the first use needs a network"):
        load_openclip(BIOMEDCLIP)


def test_rows_are_embedded_in_order_whatever_the_batch(tiny_model: str) -> None:
    model, preprocess = load_openclip(tiny_model)
    images = np.random.default_rng(0).integers(0, 256, (7, 40, 40, 3), dtype=np.uint8)
    rows = np.array([5, 0, 3])
    together = embed_images(model, preprocess, images, rows, torch.device("cpu"))
    assert together.shape == (3, 12)
    assert together.dtype == np.float32
    one_by_one = embed_images(model, preprocess, images, rows, torch.device("cpu"), batch_size=1)
    np.testing.assert_allclose(together, one_by_one, rtol=1e-4, atol=1e-5)
    with torch.inference_mode():
        expected = model.encode_image(preprocess(Image.fromarray(images[5]))[None])  # type: ignore[operator]
    np.testing.assert_allclose(together[0], expected[0].numpy(), rtol=1e-4, atol=1e-5)


def test_a_folder_without_a_model_or_with_half_of_one_is_refused(tiny_model: str) -> None:
    """Before a study, and never with weights drawn at random in place of those that are missing."""
    folder = Path(tiny_model.removeprefix("local-dir:"))
    study = {"loss": {"perceptual_weights": "random"}, "evaluate": {"extractor": tiny_model}}
    assert [*weight_mistakes(study)] == []
    weights = folder / "open_clip_model.safetensors"
    tensors = load_file(weights)
    save_file({name: tensors[name] for name in list(tensors)[1:]}, weights)
    for remove in (None, weights, folder / "open_clip_config.json"):
        if remove:
            remove.unlink()
        (mistake,) = weight_mistakes(study)
        assert mistake.startswith(f"evaluate.extractor: {tiny_model} could not be loaded (")
        assert mistake.endswith("Expected the files of an open_clip model in that folder")


def test_generated_pictures_are_compared_by_the_features_of_open_clip_itself(tiny_model: str) -> None:
    """Bit for bit those that its own model and transform give, of pictures smaller than it takes, too."""
    open_clip = pytest.importorskip("open_clip", reason="open_clip_torch is optional and not installed")
    vgg19 = PerceptualLoss({name: torch.zeros(shape) for name, shape in feature_shapes()}, normalize=False)
    extract, title = feature_extractor(tiny_model, "0123456789abcdef", vgg19, "no file")
    assert title == "open_clip model tiny-random (files 0123456789ab), image embedding"
    model, _, transform = open_clip.create_model_and_transforms(tiny_model)
    for side in (16, 40):
        pictures = np.random.default_rng(side).integers(0, 256, (5, side, side, 3), dtype=np.uint8)
        with torch.no_grad():
            batch = torch.stack([transform(Image.fromarray(picture)) for picture in pictures])
            expected = model.eval().encode_image(batch).numpy()
        found = extract(pictures, torch.device("cpu"))
        np.testing.assert_array_equal(found, expected)
        assert np.ptp(found, axis=0).min() > 0


def test_the_embedding_is_that_of_the_images_of_both_groups(tiny_model: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    names = [f"{number:032x}" for number in range(5)]
    table = pd.DataFrame({"row": [4, 3, 2, 1, 0], "id": names, "skin_type": [1, 6, 3, 2, 5]})
    table = table.assign(**dict.fromkeys(FOUND, ""))
    table.to_csv(tmp_path / "images.csv", index=False)
    paths = {name: str(tmp_path / name) for name in ("images.npy", "images.csv", "embeddings.npz", "metadata.csv")}
    main(
        [
            *("--images", paths["images.npy"], "--index", paths["images.csv"]),
            *("--config", json.dumps({"model": tiny_model, "groups": LIGHT_DARK, "device": "cpu"})),
            *("--embeddings", paths["embeddings.npz"], "--metadata", paths["metadata.csv"]),
        ]
    )
    metadata = pd.read_csv(paths["metadata.csv"], dtype=str)
    assert metadata["group"].tolist() == ["light", "dark", "light", "dark"]  # skin type 3 is in neither
    with np.load(paths["embeddings.npz"]) as stored:
        assert stored["id"].astype(str).tolist() == metadata["id"].tolist()
        alone = embed_images(*load_openclip(tiny_model), images, np.array([1]), torch.device("cpu"))
        np.testing.assert_allclose(stored["embedding"][2], alone[0], rtol=1e-4, atol=1e-5)
