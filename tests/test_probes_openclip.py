"""Embeddings from open_clip: a tiny random model where the package is installed, clear messages where not."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fairgen.errors import UserError
from fairgen.probes.openclip import BIOMEDCLIP, embed_images, load_openclip


def test_without_the_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(UserError, match=r"install it \(pip install open_clip_torch"):
        load_openclip(BIOMEDCLIP)


def test_a_model_that_cannot_be_had_is_a_clear_error() -> None:
    pytest.importorskip("open_clip", reason="open_clip_torch is optional and not installed")
    with pytest.raises(UserError, match=r"no-such-model could not be loaded .*HF_HOME"):
        load_openclip("no-such-model")


def test_rows_are_embedded_in_order_whatever_the_batch(tmp_path: Path) -> None:
    open_clip = pytest.importorskip("open_clip", reason="open_clip_torch is optional and not installed")
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8}
    text = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 1, "layers": 1}
    config = {"embed_dim": 12, "vision_cfg": vision, "text_cfg": text}
    (tmp_path / "tiny-random.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    torch.manual_seed(0)
    model, _, preprocess = open_clip.create_model_and_transforms("tiny-random")
    images = np.random.default_rng(0).integers(0, 256, (7, 40, 40, 3), dtype=np.uint8)
    rows = np.array([5, 0, 3])
    together = embed_images(model, preprocess, images, rows, torch.device("cpu"))
    assert together.shape == (3, 12)
    assert together.dtype == np.float32
    one_by_one = embed_images(model, preprocess, images, rows, torch.device("cpu"), batch_size=1)
    np.testing.assert_allclose(together, one_by_one, rtol=1e-4, atol=1e-5)
    with torch.inference_mode():
        expected = model.encode_image(preprocess(Image.fromarray(images[5]))[None])
    np.testing.assert_allclose(together[0], expected[0].numpy(), rtol=1e-4, atol=1e-5)
