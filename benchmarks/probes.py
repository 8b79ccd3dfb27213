"""How fast and how good the batched probes are, beside a loop over scikit-learn's MLPClassifier.

    python benchmarks/probes.py speed     the loop and the batch on the same folds, one after the other
    python benchmarks/probes.py size      n and d up to those of MIMIC-CXR: time per network and epoch, memory
    python benchmarks/probes.py protocol  the whole protocol at that size, with one epoch: memory
    python benchmarks/probes.py sources   one embedding of the size of the VAE's, with all controls

Both sides of `speed` have the same layers, Adam without weight decay, batch size, learning rate and stopping rule
(validation accuracy, tolerance 1e-4, patience 10). The table says what the machine was doing.
"""

import argparse
import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from sys import path

path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

import numpy as np
import torch
import yaml
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from evenhand.probes.applicable import protocol_settings
from evenhand.probes.batched_mlp import fit_networks
from evenhand.probes.folds import Fold, make_folds
from evenhand.probes.jobs import fit_scaling, kept_after, removed_count
from evenhand.probes.networks import Network, parameter_count, predict
from evenhand.probes.protocol import probe_attribute
from evenhand.probes.settings import MLPSettings, ProtocolSettings
from evenhand.probes.targets import Labels, make_target
from evenhand.training.devices import make_deterministic, peak_memory_mb

HIDDEN = (768, 256)
FRACTIONS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.5)
EPOCHS, PATIENCE, BATCH = 200, 10, 200
SIDES = ("bf16", "float64", "float64-1", "fp32", "float32")
TASKS = {"strong": 3.0, "weak": 1.0}


def dense_task(n: int, d: int, strength: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A label coded along a dense direction, with a curved part that a linear probe cannot see."""
    x = rng.normal(size=(n, d)).astype(np.float32)
    direction, other = rng.normal(size=(2, d)) / np.sqrt(d)
    score = strength * (x @ direction) + 0.5 * strength * ((x @ other) ** 2 - 1)
    return x, (score + rng.logistic(size=n) > 0).astype(np.int64)


@dataclass
class Spent:
    """What one way of training has cost so far, and the AUC of its networks."""

    wall: float = 0.0
    processor: float = 0.0
    epochs: int = 0
    aucs: list[float] = field(default_factory=list)


def sklearn_folds(
    x: np.ndarray, y: np.ndarray, folds: Sequence[Fold], removals: Sequence[Sequence[np.ndarray]], epochs: int,
    seed: int, threads: int | None = None,
) -> tuple[list[float], int]:  # fmt: skip
    """AUC of one scikit-learn network per fold and removal, and epochs; columns are dropped, features scaled.

    Args:
        seed: of the first network, the others count on: one lucky start shall not decide for all of them.
        threads: of its matrix products; None: all, as it comes.
    """
    aucs: list[float] = []
    trained = 0
    for fold, kept_columns in zip(folds, removals, strict=True):
        for kept in kept_columns:
            center, inverse = fit_scaling(x[fold.fitting])
            scaled = ((x - center) * inverse).astype(x.dtype)[:, kept]
            share = len(fold.valid) / len(fold.fitting)
            model = MLPClassifier(
                HIDDEN,
                alpha=0,
                batch_size=BATCH,
                early_stopping=True,
                validation_fraction=share,
                n_iter_no_change=PATIENCE,
                max_iter=epochs,
                random_state=seed + len(aucs),
            )
            with warnings.catch_warnings(), threadpool_limits(threads):
                warnings.simplefilter("ignore", ConvergenceWarning)  # a bounded number of epochs is asked for
                model.fit(scaled[fold.fitting], y[fold.fitting])
            trained += model.n_iter_
            aucs.append(float(roc_auc_score(y[fold.test], model.predict_proba(scaled[fold.test])[:, 1])))
    return aucs, trained


def batched_folds(
    x: np.ndarray, y: np.ndarray, folds: Sequence[Fold], removals: Sequence[Sequence[np.ndarray]], epochs: int,
    seed: int, precision: str, device: torch.device,
) -> tuple[list[float], int]:  # fmt: skip
    """The same with the batched networks, those of all folds at once, on `device`."""
    matrix, labels = torch.from_numpy(x).to(device), [Labels(y[:, None].astype(np.float32), "sigmoid")]
    settings = MLPSettings(
        HIDDEN, weight_decay=0.0, batch_size=BATCH, max_epochs=epochs, patience=PATIENCE, monitor="accuracy",
        precision=precision,  # type: ignore[arg-type]
    )  # fmt: skip
    tests: list[np.ndarray] = []
    networks: list[Network] = []
    for fold, kept_columns in zip(folds, removals, strict=True):
        center, inverse = fit_scaling(x[fold.fitting])
        for kept in kept_columns:
            tests.append(fold.test)
            networks.append(Network(fold.train, fold.valid, 0, center, inverse, kept, seed + len(networks)))
    fitted = fit_networks(matrix, labels, networks, settings)
    aucs = [
        float(roc_auc_score(y[test], predict(matrix, network, result, test)[:, 0]))
        for test, network, result in zip(tests, networks, fitted, strict=True)
    ]
    return aucs, sum(result.epochs for result in fitted)


def speed(
    n: int, d: int, folds: int, turn: int, epochs: int, chosen: Sequence[str], device: torch.device
) -> None:  # fmt: skip
    """Seconds and mean AUC of the loop (float64 as users give it, and float32) and of the batch, `turn` folds in turns.

    On a processor both have all threads: scikit-learn for its matrix products, the batch for networks side by side. As
    epochs differ by chance, the time per epoch is given, too. AUCs are compared by fold: the mean difference and its
    standard error.
    """
    rng = np.random.default_rng(0)
    for task, strength in TASKS.items():
        x, y = dense_task(n, d, strength, rng)
        sides = {
            "bf16": partial(batched_folds, x, precision="bf16", device=device),
            "float64": partial(sklearn_folds, x.astype(float)),
            "float64-1": partial(sklearn_folds, x.astype(float), threads=1),
            "fp32": partial(batched_folds, x, precision="fp32", device=device),
            "float32": partial(sklearn_folds, x),
        }
        print(f"{task}: n={n} d={d}, {folds} of 10 folds x {len(FRACTIONS)} shares, at most {epochs} epochs")
        spent = {name: Spent() for name in sides if name in chosen}
        parts = make_folds(np.arange(n), y, np.arange(n), 10, 0, False, task, ["0", "1"])[:folds]
        orders = [np.random.default_rng(number).permutation(d) for number in range(folds)]
        removals = [[kept_after(order[: removed_count(share, d)], d) for share in FRACTIONS] for order in orders]
        for start in range(0, folds, turn):
            now = slice(start, start + turn)
            for name, cost in spent.items():
                wall, processor = time.perf_counter(), time.process_time()
                aucs, trained = sides[name](
                    y=y, folds=parts[now], removals=removals[now], epochs=epochs, seed=start * len(FRACTIONS)
                )
                cost.wall += time.perf_counter() - wall
                cost.processor += time.process_time() - processor
                cost.epochs += trained
                cost.aucs += aucs
            report(spent)


def report(spent: dict[str, Spent]) -> None:
    """What each side has cost so far, beside scikit-learn with float64."""
    base = spent["float64"]
    print(f"  after {len(base.aucs) // len(FRACTIONS)} folds, load {os.getloadavg()[0]:.1f}")
    for name, cost in spent.items():
        each, base_each = cost.wall / cost.epochs, base.wall / base.epochs
        apart = np.subtract(cost.aucs, base.aucs).reshape(-1, len(FRACTIONS)).mean(1)
        error = apart.std(ddof=1) / np.sqrt(len(apart)) if len(apart) > 1 else np.nan
        print(
            f"  {name:10s} {cost.wall:8.1f} s {base.wall / cost.wall:5.2f} x   "
            f"processor time {cost.processor:8.1f} s {base.processor / cost.processor:5.2f} x   "
            f"{cost.epochs} epochs of {each:.3f} s {base_each / each:5.2f} x   "
            f"mean AUC {np.mean(cost.aucs):.4f}, apart {apart.mean():+.4f} (SE {error:.4f})",
            flush=True,
        )


def size(sizes: Sequence[tuple[int, int]], precision: str, device: torch.device) -> None:
    """Time of one network and epoch, a network per thread; peak memory, on a GPU that of its own."""
    for n, d in sizes:
        values = torch.empty(n, d).normal_(generator=torch.Generator().manual_seed(0))
        y = (values[:, :1] > 0).float().numpy()
        rows = np.arange(n)
        center, inverse = fit_scaling(values.numpy()[: int(0.9 * n)])
        matrix = values.to(device)
        network = Network(rows[: int(0.8 * n)], rows[int(0.8 * n) : int(0.9 * n)], 0, center, inverse, np.arange(d), 0)
        settings = MLPSettings(HIDDEN, batch_size=1024, max_epochs=1, networks_per_batch=1, precision=precision)  # type: ignore[arg-type]
        networks = [network] * torch.get_num_threads()
        wall, processor = time.perf_counter(), time.process_time()
        fit_networks(matrix, [Labels(y, "sigmoid")], networks, settings)
        wall, processor = (
            (time.perf_counter() - wall) / len(networks),
            (time.process_time() - processor) / len(networks),
        )
        work = parameter_count(d, HIDDEN, 1) * n
        print(
            f"n={n} d={d} {precision}: {wall:.2f} s per network and epoch, processor time {processor:.2f} s "
            f"({1e9 * processor / work:.4f} ns per row and parameter), peak {peak_memory_mb(device) / 1024:.1f} GB, "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )


def protocol(n: int, d: int, precision: str, folds: int, device: torch.device) -> None:
    """The whole protocol on one matrix, with fewer shares, draws and epochs: what it needs of memory."""
    x, y = dense_task(n, d, 3.0, np.random.default_rng(0))
    settings = ProtocolSettings(
        folds=folds, fractions=(0.0, 0.5), random_draws=1, bottom=False,
        mlp=MLPSettings(HIDDEN, batch_size=1024, max_epochs=1, precision=precision),  # type: ignore[arg-type]
    )  # fmt: skip
    start, used = time.perf_counter(), time.process_time()
    table = probe_attribute(x, np.arange(n), make_target("sex", ["F", "M"], y), [], settings, device)
    print(
        f"n={n} d={d} {precision}: {len(table)} fits of one epoch in {time.perf_counter() - start:.0f} s, "
        f"processor time {time.process_time() - used:.0f} s, "
        f"peak {peak_memory_mb(device) / 1024:.1f} GB, load {os.getloadavg()[0]:.1f}"
    )
    print(table.groupby(["probe", "removal", "fraction"]).auc.mean().round(3).to_string())


def sources(n: int, d: int, device: torch.device) -> None:
    """One of the VAE's embeddings and one target, with disease probes and all controls; 60 of them make the study."""
    rng = np.random.default_rng(0)
    x, y = dense_task(n, d, 2.0, rng)
    disease = make_target("disease", ["a", "b", "c"], rng.choice(3, n, p=[0.7, 0.15, 0.15]))
    config = yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text())
    settings = protocol_settings(config["probe"], 0, n, "fp32")
    start, used = time.perf_counter(), time.process_time()
    target = make_target("tone", ["light", "dark"], y)
    malignant = make_target("malignant", ["no", "yes"], (disease.codes == 1).astype(np.int64))
    table = probe_attribute(x, np.arange(n), target, [disease, malignant], settings, device)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    threads = torch.get_num_threads()
    print(
        f"n={n} d={d}: {len(table)} fits in {seconds:.1f} s on {device.type} with {threads} threads, "
        f"processor time {used:.1f} s, load {os.getloadavg()[0]:.1f}"
    )
    print(f"60 of these, two at a time on one core each: {60 * used / 2 / 60:.1f} minutes (from the processor time)")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["speed", "size", "protocol", "sources"])
    parser.add_argument("--n", type=int, help="rows")
    parser.add_argument("--d", type=int, help="features")
    parser.add_argument("--folds", type=int, default=10, help="folds of ten to run (speed), or folds (protocol)")
    parser.add_argument("--turn", type=int, default=5, help="folds of one side before the other has its turn (speed)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="most epochs (speed)")
    parser.add_argument(
        "--sides", nargs="+", choices=SIDES, default=SIDES,
        help="of speed: the batch in bf16 or fp32, scikit-learn in float64 (-1: on one thread) or float32",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="of the batched networks")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16", help="of size and protocol")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    make_deterministic()
    device = torch.device(args.device)
    print(f"{args.threads} threads of {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")
    if args.part == "speed":
        speed(args.n or 10_000, args.d or 512, args.folds, args.turn, args.epochs, args.sides, device)
    elif args.part == "sources":
        sources(args.n or 1000, args.d or 64, device)
    elif args.part == "protocol":
        protocol(args.n or 240_000, args.d or 1376, args.precision, args.folds, device)
    else:
        full = (args.n or 240_000, args.d or 1376)
        size(
            [(full[0] // 4, full[1] // 4), (full[0] // 4, full[1]), (full[0] // 2, full[1]), full],
            args.precision,
            device,
        )


if __name__ == "__main__":
    main()
