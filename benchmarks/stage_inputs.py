"""What the scripts that train and evaluate read, made up of random photographs, and how they are called.

The one place of the benchmarks that knows the options and inputs of these scripts.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save_file
from study_options import ROOT

sys.path.insert(0, str(ROOT / "workflow_scripts"))

from evenhand.models.vgg19 import random_weights
from evenhand.splits.design import Drawn
from evenhand.splits.manifests import write_draw

SCRIPTS = ROOT / "workflow_scripts"
GROUPS = ("light", "dark")
COLUMNS = "skin_type,second_skin_type,condition,condition_2,condition_3,source"


def write_inputs(folder: Path, pixels: NDArray[np.uint8], train: int) -> None:
    """Packed images (n, S, S, 3), of which the first `train` are a training set and the others test images by turns."""
    names = [f"{number:032x}" for number in range(len(pixels))]
    np.save(folder / "images.npy", pixels)
    index = [f"{row},{name},1,1,a,b,c,d" for row, name in enumerate(names)]
    (folder / "images.csv").write_text("\n".join([f"row,id,{COLUMNS}", *index, ""]))
    write_draw(by_turns(names[:train]), 0, "A", folder / "train_A.csv")
    if names[train:]:
        write_draw(by_turns(names[train:]), 0, None, folder / "test.csv")
    (folder / "images.json").write_text('{"synthetic": true}')
    save_file(random_weights(0), folder / "vgg19.safetensors", metadata={"weights": "random"})


def by_turns(names: Sequence[str]) -> Drawn:
    """`names`, one group after the other."""
    return {group: list(names[number :: len(GROUPS)]) for number, group in enumerate(GROUPS)}


def common_options(folder: Path, threads: int, slots: int) -> list[str]:
    """Of both scripts, on what `write_inputs` wrote into `folder`."""
    files = {"images": "images.npy", "index": "images.csv", "features": "vgg19.safetensors"}
    named = [part for option, name in files.items() for part in (f"--{option}", str(folder / name))]
    return [*named, "--train-set", "A", "--run", "0", "--threads", str(threads), "--gpu-slots", str(slots)]


def training_options(folder: Path, output: Path, config: dict[str, Any], threads: int, slots: int = 1) -> list[str]:
    """Of train_vae.py, which writes into `output`; `slots` jobs share a GPU."""
    products = {"model": "model.safetensors", "history": "history.csv", "run-record": "run.json"}
    named = [part for option, name in products.items() for part in (f"--{option}", str(output / name))]
    # As evenhand.workflow.config.training_settings, which needs a package that a machine with a GPU may not have.
    settings = {key: config[key] for key in ("seed", "model", "loss", "train")}
    return [
        *common_options(folder, threads, slots), *named, "--record", f"{folder}/images.json",
        "--manifest", f"{folder}/train_A.csv",
        "--config", json.dumps(settings),
    ]  # fmt: skip


def evaluation_options(folder: Path, output: Path, config: dict[str, Any], threads: int, slots: int = 1) -> list[str]:
    """Of evaluate_vae.py, on the model that is in `output`."""
    files = {"model": "model.safetensors", "evaluation": "evaluation.parquet", "embeddings": "embeddings.npz"}
    named = [part for option, name in files.items() for part in (f"--{option}", str(output / name))]
    settings = {key: config[key] for key in ("seed", "loss")} | {"reference": GROUPS[0]}
    settings |= {"evaluate": config["evaluate"] | {"full_latents": True}, "compared_share": 0.5, "skin": True}
    return [
        *common_options(folder, threads, slots), *named, "--samples", f"{output}/samples.parquet",
        "--test", f"{folder}/test.csv", "--training", f"{folder}/train_A.csv",
        "--config", json.dumps(settings),
    ]  # fmt: skip


def script_command(name: str, options: list[str]) -> list[str]:
    """The command that runs the script `name`, its output unbuffered."""
    return [sys.executable, "-u", str(SCRIPTS / name), *options]
