"""Per-image tables with a known truth, to find out whether the tests and intervals keep their promises.

The design is the real one: every run draws its test sets from the same pool of images, so that images recur
across runs, and its training sets from the rest, so that training sets overlap. The log of the error is a sum of
normal effects, hence every expectation is known in closed form.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, product

import numpy as np
import pandas as pd

from evenhand.splits.groups import Pair
from evenhand.stats.components import StartSums, starts_of
from evenhand.stats.crossed import Cell, CrossedSums, crossed
from evenhand.stats.gaps import RunTable

CONDITION_COUNT = 12
PAIR = Pair("light", "dark")


def condition_name(number: int) -> str:
    """The label of a simulated condition."""
    return f"condition {number:02d}"


@dataclass(frozen=True)
class Truth:
    """Sizes of the design and effects on the log error (standard deviations unless said otherwise).

    shares: of dark images, per training set. gap: added for dark images, per training set. condition: spread of the
    effects of the conditions, whose mix differs between the groups by `mix` (0: same mix). source: added for
    images of the second source, which holds 10.6 % of light and 38.7 % of dark images when `source_mix` is true,
    else 20 % of both. image: an image's own difficulty, in the dark group times `unequal`; its mean error stays.
    heavy: one image in twenty has a difficulty three times as spread, the others less. duplicates: the fraction of
    images that come in pairs of equal difficulty. run: effect of a model on both groups; run_group: on
    one group. training: effect on one group of the training images that a model has seen, shared by runs as far
    as their training sets overlap. starts: models on one training set. paired: run and run_group are the same under
    all training sets, the most that `train.paired_seeds` can do. spread: factors of run and run_group by training set.
    noise: the rest. std_gap: added to the log latent standard deviation of dark images.
    """

    shares: dict[str, float] = field(default_factory=lambda: {"A": 0.0, "B": 0.5, "C": 1.0})
    gap: dict[str, float] = field(default_factory=dict)
    n_light: int = 7755
    n_dark: int = 2168
    test_size: int = 500
    train_size: int = 1668
    runs: int = 10
    log_mse: float = -3.0
    condition: float = 0.0
    mix: float = 0.0
    source: float = 0.0
    source_mix: bool = True
    image: float = 0.4
    unequal: float = 1.0
    heavy: bool = False
    duplicates: float = 0.0
    run: float = 0.02
    run_group: float = 0.02
    training: float = 0.0
    starts: int = 1
    paired: bool = False
    spread: dict[str, float] = field(default_factory=dict)
    noise: float = 0.1
    std_gap: float = 0.0
    shift: dict[str, float] = field(default_factory=dict)

    def condition_effects(self) -> np.ndarray:
        """One effect per condition, equally spaced, mean 0 and the given standard deviation."""
        ranks = np.linspace(-1, 1, CONDITION_COUNT)
        return self.condition * ranks / ranks.std()

    def condition_shares(self, group: str) -> np.ndarray:
        """The condition mix of a group; with mix > 0 the dark group has more of the conditions of high effect."""
        tilt = np.exp((1 if group == "dark" else -1) * self.mix * np.linspace(-1, 1, CONDITION_COUNT))
        return np.asarray(tilt / tilt.sum())

    def source_share(self, group: str) -> float:
        """Fraction of a group's images from the second source."""
        return {"light": 0.106, "dark": 0.387}[group] if self.source_mix else 0.2

    def expected_mse(self, train_set: str, group: str) -> float:
        """The expected MSE over images, models and noise."""
        models = self.spread.get(train_set, 1.0) ** 2 * (self.run**2 + self.run_group**2)
        variance = self.image**2 + models + self.training**2 + self.noise**2
        fixed = self.log_mse + (self.gap.get(train_set, 0.0) if group == "dark" else 0.0)
        conditions = float(self.condition_shares(group) @ np.exp(self.condition_effects()))
        share = self.source_share(group)
        return float(np.exp(fixed + variance / 2) * conditions * (1 - share + share * np.exp(self.source)))

    def condition_mse(self, train_set: str, group: str, condition: int) -> float:
        """The expected MSE of one condition."""
        effects = np.exp(self.condition_effects())
        mean = float(self.condition_shares(group) @ effects)
        return self.expected_mse(train_set, group) * float(effects[condition]) / mean

    def expected_gap(self, train_set: str) -> float:
        """The expected gap of the mean MSE, dark minus light."""
        return self.expected_mse(train_set, "dark") - self.expected_mse(train_set, "light")

    def crossing(self) -> float:
        """The dark share at which the expected gap, linear between training sets, is 0; NaN unless there is one."""
        points = sorted((share, self.expected_gap(name)) for name, share in self.shares.items())
        roots = [
            low + (high - low) * gap / (gap - other)
            for (low, gap), (high, other) in pairwise(points)
            if gap > 0 >= other or gap < 0 <= other
        ]
        return roots[0] if len(roots) == 1 else math.nan

    def standardised_gap(self, train_set: str) -> float:
        """The expected gap when both groups have the mean of their two condition mixes."""
        pooled = (self.condition_shares("light") + self.condition_shares("dark")) / 2
        gaps = [
            self.condition_mse(train_set, "dark", condition) - self.condition_mse(train_set, "light", condition)
            for condition in range(CONDITION_COUNT)
        ]
        return float(pooled @ gaps)


def simulate_study(truth: Truth, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One study: the rows of `simulate_models` in one table, and the design table.

    Returns:
        (rows; `simulated_design`).
    """
    models = list(_models(truth, rng))
    rows = pd.DataFrame({name: np.concatenate([model[name] for model in models]) for name in models[0]})
    return rows, simulated_design(truth)


def simulated_design(truth: Truth) -> pd.DataFrame:
    """What tables/design.csv would say, as far as the tests need it, with the expected overlap of training sets."""
    dark = np.array([round(share * truth.train_size) for share in truth.shares.values()])
    light = truth.train_size - dark
    return pd.DataFrame(
        {
            "train_set": list(truth.shares),
            "compared_share": list(truth.shares.values()),
            "reference_share": [1 - share for share in truth.shares.values()],
            "drawn": truth.train_size,
            "test_size": truth.test_size,
            "distinct": float(truth.train_size),
            "shared": (dark**2 / truth.n_dark + light**2 / truth.n_light) / truth.train_size,
        }
    )


MEASURED = ("mse", "latent_std", "dl", "da", "db")


def simulate_models(truth: Truth, rng: np.random.Generator) -> Iterator[pd.DataFrame]:
    """The evaluation of one model after the other, run by run.

    Yields:
        group, id, condition, source, train_set, compared_share, run, mse, mse_unit, latent_std, kl, dl, da, db with one
        row per test image, light before dark.
    """
    for columns in _models(truth, rng):
        yield pd.DataFrame(columns)


def _models(truth: Truth, rng: np.random.Generator) -> Iterator[dict[str, np.ndarray]]:
    """The columns of `simulate_models`."""
    pools = {group: _pool(truth, group, rng) for group in PAIR}
    labels = {group: _labels(pool, group) for group, pool in pools.items()}
    for run, tested, started in _runs(truth, pools, rng):
        values = {group: numbers.mean(axis=1) for group, numbers in started.items()}
        for s, (name, share) in enumerate(truth.shares.items()):
            parts = []
            for group, images in tested.items():
                n = len(images)
                measured = dict(zip(MEASURED, values[group][:, s].T, strict=True))
                measured |= {"mse_unit": measured["mse"] / 4, "kl": 100 * measured["mse"]}
                model = {"train_set": np.full(n, name, dtype=object), "compared_share": np.full(n, share)}
                of_images = {column: cells[images] for column, cells in labels[group].items()}
                parts.append(of_images | model | {"run": np.full(n, run)} | measured)
            yield {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}


def simulate_table(truth: Truth, rng: np.random.Generator, metrics: Sequence[str] = MEASURED) -> RunTable:
    """The same study as far as the tests of means need it, without its rows: many thousand an hour."""
    columns = [MEASURED.index(metric) for metric in metrics]
    pools = {group: _pool(truth, group, rng) for group in PAIR}
    sums, starts = CrossedSums(PAIR, metrics), StartSums(PAIR, metrics)
    means: dict[Cell, list[np.ndarray]] = {(name, group): [] for name in truth.shares for group in PAIR}
    for _, tested, values in _runs(truth, pools, rng):
        clusters = {group: pools[group]["cluster"][images].tolist() for group, images in tested.items()}
        if truth.starts > 1:
            started = {group: numbers[..., columns] for group, numbers in values.items()}
            starts.add_values(list(truth.shares), clusters, started)
        for group in tested:
            numbers = values[group].mean(axis=1)[:, :, columns]
            sums.add_values(group, clusters[group], list(truth.shares), numbers)
            for s, name in enumerate(truth.shares):
                means[name, group].append(numbers[:, s].mean(axis=0))
    cells = {
        metric: {cell: np.stack(of_runs)[:, m] for cell, of_runs in means.items()} for m, metric in enumerate(metrics)
    }
    design = simulated_design(truth)
    covariances = sums.table()
    shared = dict(zip(truth.shares, design["shared"], strict=True))
    of_starts = {m: starts_of(starts.table(), m, list(truth.shares), PAIR, shared) for m in metrics if truth.starts > 1}
    return RunTable(
        pair=PAIR,
        runs=tuple(range(truth.runs)),
        shares=dict(truth.shares),
        reference_shares=dict(zip(truth.shares, design["reference_share"], strict=True)),
        values=cells,
        crossed={
            m: replace(crossed(cells[m], covariances, m, list(truth.shares), PAIR), starts=of_starts.get(m))
            for m in metrics
        },
        test_sizes=dict.fromkeys(truth.shares, truth.test_size),
        train_sizes=dict.fromkeys(truth.shares, float(truth.train_size)),
        shared=shared,
    )


Tested = dict[str, np.ndarray]


def _runs(
    truth: Truth, pools: dict[str, dict[str, np.ndarray]], rng: np.random.Generator
) -> Iterator[tuple[int, Tested, dict[str, np.ndarray]]]:
    """Run after run: its number, the test images by group, and `MEASURED` by group, (images, starts, sets, 5)."""
    models = {
        (name, run, start): rng.normal(0, truth.run * truth.spread.get(name, 1.0))
        for name in truth.shares
        for run in range(truth.runs)
        for start in range(truth.starts)
    }
    influence = {
        (name, tested, trained): rng.normal(0, 1, len(pools[trained]["difficulty"]))
        for name in truth.shares
        for tested in pools
        for trained in pools
        if truth.training
    }
    for run in range(truth.runs):
        order = {group: rng.permutation(len(pool["difficulty"])) for group, pool in pools.items()}
        tested = {group: order[group][: truth.test_size] for group in pools}
        shape = (truth.test_size, truth.starts, len(truth.shares), len(MEASURED))
        values = {group: np.empty(shape) for group in pools}
        same = rng.normal(0, 1, (truth.starts, 3)) if truth.paired else None
        for s, (name, share) in enumerate(truth.shares.items()):
            chosen = {}
            if truth.training:
                trained = {"dark": round(share * truth.train_size)}
                trained["light"] = truth.train_size - trained["dark"]
                chosen = {group: rng.permutation(order[group][truth.test_size :])[: trained[group]] for group in PAIR}
            for group, start in product(pools, range(truth.starts)):
                difficulty = pools[group]["difficulty"][tested[group]]
                n = len(difficulty)
                seen = sum(influence[name, group, other][images].sum() for other, images in chosen.items())
                effect = truth.gap.get(name, 0.0) if group == "dark" else 0.0
                own = models[name, run, start]
                of_group = rng.normal(0, truth.run_group * truth.spread.get(name, 1.0))
                if same is not None:
                    both, *each = same[start]
                    own, of_group = truth.run * both, truth.run_group * each[group == "dark"]
                effect += own + of_group + truth.training * seen / np.sqrt(truth.train_size)
                log_std = -0.3 + 0.5 * own + (truth.std_gap if group == "dark" else 0.0)
                colour = rng.normal(0, 0.2, 3) + rng.normal(0, 3, (n, 3))
                colour[:, 0] += share * truth.shift.get(group, 0.0)
                found = values[group][:, start, s]
                found[:, 0] = np.exp(truth.log_mse + effect + difficulty + rng.normal(0, truth.noise, n))
                found[:, 1] = np.exp(log_std + rng.normal(0, 0.05, n) + 0.1 * difficulty)
                found[:, 2:] = colour
        yield run, tested, values


def _pool(truth: Truth, group: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """All images of a group: condition and source by number, cluster of duplicates, and their fixed difficulty."""
    n = truth.n_dark if group == "dark" else truth.n_light
    condition = rng.choice(CONDITION_COUNT, size=n, p=truth.condition_shares(group))
    in_second = rng.random(n) < truth.source_share(group)
    sd = truth.image * (truth.unequal if group == "dark" else 1.0)
    spread = np.full(n, sd)
    if truth.heavy:
        # A twentieth with three times the deviation of the others, the variance of all as without them.
        spread *= np.where(rng.random(n) < 0.05, 3.0, 1.0) / math.sqrt(0.95 + 0.05 * 9)
    own = rng.normal(0, 1, n) * spread + (truth.image**2 - _log_moment(truth, sd)) / 2
    paired = int(truth.duplicates * n) // 2
    cluster = np.arange(n)
    cluster[paired : 2 * paired] = cluster[:paired]
    own[paired : 2 * paired], condition[paired : 2 * paired] = own[:paired], condition[:paired]
    in_second[paired : 2 * paired] = in_second[:paired]
    difficulty = truth.condition_effects()[condition] + truth.source * in_second + own
    return {"condition": condition, "second": in_second, "cluster": cluster, "difficulty": difficulty}


def _log_moment(truth: Truth, sd: float) -> float:
    """Twice the logarithm of the mean of exp(difficulty): sd ** 2, if it is normal."""
    if not truth.heavy:
        return sd**2
    variance = sd**2 / (0.95 + 0.05 * 9)
    return 2 * math.log(0.95 * math.exp(variance / 2) + 0.05 * math.exp(9 * variance / 2))


def _labels(pool: dict[str, np.ndarray], group: str) -> dict[str, np.ndarray]:
    """The words of a table for the images of a pool."""
    n = len(pool["difficulty"])
    prefix = "d" if group == "dark" else "a"
    names = np.array([condition_name(number) for number in range(CONDITION_COUNT)], dtype=object)
    return {
        "group": np.full(n, group, dtype=object),
        "id": np.array([f"{prefix}{number:031x}" for number in range(n)], dtype=object),
        "condition": names[pool["condition"]],
        "source": np.where(pool["second"], "atlasdermatologico", "dermaamin").astype(object),
    }
