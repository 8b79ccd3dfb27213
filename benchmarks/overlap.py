"""How well trainings that take turns on one GPU overlap: the real script with a device that only takes time.

    python benchmarks/overlap.py

Real are the start of each process, what it reads, the weights of config.yaml's network that it draws and writes, and
the lease. In place of the training it sleeps, so that two processor cores show what a GPU's machine would do.
"""

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from stage_inputs import SCRIPTS, training_options, write_inputs
from study_options import parse_study, study_parser

PROGRAM = """
import contextlib, sys, time
from pathlib import Path
sys.path.insert(0, {scripts!r})
import torch, train_vae
from evenhand.training import devices

@contextlib.contextmanager
def leased_device(*_):
    with devices.lease(["clock"], 1, Path({locks!r})):
        yield torch.device("cpu")

def train_on(*_):
    time.sleep({hold})
    return [{{"epoch": 1}}], {{"seconds": {hold}}}

train_vae.leased_device, train_vae.train_on = leased_device, train_on
sys.modules["__main__"].__file__ = {scripts!r} + "/train_vae.py"  # which a record of a training names
train_vae.main()
"""


def main() -> None:
    parser = study_parser(__doc__)
    parser.add_argument("--hold", type=float, default=19.0, help="seconds that a training keeps the device")
    parser.add_argument("--models", type=int, default=6)
    parser.add_argument("--at-a-time", type=int, default=3)
    args = parse_study(parser)
    with tempfile.TemporaryDirectory() as temporary:
        folder, n = Path(temporary), args.config["splits"]["train_size"]
        write_inputs(folder, np.random.default_rng(0).integers(0, 256, (n, args.side, args.side, 3), np.uint8), n)
        program = PROGRAM.format(scripts=str(SCRIPTS), locks=str(folder), hold=args.hold)

        def model(number: int) -> None:
            options = training_options(folder, folder / f"model {number}", args.config, threads=1)
            subprocess.run([sys.executable, "-c", program, *options], check=True, stdout=subprocess.DEVNULL)

        begun = time.perf_counter()
        with ThreadPoolExecutor(args.at_a_time) as pool:
            list(pool.map(model, range(args.models)))
        wall = time.perf_counter() - begun
    print(f"{args.models} models, {args.at_a_time} at a time, each {args.hold:g} s on the device: {wall:.1f} s in all")
    print(f"the device was held {args.models * args.hold / wall:.0%} of the time")


if __name__ == "__main__":
    main()
