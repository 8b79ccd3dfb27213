"""The gap between two test groups, per training set and metric, with every test of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from evenhand.splits.groups import FROZEN, Pair
from evenhand.stats.components import starts_of
from evenhand.stats.crossed import Cell, Crossed, contrast_row, crossed
from evenhand.stats.paired import hedges_dz, joined, run_test, tost_p, wilcoxon_p
from evenhand.stats.rows import of_groups
from evenhand.stats.summary import sort_by_design
from evenhand.workflow.errors import UserError


@dataclass(frozen=True)
class RunTable:
    """Run means of two groups as arrays, what their variance comes from, and the sizes of the design.

    `values[metric][train_set, group]` has one number per run, in the order of `runs`; `crossed[metric]` tests any
    contrast of them (a metric with empty means has none). `shares` and `reference_shares`
    are the fractions of images of the compared group and of the reference in a training set. `test_sizes` are those of
    one group's test set, measured or not: images without skin leave two runs with the same part of the others in
    common. `train_sizes` holds the different images in a training set, `shared` the fraction of them that two runs have
    in common (NaN for one run).
    """

    pair: Pair
    runs: tuple[int, ...]
    shares: dict[str, float]
    reference_shares: dict[str, float]
    values: dict[str, dict[Cell, np.ndarray]]
    crossed: dict[str, Crossed]
    test_sizes: dict[str, int]
    train_sizes: dict[str, float]
    shared: dict[str, float]

    def test_train_ratio(self, *train_sets: str) -> float:
        """n_test / n_train of the given training sets, the largest where they differ (the careful side). NaN: none."""
        ratios = [self.test_sizes[name] / self.train_sizes[name] for name in train_sets if name != FROZEN]
        return max(ratios, default=math.nan)

    def gap(self, metric: str, train_set: str) -> np.ndarray:
        """Compared minus reference, one number per run."""
        values = self.values[metric]
        return values[train_set, self.pair.compared] - values[train_set, self.pair.reference]

    def gap_cells(self, train_set: str, weight: float = 1.0) -> dict[Cell, float]:
        """The gap as weights of cells."""
        return {(train_set, self.pair.compared): weight, (train_set, self.pair.reference): -weight}

    @property
    def difference(self) -> str:
        """What a gap is, in words."""
        return f"{self.pair.compared} minus {self.pair.reference}"

    def of_pair_alone(self) -> dict[str, float]:
        """`shares` of the training sets that hold images of the two groups and of no other."""
        return {
            name: share
            for name, share in self.shares.items()
            if math.isclose(share + self.reference_shares[name], 1, abs_tol=1e-6)  # tables have ten digits
        }


def run_table(
    runs: pd.DataFrame,
    covariances: pd.DataFrame,
    design: pd.DataFrame,
    pair: Pair,
    metrics: Sequence[str],
    partial: bool = False,
    starts: pd.DataFrame | None = None,
) -> RunTable:
    """Arrange tables/runs.csv, tables/covariances.csv and tables/design.csv for the tests.

    Args:
        runs: means per run, training set and group; those of other groups are left out.
        covariances: of their means (`CrossedSums.table`).
        design: tables/design.csv.
        pair: the two groups.
        metrics: columns of `runs`.
        partial: a mean may be empty, as that of the colours is where no image shows skin.
        starts: tables/start_covariances.csv, where there are several.

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
    values: dict[str, dict[Cell, np.ndarray]] = {metric: {} for metric in metrics}
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
    names = list(shares)
    return RunTable(
        pair=pair,
        runs=numbers,
        shares=shares,
        reference_shares={name: reference_shares[name] for name in shares},
        values=values,
        crossed={
            metric: crossed(cells, covariances, metric, names, pair, starts_of(starts, metric, names, pair, shared))
            for metric, cells in values.items()
            if all(np.isfinite(of_cell).all() for of_cell in cells.values())
        },
        test_sizes={name: int(sizes[name]) for name in shares},
        train_sizes={name: distinct[name] for name in shares},
        shared={name: shared[name] for name in shares},
    )


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
    if in_family.any():
        gaps.loc[in_family, "p_holm"] = multipletests(gaps.loc[in_family, "p"], method="holm")[1]
    return gaps


def _gap_row(table: RunTable, name: str, metric: str, alpha: float, margin: float | None) -> dict[str, object]:
    reference, compared = (table.values[metric][name, group] for group in table.pair)
    cells = table.gap_cells(name)
    test = table.crossed[metric].test(cells)
    log_ratio = table.crossed[metric].test(cells, log=True)
    over_runs = run_test(compared - reference, table.test_train_ratio(name))
    low, high = test.interval(1 - alpha)
    shared_low, shared_high = test.sharing(table.shared[name]).interval(1 - alpha)
    nb_low, nb_high = over_runs.interval(1 - alpha)
    naive_low, naive_high = over_runs.naive.interval(1 - alpha)
    equivalence_low, equivalence_high = test.interval(1 - 2 * alpha)
    limit = np.nan if margin is None else margin * abs(reference.mean())
    notes = [test.note, over_runs.note, log_ratio.note if not test.note else ""]
    if over_runs.n == 2 and over_runs.sd > 0:
        notes.append("no effect size: it needs three runs")
    if over_runs.n > 1 and not np.any(compared - reference):
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
        **dict(zip(("ratio_low", "ratio_high"), log_ratio.factor(1 - alpha), strict=True)),
        "gap": test.mean,
        "ci_low": low,
        "ci_high": high,
        "covers": test.covers,
        "se": test.se,
        "se_images": math.sqrt(test.images),
        "se_models": math.sqrt(test.models),
        "pooled": test.pooled,
        "df": test.df,
        "p": test.p(),
        "p_holm": np.nan,
        "shared": table.shared[name],
        "shared_low": shared_low,
        "shared_high": shared_high,
        "margin": limit,
        "equivalence_low": equivalence_low,
        "equivalence_high": equivalence_high,
        "p_tost": np.nan if margin is None else tost_p(test, limit),
        "sd": over_runs.sd,
        "nb_low": nb_low,
        "nb_high": nb_high,
        "p_nb": over_runs.p(),
        "naive_low": naive_low,
        "naive_high": naive_high,
        "p_naive": over_runs.naive.p(),
        "p_wilcoxon": wilcoxon_p(compared - reference),
        "p_wilcoxon_min": 2.0 ** (1 - test.n) if test.n > 1 else np.nan,
        "dz": hedges_dz(over_runs),
        "note": joined(*dict.fromkeys(notes)),
    }


GRID = 401


def slope_cells(table: RunTable, groups: Sequence[str]) -> dict[Cell, float]:
    """The least-squares slope of the mean over `groups` against the share of the compared group, as weights of cells.

    Over the training sets that hold images of the pair alone.
    """
    names = list(table.of_pair_alone())
    shares = np.array([table.shares[name] for name in names])
    weights = (shares - shares.mean()) / np.sum((shares - shares.mean()) ** 2) / len(groups)
    return {(name, group): float(w) for name, w in zip(names, weights, strict=True) for group in groups}


def sweep_table(table: RunTable, metric: str, alpha: float) -> pd.DataFrame:
    """Trend of each group's mean and of the gap, and the crossing point of the two groups.

    Training sets with images of further groups are left out, and the note names them.

    The crossing is the share of the compared group at which the mean gap, interpolated between the training sets,
    is 0. Its confidence set holds every share at which the test of the gap does not reject 0 (inversion of the
    test); where it touches the smallest or largest share of the design, it is open on that side.

    Returns:
        compared (that group), quantity (`slope of` either group or `gap`: least-squares change per unit of share;
        `crossing`), metric, estimate, ci_low, ci_high, p (slopes, against 0), n_runs, n_shares, note (why a number is
        missing). Without a crossing inside the design its estimate is empty and the note says which group is better
        throughout.
    """
    alone = table.of_pair_alone()
    names = sorted(alone, key=lambda name: (alone[name], name))
    shares = np.array([alone[name] for name in names])
    common = {"compared": table.pair.compared, "metric": metric, "n_shares": len(set(shares))}
    lost = [name for name in table.shares if name not in alone]
    left_out = f"left out for images of other groups: {', '.join(lost)}" if lost else ""
    rows: list[dict[str, object]] = []
    if len(set(shares)) < 2:
        note = f"a sweep needs training sets with at least two different {table.pair.compared} shares"
        crossing = {"quantity": "crossing", "n_runs": len(table.runs), "note": joined(left_out, note)}
        return _frame([common | crossing])
    of = table.crossed[metric]
    slopes = {group: slope_cells(table, [group]) for group in table.pair}
    gap = dict(slopes[table.pair.compared]) | {cell: -w for cell, w in slopes[table.pair.reference].items()}
    for which, cells in (slopes | {"gap": gap}).items():
        rows.append({"quantity": f"slope of {which}"} | common | contrast_row(of.test(cells), alpha))
    # Sets of equal share count as one point of the sweep.
    points = np.unique(shares)
    sets = [[name for name in names if alone[name] == point] for point in points]
    rows.append({"quantity": "crossing"} | common | _crossing(table, metric, points, sets, alpha))
    return _frame([row | {"note": joined(left_out, str(row["note"]))} for row in rows])


def _crossing(
    table: RunTable, metric: str, points: np.ndarray, sets: Sequence[Sequence[str]], alpha: float
) -> dict[str, object]:
    mean = np.array([np.mean([table.gap(metric, name) for name in names]) for names in sets])
    roots = [
        points[i] + (points[i + 1] - points[i]) * mean[i] / (mean[i] - mean[i + 1])
        for i in range(len(points) - 1)
        if mean[i] * mean[i + 1] < 0
    ] + [point for point, value in zip(points, mean, strict=True) if value == 0]
    # With the crossings, so that none falls between two points of the grid.
    grid = np.union1d(np.linspace(points[0], points[-1], GRID), roots)
    tests = []
    for share in grid:
        cells: dict[Cell, float] = {}
        for i, names in enumerate(sets):
            weight = float(np.interp(share, points, np.arange(len(points)) == i)) / len(names)
            for name in names:
                cells |= table.gap_cells(name, weight) if weight else {}
        tests.append(table.crossed[metric].test(cells))
    p = np.array([test.p() for test in tests])
    varies = not np.isnan(p).all()
    kept = grid[~(p < alpha)] if varies else np.array([])
    row: dict[str, object] = {
        "n_runs": len(table.runs),
        "estimate": float(np.mean(roots)) if len(roots) == 1 else np.nan,
    }
    notes = []
    if not roots:
        higher = table.pair.compared if mean[0] > 0 else table.pair.reference
        notes.append(f"the mean of {higher} images is higher throughout")
    if len(roots) > 1:
        notes.append("several crossings: " + ", ".join(f"{root:.3f}" for root in sorted(roots)))
    if not varies:
        notes.append(tests[0].note)
    if len(kept):
        row |= {"ci_low": kept.min(), "ci_high": kept.max()}
        for end, bound in (("below", kept.min() == grid[0]), ("above", kept.max() == grid[-1])):
            if bound:
                notes.append(f"the interval is open {end}")
    return row | {"note": "; ".join(notes)}


def _frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    columns = ["compared", "quantity", "metric", "estimate", "ci_low", "ci_high", "p", "n_runs", "n_shares", "note"]
    return pd.DataFrame(rows, columns=columns)
