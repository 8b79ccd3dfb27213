"""Which n_test belongs in the variance factor 1/R + n_test/n_train: that of one test group, or of both?

    python benchmarks/variance_factor.py [--studies 2000] [--probes 1000] [--workers 2]

writes <output>.csv, of which benchmarks/calibration.py puts the chosen ones into docs/calibration.md. Every interval
inverts its test, so 1 - coverage is the rate of false alarms. On one core a scenario of means needs a minute for 2,000
studies, one of probes for 1,000.
"""

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import proportion_confint
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
LEVEL = 0.95
FEATURES = 8  # of an embedding
SECOND_SOURCE = {"light": 0.106, "dark": 0.387}  # shares of the second source


@dataclass(frozen=True)
class Means:
    """Sizes, and standard deviations of the effects on the log error of images, models, and models by group."""

    name: str
    n_light: int = 7755
    n_dark: int = 2168
    test_size: int = 500
    train_size: int = 1668
    image: float = 0.6
    model: float = 0.02
    runs: int = 10


@dataclass(frozen=True)
class Probes:
    """Probes of the group on both test sets of a run, or (`unseen`) on all images outside the training set."""

    name: str
    distance: float = 1.0  # of the groups in the embedding; 0: chance
    model: float = 0.02  # standard deviation of that distance over models
    unseen: bool = False
    compared_share: float = 0.5  # of dark images in the training set
    folds: int = 10
    runs: int = 10
    n_light: int = 7755
    n_dark: int = 2168
    test_size: int = 500
    train_size: int = 1668


MEANS = [
    Means("the paper's design"),
    Means("models that differ three times as much", model=0.06),
    Means("pools of one size", n_light=2168),
    Means("half of the smaller pool tested", n_dark=600, test_size=300, train_size=300),
]
PROBES = [
    Probes("probes on the test sets"),
    Probes("probes on the test sets, chance", distance=0.0),
    Probes("probes on unseen images, A", unseen=True, compared_share=0.0, folds=5),
    Probes("probes on unseen images, B", unseen=True, folds=5),
    Probes("probes on unseen images, C", unseen=True, compared_share=1.0, folds=5),
]


def simulate_means(truth: Means, seed: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """The statistics of one study: one number per run, and what is true of each."""
    rng = np.random.default_rng([seed, 1])
    whole, source = {}, {}
    models = rng.normal(0, truth.model, truth.runs)
    for group, n in (("light", truth.n_light), ("dark", truth.n_dark)):
        difficulty, second = rng.normal(0, truth.image, n), rng.random(n) < SECOND_SOURCE[group]
        tested = np.argpartition(rng.random((truth.runs, n)), truth.test_size, axis=1)[:, : truth.test_size]
        noise = rng.normal(0, 0.1, tested.shape) + (models + rng.normal(0, truth.model, truth.runs))[:, None]
        error = np.exp(difficulty[tested] + noise)
        whole[group] = error.mean(axis=1)
        source[group] = np.sum(error * second[tested], axis=1) / np.maximum(second[tested].sum(axis=1), 1)
    values = {
        "gap": whole["dark"] - whole["light"],
        "mean of both groups": (whole["dark"] + whole["light"]) / 2,
        "gap within a source": source["dark"] - source["light"],
    }
    mean = float(np.exp((truth.image**2 + 0.1**2 + 2 * truth.model**2) / 2))
    return values, {"gap": 0.0, "mean of both groups": mean, "gap within a source": 0.0}


def factors_of_means(truth: Means) -> dict[str, float]:
    """What stands for n_test / n_train."""
    one = truth.test_size / truth.train_size
    subset = SECOND_SOURCE["dark"] * truth.test_size / truth.train_size
    return {"none": 0.0, "of one group": one, "of both groups": 2 * one, "of the source": subset}


def simulate_probes(truth: Probes, seed: int) -> np.ndarray:
    """AUC of the group by run and fold: a linear discriminant on images that have a part of their own in all models."""
    rng = np.random.default_rng([seed, 2])
    pools = {"light": rng.normal(size=(truth.n_light, FEATURES)), "dark": rng.normal(size=(truth.n_dark, FEATURES))}
    dark = round(truth.compared_share * truth.train_size)
    trained = {"light": truth.train_size - dark, "dark": dark}
    found = np.empty((truth.runs, truth.folds))
    for run in range(truth.runs):
        features, positive, fold = [], [], []
        for group, pool in pools.items():
            order = rng.permutation(len(pool))
            beyond = order[truth.test_size + trained[group] :] if truth.unseen else order[:0]
            chosen = np.concatenate([order[: truth.test_size], beyond])
            rows = pool[chosen] + 0.3 * rng.normal(size=(len(chosen), FEATURES))
            if group == "dark":
                rows[:, 0] += truth.distance + truth.model * rng.normal()
            features.append(rows)
            positive.append(np.full(len(chosen), group == "dark"))
            fold.append(rng.permutation(np.arange(len(chosen)) % truth.folds))
        found[run] = fold_scores(np.concatenate(features), np.concatenate(positive), np.concatenate(fold))
    return found


def fold_scores(x: np.ndarray, positive: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """AUC of each fold by a linear discriminant fitted on the others."""
    scores = []
    for number in range(fold.max() + 1):
        inside, outside = fold == number, fold != number
        means = [x[outside & (positive == side)].mean(axis=0) for side in (False, True)]
        centred = x[outside] - np.where(positive[outside, None], means[1], means[0])
        projected = x[inside] @ np.linalg.solve(centred.T @ centred, means[1] - means[0])
        ranks, yes = stats.rankdata(projected), positive[inside]
        n, n_yes = len(yes), yes.sum()
        scores.append((ranks[yes].sum() - n_yes * (n_yes + 1) / 2) / (n_yes * (n - n_yes)))
    return np.array(scores)


def factors_of_probes(truth: Probes) -> dict[str, float]:
    """What stands for n_test / n_train."""
    one = truth.test_size / truth.train_size
    scored = (truth.n_light + truth.n_dark - truth.train_size) / truth.train_size
    return {"none": 0.0, "of one group": one, "of both groups": 2 * one} | (
        {"of the images scored": scored} if truth.unseen else {}
    )


def coverage(values: np.ndarray, true: float, factor: float) -> tuple[int, int]:
    """How many intervals of values (studies, units) hold what is true, and how many there are."""
    n = values.shape[1]
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * values.std(axis=1, ddof=1) * np.sqrt(1 / n + factor)
    return int(np.sum(np.abs(values.mean(axis=1) - true) <= half)), len(values)


def rows(
    scenario: str, statistic: str, values: np.ndarray, true: float, factors: Mapping[str, float]
) -> list[dict[str, Any]]:
    """One row of the table per factor."""
    table = []
    for name, factor in factors.items():
        covered, n = coverage(values, true, factor)
        low, high = proportion_confint(covered, n, method="beta")
        row = {"scenario": scenario, "statistic": statistic, "factor": name, "value": factor}
        table.append(row | {"rate": covered / n, "low": low, "high": high, "n": n})
    return table


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000, help="simulated studies per scenario of means")
    parser.add_argument("--probes", type=int, default=1000, help="... of probes; of unseen images a third")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--output", default=str(ROOT / "benchmarks" / "variance_factor"))
    args = parser.parse_args(argv)

    table = []
    with ProcessPoolExecutor(args.workers) as pool:
        for means in MEANS:
            jobs = pool.map(partial(simulate_means, means), range(args.studies), chunksize=20)
            found = list(tqdm(jobs, total=args.studies, desc=means.name))
            factors = factors_of_means(means)
            for statistic, true in found[0][1].items():
                chosen = {
                    k: v for k, v in factors.items() if k != "of the source" or statistic == "gap within a source"
                }
                values = np.stack([one[statistic] for one, _ in found])
                table += rows(means.name, statistic, values, true, chosen)
        for probes in PROBES:
            studies = args.probes // 3 if probes.unseen else args.probes
            scored = pool.map(partial(simulate_probes, probes), range(studies), chunksize=5)
            scores = np.stack(list(tqdm(scored, total=studies, desc=probes.name)))
            # Not known in closed form with probes fitted on few images: the mean of all studies, within 0.0003.
            true = float(scores.mean()) if probes.distance else 0.5
            table += rows(probes.name, "AUC over runs", scores.mean(axis=2), true, factors_of_probes(probes))
            one_run = {"1 / (folds - 1)": 1 / (probes.folds - 1)}
            table += rows(probes.name, "AUC over the folds of one run", scores[:, 0], true, one_run)
    pd.DataFrame(table).to_csv(f"{args.output}.csv", index=False, float_format="%.6g")


if __name__ == "__main__":
    main()
