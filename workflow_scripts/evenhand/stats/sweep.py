"""Trends over the dark share of the training set, and the share at which the two groups do equally well."""

import numpy as np
import pandas as pd

from evenhand.stats.gaps import RunTable
from evenhand.stats.paired import over_runs_row, run_p_values, run_test

GRID = 1001


def slopes_per_run(table: RunTable, metric: str, groups: tuple[str, ...]) -> np.ndarray:
    """Least-squares slope of the mean over `groups` against the dark share, one per run."""
    names = list(table.shares)
    shares = np.array([table.shares[name] for name in names])
    centred = shares - shares.mean()
    values = np.stack([np.mean([table.values[metric][name, group] for group in groups], axis=0) for name in names])
    return np.asarray(centred @ values / np.sum(centred**2))


def sweep_table(table: RunTable, metric: str, alpha: float) -> pd.DataFrame:
    """Trend of each group's mean and of the gap, and the crossing point of the two groups.

    The crossing is the dark share at which the mean gap, interpolated between the training sets, is 0. Its
    confidence set holds every share at which the corrected paired t does not reject a gap of 0 (inversion of
    the test); where it touches the smallest or largest share of the design, it is open on that side.

    Returns:
        quantity (`slope of light`, `slope of dark`, `slope of gap`: least-squares change per unit of dark share;
        `crossing`), metric, estimate, ci_low, ci_high, p (slopes, against 0), n_runs, n_shares, note (why a number is
        missing). Without a crossing inside the design its estimate is empty and the note says which group is better
        throughout.
    """
    names = sorted(table.shares, key=lambda name: (table.shares[name], name))
    shares = np.array([table.shares[name] for name in names])
    common = {"metric": metric, "n_shares": len(set(shares)), "note": ""}
    ratio = table.test_train_ratio(*names)
    rows: list[dict[str, object]] = []
    if len(set(shares)) < 2:
        note = "a sweep needs training sets with at least two different dark shares"
        return _frame([{"quantity": "crossing", "n_runs": len(table.runs)} | common | {"note": note}])
    slopes = {group: slopes_per_run(table, metric, (group,)) for group in ("light", "dark")}
    slopes["gap"] = slopes["dark"] - slopes["light"]
    for which, values in slopes.items():
        rows.append({"quantity": f"slope of {which}"} | common | over_runs_row(values, ratio, alpha))
    # Sets of equal share count as one point of the sweep.
    points = np.unique(shares)
    gaps = np.stack(
        [np.mean([table.gap(metric, n) for n in names if table.shares[n] == point], axis=0) for point in points]
    )
    rows.append({"quantity": "crossing"} | common | _crossing(points, gaps, ratio, alpha))
    return _frame(rows)


def _crossing(points: np.ndarray, gaps: np.ndarray, ratio: float, alpha: float) -> dict[str, object]:
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
        higher = "dark" if mean[0] > 0 else "light"
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
    columns = ["quantity", "metric", "estimate", "ci_low", "ci_high", "p", "n_runs", "n_shares", "note"]
    return pd.DataFrame(rows, columns=columns)
