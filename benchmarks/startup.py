"""From process start to the first optimiser step of a training, beside a bare `import torch`.

python benchmarks/startup.py                              the network of config.yaml, up to its first step
python benchmarks/startup.py --study tests/tiny.yaml      a tiny network, through its first step
python benchmarks/startup.py --device cuda
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from stage_inputs import SCRIPTS, training_options, write_inputs
from study_options import parse_study, study_parser


def startup(args: argparse.Namespace) -> None:
    """Processes that end where the first step begins, and after its update, beside one that only imports torch."""
    script = SCRIPTS / "train_vae.py"
    as_script = f"import os, sys; sys.path.insert(0, {str(script.parent)!r}); "
    as_script += "import train_vae, evenhand.training.loop as t; "
    # The features of all targets are work of the steps, taken before them.
    as_script += "t.known_targets = lambda *a: None; "
    # The record of a training names the running script, which here is not a file.
    as_script += f"sys.modules['__main__'].__file__ = {str(script)!r}; s = t.train_step; t.train_step = "
    programs = {
        "import torch": "import os, torch; os._exit(0)",
        "first step begins": as_script + "lambda *a: os._exit(0); train_vae.main()",
        "first step done": as_script + "lambda *a: (s(*a), os._exit(0)); train_vae.main()",
    }
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # As many images as a step has. They are random: zeros may be multiplied faster.
        pixels = np.random.default_rng(0).integers(0, 256, (args.batch, args.side, args.side, 3), np.uint8)
        write_inputs(folder, pixels, args.batch)
        config = args.config | {"train": args.config["train"] | {"device": args.device, "batch_size": args.batch}}
        options = training_options(folder, folder / "output", config, args.threads)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
        for number in range(args.rounds + 1):
            for name, program in programs.items():
                start = time.perf_counter()
                process = subprocess.Popen(
                    [sys.executable, "-c", program, *options], env=environment, stdout=subprocess.DEVNULL
                )
                _, status, usage = os.wait4(process.pid, 0)
                assert status == 0, f"{name} failed"
                if not number:  # the first start compiles the modules, for all that follow
                    continue
                times[name].append((time.perf_counter() - start, usage.ru_utime + usage.ru_stime))
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in times.items()}
    print(
        f"medians of {args.rounds} starts, {args.study or 'config.yaml'}, {args.side} px, {args.batch} images a step:"
    )
    for name, (wall, cpu) in medians.items():
        ratios = [a / b for a, b in zip((wall, cpu), medians["import torch"], strict=True)]
        print(f"  {name:18s} {wall:6.2f} s ({ratios[0]:.2f} times), processor {cpu:6.2f} s ({ratios[1]:.2f} times)")


if __name__ == "__main__":
    startup(parse_study(study_parser(__doc__)))
