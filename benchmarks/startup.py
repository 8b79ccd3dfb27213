"""From process start to the first optimiser step of a training, beside a bare `import torch`.

python benchmarks/startup.py                              the network of config.yaml, up to its first step
python benchmarks/startup.py --study tests/tiny.yaml      a tiny network, through its first step
python benchmarks/startup.py --device cuda
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.torch import save_file
from study_options import ROOT, parse_study, study_parser

sys.path.insert(0, str(ROOT / "workflow_scripts"))

from fairgen.draws import train_roles, write_draw
from fairgen.vgg19 import random_weights


def startup(args: argparse.Namespace) -> None:
    """Processes that end where the first step begins, and after its update, beside one that only imports torch."""
    script = ROOT / "workflow_scripts" / "train_vae.py"
    as_script = f"import os, sys; sys.path.insert(0, {str(script.parent)!r}); import train_vae, fairgen.training as t; "
    # The record of a training names the running script, which here is not a file.
    as_script += f"sys.modules['__main__'].__file__ = {str(script)!r}; s = t.train_step; t.train_step = "
    programs = {
        "import torch": "import os, torch; os._exit(0)",
        "first step begins": as_script + "lambda *a: os._exit(0); train_vae.main()",
        "first step done": as_script + "lambda *a: (s(*a), os._exit(0)); train_vae.main()",
    }
    with tempfile.TemporaryDirectory() as temporary:
        options = training_options(Path(temporary), args)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
        for _ in range(args.rounds):
            for name, program in programs.items():
                start = time.perf_counter()
                process = subprocess.Popen([sys.executable, "-c", program, *options], stdout=subprocess.DEVNULL)
                _, status, usage = os.wait4(process.pid, 0)
                assert status == 0, f"{name} failed"
                times[name].append((time.perf_counter() - start, usage.ru_utime + usage.ru_stime))
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in times.items()}
    print(
        f"medians of {args.rounds} starts, {args.study or 'config.yaml'}, {args.side} px, {args.batch} images a step:"
    )
    for name, (wall, cpu) in medians.items():
        ratios = [a / b for a, b in zip((wall, cpu), medians["import torch"], strict=True)]
        print(f"  {name:18s} {wall:6.2f} s ({ratios[0]:.2f} times), processor {cpu:6.2f} s ({ratios[1]:.2f} times)")


def training_options(folder: Path, args: argparse.Namespace) -> list[str]:
    """The command line of a training on what is written into `folder`: as many images as a step has."""
    np.save(folder / "images.npy", np.zeros((args.batch, args.side, args.side, 3), np.uint8))
    names = [f"{index:032x}" for index in range(args.batch)]
    (folder / "images.csv").write_text("\n".join(["md5hash", *names, ""]))
    write_draw({"light": names, "dark": []}, 0, train_roles("A"), folder / "manifest.csv")
    (folder / "images.json").write_text('{"synthetic": true}')
    save_file(random_weights(0), folder / "vgg19.safetensors")
    config = args.config | {"train": args.config["train"] | {"device": args.device, "batch_size": args.batch}}
    files = {"images": "images.npy", "index": "images.csv", "record": "images.json", "manifest": "manifest.csv",
             "features": "vgg19.safetensors", "model": "out/m", "history": "out/h", "run-record": "out/r"}  # fmt: skip
    named = [part for option, name in files.items() for part in (f"--{option}", str(folder / name))]
    return [*named, "--train-set", "A", "--run", "0", "--threads", str(args.threads), "--config", json.dumps(config)]


if __name__ == "__main__":
    startup(parse_study(study_parser(__doc__)))
