"""Trends over the share of the compared group in the training set, and the share at which it does as well."""

import numpy as np
import pandas as pd

from evenhand.splits.groups import Pair
from evenhand.stats.gaps import RunTable
from evenhand.stats.paired import joined, over_runs_row, run_p_values, run_test

GRID = 1001


def slopes_per_run(table: RunTable, metric: str, groups: tuple[str, ...]) -> np.ndarray:
    """Least-squares slope of the mean over `groups` against the share of the compared group, one per run.

    Over the training sets that hold images of the pair alone.
    """
    names = list(table.of_pair_alone())
    shares = np.array([table.shares[name] for name in names])
    centred = shares - shares.mean()
    values = np.stack([np.mean([table.values[metric][name, group] for group in groups], axis=0) for name in names])
    return np.asarray(centred @ values / np.sum(centred**2))


def sweep_table(table: RunTable, metric: str, alpha: float) -> pd.DataFrame:
    """Trend of each group's mean and of the gap, and the crossing point of the two groups.

    Training sets with images of further groups are left out, and the note names them.

    The crossing is the share of the compared group at which the mean gap, interpolated between the training sets,
    is 0. Its confidence set holds every share at which the corrected paired t does not reject a gap of 0 (inversion of
    the test); where it touches the smallest or largest share of the design, it is open on that side.

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
    ratio = table.test_train_ratio(*names)
    slopes = {group: slopes_per_run(table, metric, (group,)) for group in table.pair}
    slopes["gap"] = slopes[table.pair.compared] - slopes[table.pair.reference]
    for which, values in slopes.items():
        rows.append({"quantity": f"slope of {which}"} | common | over_runs_row(values, ratio, alpha))
    # Sets of equal share count as one point of the sweep.
    points = np.unique(shares)
    gaps = np.stack(
        [np.mean([table.gap(metric, n) for n in names if table.shares[n] == point], axis=0) for point in points]
    )
    rows.append({"quantity": "crossing"} | common | _crossing(points, gaps, table.pair, ratio, alpha))
    return _frame([row | {"note": joined(left_out, str(row["note"]))} for row in rows])


def _crossing(points: np.ndarray, gaps: np.ndarray, pair: Pair, ratio: float, alpha: float) -> dict[str, object]:
    mean = gaps.mean(axis=1)
    n_runs = gaps.shape[1]
    roots = [
        points[i] + (points[i + 1] - points[i]) * mean[i] / (mean[i] - mean[i + 1])
        for i in range(len(points) - 1)
        if mean[i] * mean[i + 1] < 0
    ] + [point for point, value in zip(points, mean, strict=True) if value == 0]
    # With the crossings, so that none falls between two points of the grid.
    grid = np.union1d(np.linspace(points[0], points[-1], GRID), roots)
    interpolated = np.stack([np.interp(grid, points, gaps[:, run]) for run in range(n_runs)], axis=1)
    p = run_p_values(interpolated, ratio) if n_runs > 1 else np.full(len(grid), np.nan)
    varies = not np.isnan(p).all()
    kept = grid[~(p < alpha)] if varies else np.array([])
    row: dict[str, object] = {"n_runs": n_runs, "estimate": float(np.mean(roots)) if len(roots) == 1 else np.nan}
    notes = []
    if not roots:
        higher = pair.compared if mean[0] > 0 else pair.reference
        notes.append(f"the mean of {higher} images is higher throughout")
    if len(roots) > 1:
        notes.append("several crossings: " + ", ".join(f"{root:.3f}" for root in sorted(roots)))
    if not varies:
        notes.append(run_test(gaps[0], ratio).note or "no interval: all runs give the same number")
    if len(kept):
        row |= {"ci_low": kept.min(), "ci_high": kept.max()}
        for end, bound in (("below", kept.min() == grid[0]), ("above", kept.max() == grid[-1])):
            if bound:
                notes.append(f"the interval is open {end}")
    return row | {"note": "; ".join(notes)}


def _frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    columns = ["compared", "quantity", "metric", "estimate", "ci_low", "ci_high", "p", "n_runs", "n_shares", "note"]
    return pd.DataFrame(rows, columns=columns)
