"""Every candidate for the inference over images and models, on simulated studies of which the truth is known."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats
from simulated_studies import PAIR, Truth, simulate_table
from statsmodels.stats.proportion import proportion_confint

from evenhand.stats.crossed import Cell, Crossed, CrossedTest
from evenhand.stats.gaps import RunTable
from evenhand.stats.paired import run_test, what_decides, wilcoxon_p

LEVEL = 0.95
CONTRASTS: dict[str, dict[Cell, float]] = {
    "gap under B": {("B", "dark"): 1.0, ("B", "light"): -1.0},
    "dark, C minus B": {("C", "dark"): 1.0, ("B", "dark"): -1.0},
}
CHOSEN = "two-way clustered, pooled"


def candidate_intervals(
    table: RunTable, contrast: Mapping[Cell, float], metric: str = "mse"
) -> dict[str, tuple[float, float, float]]:
    """(estimate, low, high) of a contrast by every candidate; a test is significant where 0 lies outside.

    The candidates: what evenhand does; the same from the runs of the contrast's own training sets alone; variance
    components with Satterthwaite's degrees of freedom for each (what a crossed mixed model does, by moments in place
    of REML); the bootstrap of images with the jackknife of runs; the pigeonhole bootstrap (Owen 2007), by the variance
    it has for many resamples; t over runs with the variance of Nadeau and Bengio; the naive one.
    """
    of = table.crossed[metric]
    test, own = of.test(contrast), only(of, [name for name, _ in contrast]).test(contrast)
    runs = np.sum([weight * table.values[metric][cell] for cell, weight in contrast.items()], axis=0)
    n, sd = len(runs), float(np.std(runs, ddof=1))
    over_runs = run_test(runs, table.test_train_ratio(*(name for name, _ in contrast)))
    t, z = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)), float(stats.norm.ppf((1 + LEVEL) / 2))
    components = replace(own, df=own.se**4 / (own.models**2 / (n - 1) + own.images**2 / 1e3))
    halves = {
        "bootstrap of images, jackknife of runs": math.hypot(z * math.sqrt(own.images), t * sd / math.sqrt(n)),
        "pigeonhole bootstrap": z * math.sqrt(own.images + sd**2 * (n - 1) / n**2),
    }
    found = {
        CHOSEN: test.interval(LEVEL),
        "two-way clustered, own runs": own.interval(LEVEL),
        "variance components": components.interval(LEVEL),
        **{name: (test.mean - half, test.mean + half) for name, half in halves.items()},
        "t over runs, Nadeau-Bengio": over_runs.interval(LEVEL),
        "t over runs, naive": over_runs.naive.interval(LEVEL),
        "shared images": test.sharing(max(table.shared[name] for name, _ in contrast)).interval(LEVEL),
        # It has no interval: one that holds 0 where it is not significant, and nothing where it is.
        "Wilcoxon over runs": (-math.inf, math.inf) if wilcoxon_p(runs) > 1 - LEVEL else (math.inf, math.inf),
    }
    return {name: (test.mean, low, high) for name, (low, high) in found.items()}


def only(of: Crossed, sets: Sequence[str]) -> Crossed:
    """The cells of some training sets."""
    kept = [name for name in of.sets if name in sets]
    places = [g * len(of.sets) + of.sets.index(name) for g in range(len(of.groups)) for name in kept]
    square = np.ix_(places, places)
    return Crossed(
        tuple(kept),
        of.groups,
        of.runs[:, places],
        of.images[square],
        of.between[square],
        of.within[square],
        of.df[places],
    )


def harder(table: RunTable, ratio: float, metric: str = "mse") -> RunTable:
    """The same study where every error of a dark image is `ratio` times as large."""
    of = table.crossed[metric]
    factors = np.repeat([1.0, ratio], len(of.sets))
    square = np.outer(factors, factors)
    scaled = replace(
        of, runs=of.runs * factors, images=of.images * square, between=of.between * square, within=of.within * square
    )
    values = {
        (name, group): numbers * (ratio if group == PAIR.compared else 1.0)
        for (name, group), numbers in table.values[metric].items()
    }
    return replace(table, crossed={metric: scaled}, values={metric: values})


def outcomes(truth: Truth, seeds: Sequence[int], ratios: Sequence[float]) -> pd.DataFrame:
    """What every candidate says of every study.

    Args:
        truth: without gaps.
        seeds: of the studies.
        ratios: true ratios of dark to light errors, under all training sets; 1 is no gap.

    Returns:
        contrast, ratio, procedure, estimate, low, high, true (value of the contrast), with a row per study; of the
        change between training sets, which no ratio touches, for the first ratio alone.
    """
    rows = []
    for seed in seeds:
        table = simulate_table(truth, np.random.default_rng(seed), ["mse"])
        for ratio in ratios:
            scaled = harder(table, ratio)
            for contrast, cells in CONTRASTS.items():
                if "minus" in contrast and ratio != ratios[0]:
                    continue
                true = sum(
                    weight * truth.expected_mse(name, group) * (ratio if group == PAIR.compared else 1.0)
                    for (name, group), weight in cells.items()
                )
                for procedure, (estimate, low, high) in candidate_intervals(scaled, cells).items():
                    rows.append((contrast, ratio, procedure, estimate, low, high, true))
    return pd.DataFrame(rows, columns=["contrast", "ratio", "procedure", "estimate", "low", "high", "true"])


def promises(truth: Truth, seeds: Sequence[int]) -> pd.DataFrame:
    """What studies say of the power of others, and what these then find.

    Each study promises `POWER` for the smallest distance that one of its size finds, and for so many runs and for so
    much larger test sets if the gap were one that half of the studies of its size find. Another study, of what was
    asked for, finds it or not; one of more than `MOST` times the runs, or half of the dark images, is not simulated.

    Returns:
        promise (`detectable`, `runs_needed`, `images_needed`), promised (power), found, with a row per study; both NaN
        where none was simulated.
    """
    tests = [_gap_test(truth, seed) for seed in seeds]
    half = float(stats.norm.ppf((1 + LEVEL) / 2)) * float(np.std([test.mean for test in tests]))
    rows = []
    for seed, test in zip(seeds, tests, strict=True):
        needed = what_decides(test, half, 1 - LEVEL, 2)
        runs, images = needed["runs_needed"], needed["images_needed"]
        sizes = {
            "detectable": (needed["detectable"], truth.runs, 1.0),
            "runs_needed": (half, runs, 1.0),
            "images_needed": (half, truth.runs, images),
        }
        for number, (promise, (distance, runs, images)) in enumerate(sizes.items()):
            row = {"promise": promise, "promised": math.nan, "found": math.nan}
            if runs <= MOST * truth.runs and images * truth.test_size <= truth.n_dark / 2:
                promised = test.projected(int(runs), images).power(distance, 1 - LEVEL, 2)
                size = replace(truth, runs=int(runs), test_size=round(images * truth.test_size))
                other = _gap_test(size, 1_000_000_000 + 10 * seed + number)
                null = truth.expected_gap("B") - distance
                row |= {"promised": promised, "found": float(other.mean > null and other.p(null) < 1 - LEVEL)}
            rows.append(row)
    return pd.DataFrame(rows)


MOST = 10  # times as many runs


def _gap_test(truth: Truth, seed: int) -> CrossedTest:
    table = simulate_table(truth, np.random.default_rng(seed), ["mse"])
    return table.crossed["mse"].test(CONTRASTS["gap under B"])


def kept(found: pd.DataFrame) -> pd.DataFrame:
    """How often the `promises` came true, as rows of `rates`: contrast is the promise, n the studies simulated."""
    rows = []
    for promise, part in found.dropna().groupby("promise", sort=False):
        n, count = len(part), int(part["found"].sum())
        low, high = proportion_confint(count, n, method="beta")
        of = {"contrast": promise, "ratio": 1.0, "procedure": "promise"}
        promised = {"outcome": "promised", "rate": part["promised"].mean(), "low": math.nan, "high": math.nan}
        rows += [
            of | promised | {"n": n},
            of | {"outcome": "found", "rate": count / n, "low": low, "high": high, "n": n},
        ]
    return pd.DataFrame(rows)


def widths(found: pd.DataFrame) -> pd.DataFrame:
    """Half the width of the intervals, mean over studies with its 95 % interval, as rows of `rates`."""
    rows = []
    for (contrast, ratio, procedure), part in found.groupby(["contrast", "ratio", "procedure"], sort=False):
        half = (part["high"] - part["low"]) / 2
        error = 1.96 * half.std(ddof=1) / math.sqrt(len(half))
        row = {"contrast": contrast, "ratio": ratio, "procedure": procedure, "outcome": "half-width"}
        rows.append(
            row | {"rate": half.mean(), "low": half.mean() - error, "high": half.mean() + error, "n": len(half)}
        )
    return pd.DataFrame(rows)


def rates(found: pd.DataFrame) -> pd.DataFrame:
    """How often each candidate finds a contrast other than 0, and covers what is true, with binomial intervals.

    The oracle knows the standard deviation of the estimate (that of all studies) and takes it for normal.

    Returns:
        contrast, ratio, procedure, outcome (`found`, `covers`), rate, low, high (95 %, Clopper-Pearson), n.
    """
    rows = []
    for (contrast, ratio), part in found.groupby(["contrast", "ratio"], sort=False):
        of_one = part[part["procedure"] == CHOSEN]
        half = float(stats.norm.ppf((1 + LEVEL) / 2)) * np.sqrt(np.mean((of_one["estimate"] - of_one["true"]) ** 2))
        oracle = of_one.assign(procedure="oracle", low=of_one["estimate"] - half, high=of_one["estimate"] + half)
        for procedure, mine in pd.concat([part, oracle]).groupby("procedure", sort=False):
            counts = {"found": ~((mine["low"] <= 0) & (mine["high"] >= 0))}
            if procedure != "Wilcoxon over runs":
                counts["covers"] = (mine["low"] <= mine["true"]) & (mine["true"] <= mine["high"])
            for outcome, which in counts.items():
                count, n = int(which.sum()), len(which)
                low, high = proportion_confint(count, n, method="beta")
                row = {"contrast": contrast, "ratio": ratio, "procedure": procedure, "outcome": outcome}
                rows.append(row | {"rate": count / n, "low": low, "high": high, "n": n})
    return pd.DataFrame(rows)
