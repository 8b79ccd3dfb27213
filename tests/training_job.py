"""A training as a process, on packed images and a manifest as the earlier stages write them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from evenhand.splits.manifests import write_draw
from evenhand.workflow.files import write_json
from evenhand.workflow.tables import write_csv

CONFIG = {
    "seed": 1,
    "model": {
        "family": "vae",
        "options": {},
        "width": 16,
        "multipliers": [1, 1, 1, 1],
        "latent_channels": 2,
        "deep": False,
        "norm": "batch",
    },
    "loss": {"kl_scale": 1.0, "feature_scale": 0.0, "perceptual_weights": "random", "perceptual_normalize": False},
    "train": {"epochs": 6, "batch_size": 8, "learning_rate": 1e-3, "clip_norm": 10.0, "flip": 0.5}
    | {"precision": "fp32", "device": "cpu", "threads": 1, "deterministic": True, "paired_seeds": False},
}


def write_data(folder: Path, n: int = 64) -> Path:
    """What a training reads, of `n` images, in `folder`."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "images.npy", np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8))
    hashes = [f"{index:032x}" for index in range(n)]
    write_csv(pd.DataFrame({"row": range(n), "id": hashes}), folder / "images.csv")
    write_json({"n": n, "side": 32, "sha256": "0" * 64, "synthetic": True}, folder / "images.json")
    write_draw({"light": hashes, "dark": []}, 0, "A", folder / "manifest.csv")
    return folder


def command(data: Path, output: Path, config: dict[str, object], seconds: float = 0.0) -> list[str]:
    script = Path(__file__).parents[1] / "workflow_scripts" / "train_vae.py"
    return [
        *(sys.executable, str(script), "--images", f"{data}/images.npy", "--index", f"{data}/images.csv"),
        *("--record", f"{data}/images.json", "--manifest", f"{data}/manifest.csv", "--features", "none"),
        *("--train-set", "A", "--run", "0", "--config", json.dumps(config), "--checkpoint-seconds", str(seconds)),
        *("--model", f"{output}/model.safetensors", "--history", f"{output}/history.csv"),
        *("--run-record", f"{output}/run.json"),
    ]


def kill_after_epoch(epoch: int, data: Path, output: Path, config: dict[str, object]) -> None:
    """Train and be killed when the checkpoint of that epoch has its name. `output` is a folder called results."""
    inject = str(Path(__file__).parent / "faults" / "inject")
    killed = subprocess.run(
        command(data, output, config),
        cwd=output.parent,
        env=os.environ | {"PYTHONPATH": inject, "FAULT_KILL": f"after {epoch}"},
        start_new_session=True,  # it kills its group
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
