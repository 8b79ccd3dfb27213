"""The gap between two test groups, per training set and metric, with every test of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from evenhand.splits.groups import Pair
from evenhand.stats.paired import (
    hedges_dz,
    joined,
    overlap_ratio,
    ratio_interval,
    ratio_note,
    run_test,
    tost_p,
    wilcoxon_p,
)
from evenhand.stats.rows import of_groups
from evenhand.stats.summary import sort_by_design
from evenhand.workflow.errors import UserError

SHARES = {"A": 0.0, "B": 0.5, "C": 1.0}  # of the compared group in the paper's training sets


@dataclass(frozen=True)
class RunTable:
    """Run means of two groups as arrays, and the sizes that the variance correction needs.

    `values[metric][train_set, group]` has one number per run, in the order of `runs`. `shares` and `reference_shares`
    are the fractions of images of the compared group and of the reference in a training set. `test_sizes` are those of
    one group's test set, measured or not: images without skin leave two runs with the same part of the others in
    common. `train_sizes` holds the different images in a training set, `shared` the fraction of them that two runs have
    in common (NaN for one run).
    """

    pair: Pair
    runs: tuple[int, ...]
    shares: dict[str, float]
    reference_shares: dict[str, float]
    values: dict[str, dict[tuple[str, str], np.ndarray]]
    test_sizes: dict[str, int]
    train_sizes: dict[str, float]
    shared: dict[str, float]

    def test_train_ratio(self, *train_sets: str) -> float:
        """n_test / n_train of the given training sets, the largest where they differ (the careful side)."""
        return max(self.test_sizes[name] / self.train_sizes[name] for name in train_sets)

    def gap(self, metric: str, train_set: str) -> np.ndarray:
        """Compared minus reference, one number per run."""
        values = self.values[metric]
        return values[train_set, self.pair.compared] - values[train_set, self.pair.reference]

    @property
    def difference(self) -> str:
        """What a gap is, in words."""
        return f"{self.pair.compared} minus {self.pair.reference}"

    def of_pair_alone(self) -> dict[str, float]:
        """`shares` of the training sets that hold images of the two groups and of no other."""
        return {
            name: share
            for name, share in self.shares.items()
            # Tables have ten digits.
            if math.isclose(share + self.reference_shares[name], 1, abs_tol=1e-6)
        }


def run_table(
    runs: pd.DataFrame, design: pd.DataFrame, pair: Pair, metrics: Sequence[str], partial: bool = False
) -> RunTable:
    """Arrange tables/runs.csv and tables/design.csv for the tests.

    Args:
        runs: means per run, training set and group; those of other groups are left out.
        design: tables/design.csv.
        pair: the two groups.
        metrics: columns of `runs`.
        partial: a mean may be empty, as that of the colours is where no image shows skin.

    Raises:
        UserError: a metric is missing or not finite, a training set is not in the design, or a training set
            lacks a run that another has (a paired test cannot skip it).
    """
    absent = [metric for metric in metrics if metric not in runs]
    if absent:
        raise UserError(f"runs table: expected the metrics {', '.join(metrics)}; missing: {', '.join(absent)}.")
    every_set = list(dict.fromkeys(runs["train_set"]))
    runs = of_groups(runs, pair)
    bad = [metric for metric in metrics if not np.isfinite(runs[metric].to_numpy(dtype=float)).all()]
    if bad and not partial:
        raise UserError(f"runs table: expected finite means, found empty or infinite ones in {', '.join(bad)}.")
    runs = sort_by_design(runs, pair, ["run"])
    shares = dict(zip(runs["train_set"], runs["compared_share"].astype(float), strict=True))
    distinct = training_sizes(design)
    shared = dict(zip(design["train_set"], design["shared"].astype(float), strict=True))
    missing = [name for name in shares if name not in distinct]
    if missing:
        raise UserError(f"design table: expected a row for training set {', '.join(missing)}, found none.")
    numbers = tuple(sorted(set(runs["run"])))
    values: dict[str, dict[tuple[str, str], np.ndarray]] = {metric: {} for metric in metrics}
    for key, part in runs.groupby(["train_set", "group"], sort=False):
        train_set, group = map(str, key)
        if tuple(part["run"]) != numbers:
            raise UserError(
                f"runs table: expected one row for each of the runs {list(numbers)} in training set {train_set}, "
                f"group {group}; found {list(part['run'])}."
            )
        for metric in metrics:
            values[metric][train_set, group] = part[metric].to_numpy(dtype=float)
    for train_set in every_set:
        for group in pair:
            if (train_set, group) not in values[metrics[0]]:
                raise UserError(f"runs table: expected the group {group} in training set {train_set}, found none.")
    sizes = dict(zip(design["train_set"], design["test_size"], strict=True))
    reference_shares = dict(zip(design["train_set"], design["reference_share"].astype(float), strict=True))
    return RunTable(
        pair=pair,
        runs=numbers,
        shares=shares,
        reference_shares={name: reference_shares[name] for name in shares},
        values=values,
        test_sizes={name: int(sizes[name]) for name in shares},
        train_sizes={name: distinct[name] for name in shares},
        shared={name: shared[name] for name in shares},
    )


def named_sets(table: RunTable, *letters: str) -> tuple[tuple[str, ...], str]:
    """The training sets that stand for the paper's letters, and why one is missing or ambiguous (or "")."""
    names = []
    candidates = table.of_pair_alone()
    alone = f" of {' and '.join(table.pair)} images alone" if len(candidates) < len(table.shares) else ""
    for letter in letters:
        matches = [name for name, share in candidates.items() if share == SHARES[letter]]
        if len(matches) != 1:
            count = f"{len(matches)} training sets" if matches else "no training set"
            share = f"a {table.pair.compared} share of {SHARES[letter]:g}"
            return (), f"the design has {count}{alone} with {share} ({letter} of the paper)"
        names.append(matches[0])
    return tuple(names), ""


def training_sizes(design: pd.DataFrame) -> dict[str, float]:
    """Different images in a training set, per set, from tables/design.csv."""
    return dict(zip(design["train_set"], design["distinct"].astype(float), strict=True))


def size_ratios(design: pd.DataFrame) -> dict[str, float]:
    """n_test / n_train per training set, from tables/design.csv, for the variance correction."""
    return dict(zip(design["train_set"], design["test_size"] / design["distinct"], strict=True))


def gap_table(
    table: RunTable, metrics: Sequence[str], family: Sequence[str], alpha: float, margins: Mapping[str, float]
) -> pd.DataFrame:
    """One row per training set and metric: the gap of mean(compared) - mean(reference) over runs and its tests.

    Args:
        table: run means and sizes.
        metrics: metrics to report, in this order.
        family: those of them whose gaps, over all training sets, form the one family that Holm's method adjusts.
        alpha: level of the tests; intervals have the level 1 - alpha.
        margins: equivalence margin per metric, as a fraction of the reference mean; metrics without one get
            no equivalence test.

    Returns:
        The columns of schemas/tables.yaml under `gaps`.
    """
    gaps = pd.DataFrame(
        [_gap_row(table, name, metric, alpha, margins.get(metric)) for metric in metrics for name in table.shares]
    )
    in_family = gaps["metric"].isin(family) & gaps["p"].notna()
    gaps["p_holm"] = np.nan
    if in_family.any():
        gaps.loc[in_family, "p_holm"] = multipletests(gaps.loc[in_family, "p"], method="holm")[1]
    return gaps


def _gap_row(table: RunTable, name: str, metric: str, alpha: float, margin: float | None) -> dict[str, object]:
    reference, compared = (table.values[metric][name, group] for group in table.pair)
    nb = table.test_train_ratio(name)
    test = run_test(compared - reference, nb)
    low, high = test.interval(1 - alpha)
    overlap = run_test(compared - reference, overlap_ratio(nb, table.shared[name]))
    shared_low, shared_high = overlap.interval(1 - alpha)
    naive_low, naive_high = test.interval(1 - alpha, naive=True)
    equivalence_low, equivalence_high = test.interval(1 - 2 * alpha)
    ratio_low, ratio_high = ratio_interval(compared, reference, nb, 1 - alpha)
    limit = np.nan if margin is None else margin * abs(reference.mean())
    notes = [test.note, ratio_note(reference, table.pair.reference, ratio_low)]
    if test.n == 2 and test.sd > 0:
        notes.append("no effect size: it needs three runs")
    if test.n > 1 and not np.any(compared - reference):
        notes.append("no Wilcoxon test: all differences are 0")
    return {
        "train_set": name,
        "compared_share": table.shares[name],
        "compared": table.pair.compared,
        "metric": metric,
        "n_runs": test.n,
        "n_test": table.test_sizes[name],
        "n_train": table.train_sizes[name],
        "mean_reference": reference.mean(),
        "mean_compared": compared.mean(),
        "ratio": compared.mean() / reference.mean() if reference.mean() != 0 else np.nan,
        "ratio_low": ratio_low,
        "ratio_high": ratio_high,
        "gap": test.mean,
        "sd": test.sd,
        "ci_low": low,
        "ci_high": high,
        "se": test.se,
        "t": test.t(),
        "p": test.p(),
        "se_naive": test.se_naive,
        "t_naive": test.t(naive=True),
        "p_naive": test.p(naive=True),
        "naive_low": naive_low,
        "naive_high": naive_high,
        "shared": table.shared[name],
        "shared_low": shared_low,
        "shared_high": shared_high,
        "p_wilcoxon": wilcoxon_p(compared - reference),
        "p_wilcoxon_min": 2.0 ** (1 - test.n) if test.n > 1 else np.nan,
        "dz": hedges_dz(test),
        "margin": limit,
        "equivalence_low": equivalence_low,
        "equivalence_high": equivalence_high,
        "p_tost": np.nan if margin is None else tost_p(test, limit),
        "note": joined(*notes),
    }
