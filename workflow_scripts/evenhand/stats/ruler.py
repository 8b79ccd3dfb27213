"""Tables of the ruler: what known damages cost by group, luminance and tone, and whether groups are charged alike."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from evenhand.evaluation.measures import MEASURES
from evenhand.splits.groups import Pair

Floats = npt.NDArray[np.float64]


def ruler_table(costs: pd.DataFrame, parts: pd.DataFrame, clusters: pd.Series, level: float) -> pd.DataFrame:
    """Mean costs of each damage by measure, with intervals over clusters of images.

    Args:
        costs: of `evenhand.evaluation.ruler.measure_ruler`.
        parts: of each row the part of the images that it is in, by columns such as `group`; empty for none.
        clusters: of each row; images of one are not independent.
        level: of the intervals.

    Returns:
        damage, step, measure, by, value (the part), n_images, cost, ci_low, ci_high.
    """
    rows = []
    names = [name for name in MEASURES if name in costs]
    for (damage, step), of_step in costs.groupby(["damage", "step"], sort=False):
        for by, part in parts.items():
            for value, images in of_step.groupby(part.loc[of_step.index]):
                for name in names if value else ():
                    known = images[name].dropna()
                    cost, error, df = cluster_mean(known.to_numpy(), clusters.loc[known.index])
                    half = stats.t.ppf((1 + level) / 2, df) * error if df else np.nan
                    rows.append((damage, step, name, by, value, len(known), cost, cost - half, cost + half))
    columns = ["damage", "step", "measure", "by", "value", "n_images", "cost", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)


def bias_table(
    costs: pd.DataFrame, group: pd.Series, clusters: pd.Series, pairs: Sequence[Pair], level: float, margin: float
) -> pd.DataFrame:
    """How much more the same damage costs in one group than in the other: ratios of mean costs.

    Interval: of the logarithm of the ratio, by linearisation, over clusters. The groups are treated `alike` where it
    lies within 1 / (1 + margin) to 1 + margin, `unlike` where it lies outside; else it is `undecided`.

    Args:
        costs: of `evenhand.evaluation.ruler.measure_ruler`.
        group: of each row.
        clusters: of each row; one may hold images of both groups.
        pairs: of groups to compare.
        level: of the intervals.
        margin: from which on groups are treated unlike.

    Returns:
        compared, measure, damage, step, n_reference, n_compared, ratio, ci_low, ci_high, treatment.
    """
    rows = []
    names = [name for name in MEASURES if name in costs]
    for pair in pairs:
        for name in names:
            for (damage, step), of_step in costs.dropna(subset=[name]).groupby(["damage", "step"], sort=False):
                sides = [of_step.loc[group.loc[of_step.index] == side, name] for side in pair]
                n, found = [len(side) for side in sides], (np.nan,) * 3
                if all(n):
                    found = ratio_over_clusters(sides[1], sides[0], clusters, level)
                rows.append((pair.compared, name, damage, step, *n, *found, treatment(*found[1:], margin)))
    columns = ["compared", "measure", "damage", "step", "n_reference", "n_compared", "ratio", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=[*columns, "treatment"])


def treatment(low: float, high: float, margin: float) -> str:
    """What an interval of a ratio of costs says of two groups."""
    if low >= 1 / (1 + margin) and high <= 1 + margin:
        return "alike"
    return "unlike" if low > 1 + margin or high < 1 / (1 + margin) else "undecided"


def cluster_mean(values: Floats, clusters: pd.Series) -> tuple[float, float, int]:
    """Mean, its standard error over clusters, and degrees of freedom: clusters less one; NaN where there is none."""
    if not len(values):
        return np.nan, np.nan, 0
    sums = pd.Series(values - values.mean()).groupby(clusters.to_numpy()).sum()
    n = len(sums)
    return float(values.mean()), _root(sums, n) / len(values), n - 1


def ratio_over_clusters(
    numerator: "pd.Series[float]", denominator: "pd.Series[float]", clusters: pd.Series, level: float
) -> tuple[float, float, float]:
    """Ratio of the means of two sets of rows and its interval; NaN where a mean is not positive."""
    above, below = numerator.mean(), denominator.mean()
    if not (above > 0 and below > 0):
        return np.nan, np.nan, np.nan
    # What each row adds to the logarithm of the ratio.
    influence = pd.concat([(numerator / above - 1) / len(numerator), (1 - denominator / below) / len(denominator)])
    sums = influence.groupby(clusters.loc[influence.index].to_numpy()).sum()
    n = len(sums)
    half = stats.t.ppf((1 + level) / 2, n - 1) * _root(sums, n) if n > 1 else np.nan
    ratio = float(above / below)
    return ratio, ratio * float(np.exp(-half)), ratio * float(np.exp(half))


def _root(sums: "pd.Series[float]", n: int) -> float:
    """Root of the sum of squares of `n` clusters' sums, which are about 0, with the correction for few."""
    return float(np.sqrt((sums**2).sum() * n / (n - 1))) if n > 1 else np.nan
