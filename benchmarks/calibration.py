"""Do the tests and intervals keep their promises? Simulated studies with a known truth, many times over.

    python benchmarks/calibration.py [--studies 500] [--models 100] [--workers 2]

writes <output>.csv (every rate with its binomial interval), and <page>.md (to be read) with <page>_power.svg.
The design is the paper's: 7,755 light and 2,168 dark images, ten runs, test sets of 500, training sets of 1,668.
"""

import argparse
import gc
import math
import sys
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import yaml
from matplotlib import pyplot as plt
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow_scripts"))

from simulated_outcomes import rates, simulated_outcomes  # noqa: E402
from simulated_studies import Truth  # noqa: E402

from evenhand.figures.style import span  # noqa: E402
from evenhand.workflow.files import write_text  # noqa: E402
from evenhand.workflow.tables import as_csv  # noqa: E402

INTRODUCTION = [
    "Synthetic tables of results with a known truth, no photographs and no trained models. The design is the paper's:",
    "7,755 light and 2,168 dark images, ten runs that draw from them, test sets of 500, training sets of 1,668; 400",
    "bootstrap samples instead of 2,000. Rates with 95 % binomial (Clopper-Pearson) intervals. Every number:",
    "benchmarks/calibration.csv; made by `python benchmarks/calibration.py`; fewer studies: less time.",
]
LIMITS = """The scenarios called *limit* let the error of a model depend on which images it was trained on. Two runs
under C share 77 % of their training images. What these do to the error is the same in all runs and looks like a
property of C; the runs show only the part in which they differ, and nothing in them tells how much of that part comes
from training images (most of which are shared) and how much from the random start (which is not). Hence no interval can
have the usual length and hold for every mixture of the two. *t, shared images* (`shared_low` to `shared_high` in
tables/gaps.csv) takes all of it to come from training images, which bounds the variance of the mean from above: the
factor is 1/R + shared / (1 - shared) where that is more than 1/R + n_test/n_train. It is 2.9 times as long under C as
the corrected t, no longer under A, and 3 % longer under B. Verdicts rest on the corrected t, as declared beforehand; in
such studies without a gap none that is false was given in more than 1 % of them. The report draws both intervals.
Smaller training sets (splits.train_size) overlap less."""
FACTOR = """\
The corrected t takes the variance of a mean over R runs to be s^2 (1/R + n_test/n_train). What the second term has
to bound is rho / (1 - rho), where rho is the correlation of two runs, and what correlates them are the images that
their test sets have in common. Two test sets of a group share n_test / n_pool of their images, so rho / (1 - rho)
is at most n_test / (n_pool - n_test), be it for all images of the group or for those of one source; for a gap, for a
mean over both groups and for a probe that is scored on both it lies between those of the two groups. No training
set is larger than n_pool - n_test of the smaller group, so n_test / n_train with **n_test of one group** is never
too small; in the paper's design it is exactly that of the dark group, 500 / 1,668. The sum of both test sets
doubles it for nothing, and the number of images in a subset is too small: with pools of one size it loses 7 points
of coverage. Hence:

- n_test is the size of one group's test set for every number over runs: gaps, means over both groups (C7, C10),
  gaps within a source or where annotators agree, colours on the images that show skin, and probes on both test
  sets.
- Probes of unseen images: the images scored. Two runs have nearly all of them in common, and what they share is to
  what they do not share as the images scored are to the training images.
- Probes with one run: folds have no test image in common, but training images; 1 / (folds - 1), as Nadeau and
  Bengio.

It is chosen by what is too short nowhere, not by what is shortest: it is too long where one group's images decide
(a group from a large pool shares few images), or where models differ more than images. Coverage of 95 % intervals
in studies of which the truth is known (for AUC the mean of all studies); 1 - coverage is the rate of false alarms
of the test. `python benchmarks/variance_factor.py` makes benchmarks/variance_factor.csv."""

NULL = Truth()
EFFECT = Truth(gap={"A": 0.3, "B": 0.15, "C": -0.1}, condition=0.3, mix=0.5)


@dataclass(frozen=True)
class Scenario:
    """A truth, and the verdicts that are false under it."""

    name: str
    truth: Truth
    false: tuple[str, ...] = ()
    images: bool = False  # with the bootstrap and the standardised gap
    models: bool = False  # with the regressions
    share: float = 0.4  # of the studies asked for


# Verdicts that are false where no group and no training set is different.
NO_GAP = (
    *(f"C{i}: {verdict}" for i in (1, 2, 3, 4, 5, 7) for verdict in ("supported", "contradicted")),
    "C9: supported",
)
# The number of a scenario is part of its seeds: new ones go to the end.
SCENARIOS = [
    Scenario(
        "no gap, no effect of the training set",
        NULL,
        (*NO_GAP, "C11: supported"),
        images=True,
        models=True,
        share=1.0,
    ),
    Scenario(
        "no gap at equal condition mix, but different mixes",
        replace(NULL, condition=0.3, mix=0.5),
        ("C11: supported",),
        images=True,
        models=True,
    ),
    Scenario("gaps and different mixes", EFFECT, images=True, models=True),
    Scenario("models that differ three times as much", replace(EFFECT, run=0.06, run_group=0.06), images=True),
    Scenario("five runs", replace(EFFECT, runs=5), images=True),
    Scenario(
        "dark under C 25 % above light under A", Truth(gap={"C": math.log(1.25)}), ("C4: supported", "C4: contradicted")
    ),
    Scenario(
        "latent std gap at the margin of 5 %", Truth(std_gap=math.log(1.05)), ("C6: supported", "C6: contradicted")
    ),
    Scenario(
        "mean MSE at 0.07",
        replace(NULL, log_mse=NULL.log_mse + math.log(0.07 / NULL.expected_mse("A", "light"))),
        ("C10: supported", "C10: contradicted"),
    ),
    Scenario(
        "dark colour change at what is noticeable", Truth(shift={"dark": 2.3}), ("C9: supported", "C9: contradicted")
    ),
    Scenario(
        "light colour change at what is noticeable",
        Truth(shift={"dark": 5.0, "light": 2.3}),
        ("C9: supported", "C9: contradicted"),
    ),
    Scenario("limit: 2 % (SD) of the error depend on the training images", replace(EFFECT, training=0.02), images=True),
    Scenario("limit: 1 % (SD) of the error depend on the training images", replace(EFFECT, training=0.01), images=True),
    Scenario("equal errors between B and C", Truth(gap={"A": 0.3, "B": 0.15, "C": -0.15})),
    Scenario(
        "limit: no gap, but 2 % (SD) of the error depend on the training images",
        replace(NULL, training=0.02),
        NO_GAP,
    ),
]
POWER_GAPS = [0.0, 0.02, 0.04, 0.06, 0.08, 0.10, 0.15]
POWER_RUNS = [5, 10]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=500, help="simulated studies per scenario")
    parser.add_argument(
        "--models", type=int, default=100, help="of these, with the regressions, where they are asked for"
    )
    parser.add_argument(
        "--power", type=int, default=100, help="simulated studies per point of the power curve; 0: kept"
    )
    parser.add_argument("--workers", type=int, default=1)
    numbers = range(len(SCENARIOS))
    parser.add_argument("--scenarios", type=int, nargs="*", default=[*numbers], help="numbers, from 0; others are kept")
    parser.add_argument("--output", default=str(ROOT / "benchmarks" / "calibration"))
    parser.add_argument("--page", default=str(ROOT / "docs" / "calibration"))
    args = parser.parse_args(argv)

    stats = yaml.safe_load((ROOT / "config.yaml").read_text())["stats"] | {"resamples": 400}
    columns = ["scenario", "outcome", "rate", "low", "high", "n", "false"]
    path = Path(f"{args.output}.csv")
    table = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=columns)
    for number in args.scenarios:
        scenario = SCENARIOS[number]
        found = rates(simulate(scenario, number, args.studies, args.models, stats, args.workers))
        found["scenario"] = scenario.name
        found["false"] = found["outcome"].isin([f"verdict {name}" for name in scenario.false])
        table = pd.concat([table[table["scenario"] != scenario.name], found])[columns]
        order = [one.name for one in SCENARIOS]
        table = table.sort_values(
            "scenario", key=lambda names: names.map(order.index), kind="stable", ignore_index=True
        )
        write_text(as_csv(table), path)
    power_path = Path(f"{args.output}_power.csv")
    if args.power:
        write_text(as_csv(power_curve(args.power, stats, args.workers)), power_path)
    power = pd.read_csv(power_path) if power_path.exists() else pd.DataFrame()
    if not power.empty:
        draw_power(power, f"{args.page}_power.svg")
    factors = pd.read_csv(ROOT / "benchmarks" / "variance_factor.csv")
    write_text(describe(table, power, factors), f"{args.page}.md")


def simulate(
    scenario: Scenario, number: int, studies: int, models: int, stats: dict[str, Any], workers: int
) -> list[dict[str, bool | str]]:
    """The outcomes of all studies of a scenario; the seeds depend on nothing but scenario and study."""
    jobs = [
        (10_000 * number + study, scenario.models and study < models)
        for study in range(round(scenario.share * studies))
    ]
    one = partial(_one, scenario, stats)
    if workers == 1:
        return [one(job) for job in tqdm(jobs, desc=scenario.name)]
    with ProcessPoolExecutor(workers) as pool:
        return list(tqdm(pool.map(one, jobs), total=len(jobs), desc=scenario.name))


def _one(scenario: Scenario, stats: dict[str, Any], job: tuple[int, bool]) -> dict[str, bool | str]:
    seed, models = job
    gc.freeze()  # statsmodels collects garbage in every call of Holm's method: half of the time without this
    return simulated_outcomes(scenario.truth, seed, stats, scenario.images, models)


def power_curve(studies: int, stats: dict[str, Any], workers: int) -> pd.DataFrame:
    """How often C2 is supported when dark images have a given log gap under B: runs, gap, rate, low, high, n."""
    tables = []
    for i, runs in enumerate(POWER_RUNS):
        for k, gap in enumerate(POWER_GAPS):
            scenario = Scenario(
                f"power: {runs} runs, gap {gap:g}", Truth(gap=dict.fromkeys("ABC", gap), runs=runs), share=1.0
            )
            found = rates(simulate(scenario, 100 + 10 * i + k, studies, 0, stats, workers))
            tables.append(found[found["outcome"] == "verdict C2: supported"].assign(runs=runs, gap=gap))
    return pd.concat(tables, ignore_index=True)[["runs", "gap", "rate", "low", "high", "n"]]


def describe(table: pd.DataFrame, power: pd.DataFrame, factors: pd.DataFrame) -> str:
    """The results as Markdown: false verdicts, false rejections, coverage, the variance factor, power."""
    lines = ["# Calibration of the tests and intervals", "", *INTRODUCTION, ""]
    missing = [one.name for one in SCENARIOS if one.name not in set(table["scenario"])]
    if missing or power.empty:
        lines += ["Not simulated yet: " + "; ".join([*missing, *(["power curve"] if power.empty else [])]) + ".", ""]
    null = table[table["scenario"] == SCENARIOS[0].name]
    coverage = table[table["outcome"].str.startswith("cover")]
    lines += ["## Verdicts that are false (nominal: at most 0.05)", "", *rate_rows(table[table["false"]])]
    lines += ["## Rejections where there is no gap (nominal: 0.05)", ""]
    lines += rate_rows(null[null["outcome"].str.startswith("reject")])
    lines += ["## Coverage of 95 % intervals", "", *rate_rows(coverage)]
    low = coverage[(coverage["rate"] < 0.93) & ~coverage["outcome"].str.contains("naive")]
    lines += ["## Intervals found to cover less than 93 %", ""]
    lines += rate_rows(low) if len(low) else ["None but the naive ones.", ""]
    lines += [LIMITS, ""]
    lines += ["## Which n_test belongs in the variance factor", "", FACTOR, "", *factor_rows(factors)]
    if not power.empty:
        lines += ["## Power of C2", "", "![Power against the true ratio](calibration_power.svg)", ""]
        lines += ["| runs | dark over light MSE | supported (95 % interval) | studies |", "|---|---|---|---|"]
    for row in power.to_dict("records"):
        lines.append(f"| {row['runs']} | {math.exp(row['gap']):.2f} | {rate_text(row)} | {row['n']} |")
    return "\n".join(lines) + "\n"


def rate_rows(part: pd.DataFrame) -> list[str]:
    """A Markdown table with a row per scenario and outcome; the training sets A, B and C side by side."""
    lines = ["| scenario | outcome | A | B | C | studies |", "|---|---|---|---|---|---|"]
    split = part["outcome"].str.extract(r"^(?:verdict |reject |cover )?(.*?)(?: ([ABC]))?$")
    part = part.assign(what=split[0], train_set=split[1].fillna("all"))
    for (scenario, what), rows in part.groupby(["scenario", "what"], sort=False):
        texts = {row["train_set"]: rate_text(row) for row in rows.to_dict("records")}
        cells = [f"all: {texts['all']}", "", ""] if "all" in texts else [texts.get(name, "") for name in "ABC"]
        lines.append(f"| {scenario} | {what} | {' | '.join(cells)} | {span(rows['n'].tolist())} |")
    return [*lines, ""]


def factor_rows(factors: pd.DataFrame) -> list[str]:
    """A Markdown table of the candidates for the variance factor: coverage and its Monte-Carlo standard error."""
    lines = ["| design | number | n_test | n_test / n_train | coverage (standard error) | studies |"]
    lines.append("|---|---|---|---|---|---|")
    for row in factors.to_dict("records"):
        rate, n = row["rate"], row["n"]
        # Of a rate of 1 the standard error of one miss: that of the rate itself would be 0.
        error = math.sqrt(max(rate * (1 - rate), 1 / n) / n)
        cells = [row["scenario"], row["statistic"], row["factor"], f"{row['value']:.3g}", f"{rate:.3f} ({error:.3f})"]
        lines.append(f"| {' | '.join(cells)} | {n} |")
    return [*lines, ""]


def rate_text(row: Mapping[Hashable, Any]) -> str:
    """A rate with its binomial interval."""
    return f"{row['rate']:.3f} ({row['low']:.3f} to {row['high']:.3f})"


def draw_power(power: pd.DataFrame, path: str) -> None:
    """Power against the true ratio, one line per number of runs."""
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "evenhand"
    figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    for runs, part in power.groupby("runs"):
        ratio = part["gap"].map(math.exp)
        axes.plot(ratio, part["rate"], marker="o", label=f"{runs} runs")
        axes.fill_between(ratio, part["low"], part["high"], alpha=0.2)
    axes.axhline(0.05, color="grey", linewidth=0.8)
    axes.set(xlabel="true ratio of dark to light MSE under B", ylabel="C2 supported (simulated)", ylim=(0, 1))
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
