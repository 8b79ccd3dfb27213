"""Do the tests and intervals keep their promises? Simulated studies with a known truth, many times over.

    python benchmarks/calibration.py [--studies 1000] [--scenarios 0 3] [--promised 0 1] [--workers 2]

writes benchmarks/calibration.csv (every rate with its binomial interval) and, from it, docs/calibration.md. A thousand
studies of ten runs take about a minute on one core. The design is the paper's, one thing at a time is varied.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow_scripts"))

from simulated_outcomes import CHOSEN, kept, outcomes, promises, rates, widths  # noqa: E402
from simulated_studies import Truth  # noqa: E402

from evenhand.workflow.files import write_text  # noqa: E402
from evenhand.workflow.tables import as_csv  # noqa: E402

BASE = Truth(image=0.6, run=0.03, run_group=0.03)
BLOCK = 20  # studies of a job
POWERS = (0.3, 0.6, 0.9)  # of the oracle, for which ratios are chosen


@dataclass(frozen=True)
class Scenario:
    """A truth without gaps, in words."""

    name: str
    truth: Truth


def balanced(truth: Truth) -> Truth:
    """The same where what the groups' mixes make of their mean errors is taken away, so that there is no gap."""
    light, dark = (truth.expected_mse("B", group) for group in ("light", "dark"))
    return replace(truth, gap=dict.fromkeys(truth.shares, float(np.log(light / dark))))


# The number of a scenario is part of its seeds: new ones go to the end.
SCENARIOS = [
    Scenario("the paper's design", BASE),
    Scenario("images differ by 0.3", replace(BASE, image=0.3)),
    Scenario("images differ by 0.9", replace(BASE, image=0.9)),
    Scenario("models differ by 1 %", replace(BASE, run=0.01, run_group=0.01)),
    Scenario("models differ by 8 %", replace(BASE, run=0.08, run_group=0.08)),
    Scenario("2 runs", replace(BASE, runs=2)),
    Scenario("3 runs", replace(BASE, runs=3)),
    Scenario("4 runs", replace(BASE, runs=4)),
    Scenario("5 runs", replace(BASE, runs=5)),
    Scenario("30 runs", replace(BASE, runs=30)),
    Scenario("test sets of 50", replace(BASE, test_size=50)),
    Scenario("test sets of 100", replace(BASE, test_size=100)),
    Scenario("heavy tails", replace(BASE, heavy=True)),
    Scenario("dark images differ 1.5 times as much", replace(BASE, unequal=1.5)),
    Scenario("30 % duplicates", replace(BASE, duplicates=0.3)),
    Scenario("3 runs, models differ by 8 %", replace(BASE, runs=3, run=0.08, run_group=0.08)),
    Scenario("5 runs, models differ by 8 %", replace(BASE, runs=5, run=0.08, run_group=0.08)),
    Scenario("models under B differ three times as much", replace(BASE, spread={"B": 3.0})),
    Scenario("3 runs, models under B differ three times as much", replace(BASE, runs=3, spread={"B": 3.0})),
    Scenario("limit: 1 % from the training images", replace(BASE, training=0.01)),
    Scenario("limit: 2 % from the training images", replace(BASE, training=0.02)),
    Scenario("30 runs, once more", replace(BASE, runs=30)),
    Scenario("different mixes", balanced(replace(BASE, image=0.5, condition=0.35, mix=0.8, source=0.3))),
    Scenario("2 runs, models under B differ three times as much", replace(BASE, runs=2, spread={"B": 3.0})),
]

# What starts and pairing buy, at equal numbers of trainings; the same.
SHARING = replace(BASE, training=0.02)
DESIGNS = [
    Scenario("2 %: 10 runs", SHARING),
    Scenario("2 %: 5 runs, 2 starts", replace(SHARING, runs=5, starts=2)),
    Scenario("2 %: 20 runs", replace(SHARING, runs=20)),
    Scenario("2 %: 10 runs, 2 starts", replace(SHARING, starts=2)),
    Scenario("none: 10 runs", BASE),
    Scenario("none: 10 runs, paired seeds", replace(BASE, paired=True)),
    Scenario("none: 5 runs, 2 starts", replace(BASE, runs=5, starts=2)),
]

# What studies promise of the power of others; the same numbers.
PROMISES = [
    Scenario("2 runs, test sets of 100", replace(BASE, runs=2, test_size=100)),
    Scenario("3 runs, test sets of 100", replace(BASE, runs=3, test_size=100)),
    Scenario("4 runs, test sets of 100", replace(BASE, runs=4, test_size=100)),
    Scenario("10 runs, test sets of 100", replace(BASE, test_size=100)),
    Scenario("2 runs, models differ by 8 %", replace(BASE, runs=2, run=0.08, run_group=0.08)),
    Scenario("4 runs, models differ by 8 %", replace(BASE, runs=4, run=0.08, run_group=0.08)),
    Scenario("4 runs, models differ by 1 %", replace(BASE, runs=4, run=0.01, run_group=0.01)),
]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies per scenario")
    parser.add_argument("--workers", type=int, default=1)
    numbers = range(len(SCENARIOS))
    parser.add_argument("--scenarios", type=int, nargs="*", default=[*numbers], help="numbers, from 0; others are kept")
    promised = range(len(PROMISES))
    parser.add_argument("--promised", type=int, nargs="*", default=[*promised], help="likewise, of promises of power")
    designs = range(len(DESIGNS))
    parser.add_argument("--designs", type=int, nargs="*", default=[*designs], help="likewise, of several starts")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "calibration.csv")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "calibration.md")
    args = parser.parse_args(argv)

    table = pd.read_csv(args.output) if args.output.exists() else pd.DataFrame()
    order = [one.name for one in (*SCENARIOS, *PROMISES, *DESIGNS)]

    def replaced(scenario: str, rows: pd.DataFrame) -> pd.DataFrame:
        """The table with these rows in place of those that it has of a scenario, written."""
        kept_ones = table[table["scenario"] != scenario] if len(table) else table
        found = pd.concat([kept_ones, rows.assign(scenario=scenario)])[["scenario", *rows.columns]]
        found = found.sort_values("scenario", key=lambda names: names.map(order.index), kind="stable")
        write_text(as_csv(found), args.output)
        return found

    with ProcessPoolExecutor(args.workers) as pool:
        for number in args.scenarios:
            scenario = SCENARIOS[number]
            ratios = (1.0, *powered(scenario.truth, number))
            seeds = [range(start, min(start + BLOCK, args.studies)) for start in range(0, args.studies, BLOCK)]
            one = partial(_block, scenario.truth, number, ratios)
            found = pd.concat(tqdm(pool.map(one, seeds), total=len(seeds), desc=scenario.name))
            table = replaced(scenario.name, rates(found))
        for number in args.promised:
            scenario = PROMISES[number]
            studies = [range(start, min(start + 100, args.studies)) for start in range(0, args.studies, 100)]
            found = pd.concat(pool.map(partial(promises, scenario.truth), studies))
            table = replaced(scenario.name, kept(found))
        for number in args.designs:
            scenario = DESIGNS[number]
            seeds = [range(start, min(start + BLOCK, args.studies)) for start in range(0, args.studies, BLOCK)]
            one = partial(_block, scenario.truth, 200 + number, [1.0])
            found = pd.concat(tqdm(pool.map(one, seeds), total=len(seeds), desc=scenario.name))
            found = found[found["procedure"].isin([CHOSEN, "shared images"])]
            table = replaced(scenario.name, pd.concat([rates(found), widths(found)]))
    factors = pd.read_csv(ROOT / "benchmarks" / "variance_factor.csv")
    write_text(describe(table, factors), args.page)


def powered(truth: Truth, number: int) -> list[float]:
    """Ratios that an oracle finds with about the powers `POWERS`, from 100 studies of their own."""
    found = outcomes(truth, [10_000_000 + 100_000 * number + study for study in range(100)], [1.0])
    gaps = found[(found["procedure"] == CHOSEN) & (found["contrast"] == "gap under B")]
    relative = float(np.std(gaps["estimate"])) / truth.expected_mse("B", "light")
    return [round(float(np.exp(relative * (stats.norm.ppf(0.975) + stats.norm.ppf(power)))), 4) for power in POWERS]


def _block(truth: Truth, number: int, ratios: Sequence[float], studies: Sequence[int]) -> pd.DataFrame:
    return outcomes(truth, [100_000 * number + study for study in studies], ratios)


PAGE = """# Calibration of the tests and intervals

Synthetic tables of results with a known truth, no photographs and no trained models. The design is the paper's: 7,755
light and 2,168 dark images, ten runs that draw from them, test sets of 500 of each group, three training sets. The log
of an error is a sum of normal effects: the image (SD 0.6), the model on both groups and on each (3 % each), the rest
(10 %). One thing at a time is varied. Every number below is in benchmarks/calibration.csv with its 95 % binomial
(Clopper-Pearson) interval; `python benchmarks/calibration.py` makes both, 1,000 studies a scenario. A rate of 5 % of
1,000 has the interval 3.7 to 6.5 %.

## What is done, and why

The variance of a mean, gap, change or trend has two parts: the images (deviations of each image from the mean of its
run, added up over runs by cluster of duplicates or patient) and the models (what run means differ by beyond what their
different images explain). Their sum is the two-way clustered variance (Cameron, Gelbach and Miller 2011), with
Satterthwaite's degrees of freedom. Few runs tell little of how models differ, so the models' part, relative to the mean
error, is averaged over the training sets, unless the runs in question differ more than the others (F test at 25 %,
the level that Bancroft, 1964, found for such tests). That was chosen here, before any real data, for the power that the
tests over run means do not have; they stand beside it in tables/gaps.csv.

## False alarms, coverage, power

*Gap*: dark minus light under B; *change*: dark error under C minus B, paired by image. False alarms: of a true 0 at the
5 % level. Power as a fraction of that of an oracle, which knows the variance, where the oracle finds a gap in about 30,
60 and 90 % of the studies. *Shared*: coverage of the interval that allows for shared training images.
"""
LIMITS = """
Power below 85 % of the oracle's at ten runs, where that is 20 to 95 %: {ten}.

At two runs about half of what an oracle finds is found: the price of not knowing how models differ. Where the models of
one training set differ three times as much as the others, few runs cannot tell, and pooling gives {hetero}
false alarms: `stats.min_runs` is 3 for that, two runs have to be asked for. At thirty runs there were
{thirty}. With heavy tails the oracle, which takes the estimate for normal, is no
upper bound. *Different mixes*, of conditions and sources, would make dark errors a half larger; other things make up
for it, so that there is no gap.

## What would decide a claim

Of a finished study tables/claims.csv says the smallest distance that one of its size finds with 80 % power, and for an
inconclusive claim how many runs, or how many times as large test sets, would do if the estimate were true. Like
`snakemake plan_power`, that takes into account what a study of few runs may estimate of how models differ. Each promise
was put to a study of its own: promised power, how often the gap was found, of how many. The gap of the last two columns
is one that an oracle finds in half of the studies. Studies of more than ten times the runs, or of more than half of the
dark images, were not simulated; the first column has all (fewer than 1,000).

| scenario | smallest distance | more runs | larger test sets |
|---|---|---|---|
{promises}

A smallest distance is on the careful side with few runs, most where models hardly differ. Larger test sets help where
images are what is not known; few runs hardly tell, and at two there is hardly ever a number.

## What training images do to all models alike

The scenarios called *limit* let the error depend on which images a model was trained on (SD 1 or 2 %). Two runs under C
share 77 % of their training images; what these do looks like a property of C in every run, and nothing in the runs
tells it from one. Intervals are then too short. `shared_low` to `shared_high` in tables/gaps.csv takes all that models
differ in to come from there: its models' part is 1 + R s / (1 - s) times as large, s the fraction shared.

## Several starts, paired seeds

Several models on each training set (`splits.starts: 2`) differ by their starts alone, runs by that and by the training
images that they do not share (tables/starts.csv has both). Intervals of gaps, trends and of the claims on them then
carry what runs differ by, less what starts surely explain (their variance over the number of starts, less one standard
error of the difference of the two), times s / (1 - s), s averaged over training sets where the models' part is. Without
that standard error intervals cover too little: the difference is too uncertain. It cannot be had of one run, nor where
the runs of a training set share all its images: intervals then are as with one start, and tables/starts.csv says so.
Colours, adjusted gaps and the codec's claim carry no such part.

`train.paired_seeds` gives the models of a run the same start; here, as the most it can do, all that models differ in.
Coverage of 95 % intervals, and half their width (mean squared error, times 1,000). *Shared*: the bound for one start.
Training images matter by 2 %, or not at all (*none*).

| design | trainings | gap | half-width | change | half-width | change, shared | half-width | studies |
|---|---|---|---|---|---|---|---|---|
{designs}

One start stays the default, it is the paper's design. More runs instead of more starts bring new test and training
images and narrower intervals; but what runs share does not average out, so where training images matter, intervals of
one start cover the less, the more runs there are. Two starts cover it at any number of runs simulated, and are wider
for it. Paired seeds take out of a change between training sets what a start does to all of them alike, and nothing
out of a gap; how much that is, a study says by the two ways to train it.

## The candidates
"""
CANDIDATES = [
    *(CHOSEN, "two-way clustered, own runs", "variance components", "bootstrap of images, jackknife of runs"),
    *("pigeonhole bootstrap", "t over runs, Nadeau-Bengio", "t over runs, naive", "Wilcoxon over runs"),
]
SHOWN = ["the paper's design", "3 runs", "5 runs", "3 runs, models differ by 8 %", "test sets of 50"]
FACTOR = """
## The variance factor of Nadeau and Bengio

It is used where there are no images to cross: tests of probes over runs or folds, of tone slopes and of generated
samples, and beside the others. n_test is the size of one group's test set: two test sets share n_test / n_pool of their
images, and rho / (1 - rho) of that is at most n_test / n_train. Coverage of 95 % intervals (`python
benchmarks/variance_factor.py`, benchmarks/variance_factor.csv, which has the other candidates too):

| design | number | n_test / n_train | coverage | studies |
|---|---|---|---|---|
"""


def describe(table: pd.DataFrame, factors: pd.DataFrame) -> str:
    """The page, every number from the tables."""

    def rate(scenario: str, procedure: str, outcome: str, ratio: float = 1.0, contrast: str = "gap under B") -> float:
        which = {"scenario": scenario, "procedure": procedure, "outcome": outcome, "contrast": contrast, "ratio": ratio}
        rows = table[np.logical_and.reduce([table[column] == value for column, value in which.items()])]
        return float(rows["rate"].iloc[0])

    def powers(scenario: str, procedure: str) -> list[tuple[float, float]]:
        ratios = sorted(set(table.loc[table["scenario"] == scenario, "ratio"]) - {1.0})
        of_oracle = [rate(scenario, "oracle", "found", ratio) for ratio in ratios]
        return [
            (known, rate(scenario, procedure, "found", ratio) / known)
            for known, ratio in zip(of_oracle, ratios, strict=True)
        ]

    names = [one.name for one in SCENARIOS if one.name in set(table["scenario"])]
    lines = [PAGE, "| scenario | false alarms: gap | change | coverage | shared | power / oracle |"]
    lines.append("|---|---|---|---|---|---|")
    for name in names:
        false = [rate(name, CHOSEN, "found"), rate(name, CHOSEN, "found", contrast="dark, C minus B")]
        cover = [rate(name, procedure, "covers") for procedure in (CHOSEN, "shared images")]
        of_oracle = ", ".join(f"{ratio:.2f} (of {known:.2f})" for known, ratio in powers(name, CHOSEN))
        cells = [f"{100 * number:.1f} %" for number in (*false, *cover)]
        lines.append(f"| {name} | {' | '.join(cells)} | {of_oracle} |")
    ten = [one.name for one in SCENARIOS if one.truth.runs == 10 and one.name in names and not one.truth.training]
    lost = [
        f"{name}: {ratio:.2f} of {known:.2f}"
        for name in ten
        for known, ratio in powers(name, CHOSEN)
        if 0.2 <= known <= 0.95 and ratio < 0.85
    ]
    hetero = " and ".join(
        f"{100 * rate(f'{runs} runs, models under B differ three times as much', CHOSEN, 'found'):.1f} % ({runs} runs)"
        for runs in (2, 3)
    )
    twice = [f"{100 * rate(name, CHOSEN, 'found'):.1f} %" for name in ("30 runs", "30 runs, once more")]
    thirty = " and, in 1,000 other studies, ".join(twice)
    promised = []
    for name in [one.name for one in PROMISES if one.name in set(table["scenario"])]:
        cells = []
        for promise in ("detectable", "runs_needed", "images_needed"):
            of = table[(table["scenario"] == name) & (table["contrast"] == promise)].set_index("outcome")
            words = "never"
            if len(of):
                words = f"{of['rate']['promised']:.2f}, {of['rate']['found']:.2f} ({of['n']['found']:.0f})"
            cells.append(words)
        promised.append(f"| {name} | {' | '.join(cells)} |")
    designs = []
    for scenario in [one for one in DESIGNS if one.name in set(table["scenario"])]:
        truth = scenario.truth
        cells = [scenario.name, str(truth.runs * truth.starts * len(truth.shares))]
        for contrast, procedure in (
            ("gap under B", CHOSEN),
            ("dark, C minus B", CHOSEN),
            ("dark, C minus B", "shared images"),
        ):
            covers, half = (
                rate(scenario.name, procedure, outcome, 1.0, contrast) for outcome in ("covers", "half-width")
            )
            cells += [f"{100 * covers:.1f} %", f"{1000 * half:.2f}"]
        studies = table.loc[table["scenario"] == scenario.name, "n"].iloc[0]
        designs.append(f"| {' | '.join([*cells, str(int(studies))])} |")
    ten_runs = "; ".join(lost) or "none"
    of_tables = {"promises": "\n".join(promised), "designs": "\n".join(designs)}
    lines += [LIMITS.format(ten=ten_runs, hetero=hetero, thirty=thirty, **of_tables)]
    lines += ["False alarms of the gap, and power at the middle ratio as a fraction of the oracle's.", ""]
    lines += [f"| candidate | {' | '.join(SHOWN)} |", "|---" * (len(SHOWN) + 1) + "|"]
    for procedure in CANDIDATES:
        cells = [f"{100 * rate(name, procedure, 'found'):.1f} %, {powers(name, procedure)[1][1]:.2f}" for name in SHOWN]
        lines.append(f"| {procedure} | {' | '.join(cells)} |")
    chosen = factors[factors["factor"].isin(["of one group", "of the images scored", "1 / (folds - 1)"])]
    lines += [FACTOR.rstrip("\n")]
    for row in chosen.to_dict("records"):
        number = f"{row['statistic']} ({row['factor']})"
        lines.append(f"| {row['scenario']} | {number} | {row['value']:.3g} | {row['rate']:.3f} | {row['n']} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
