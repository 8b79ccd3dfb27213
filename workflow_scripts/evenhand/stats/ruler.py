"""The ruler: what known damages cost by group, luminance and tone; whether groups are charged alike; gaps read off it.

A gap in equivalents: the error of each group is read off the ladder of that group, "as much as a blur of x px", and the
readings are compared. The ladder is that of the group (the mean cost of each step over its images) and not of each
image: features and colours are measured on a few images alone, an image whose error lies beyond its own ladder could
only be left out, and the inverse of a mean is exact where all images of a group are damaged alike. What a measure
charges one group more by a constant factor is in its ladder too, and so in no equivalent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from evenhand.evaluation.measures import MEASURES, RULED
from evenhand.splits.groups import Pair
from evenhand.stats.crossed import Cell, CrossedSums, CrossedTest
from evenhand.stats.gaps import RunTable
from evenhand.stats.paired import joined
from evenhand.workflow.tables import read_table

Floats = npt.NDArray[np.float64]
BIAS = ["bias", "bias_low", "bias_high"]


def damage_of(measure: str) -> str:
    """The damage in whose steps a gap is expressed: a blur (px), of what is measured on the colour of skin a tint."""
    return "tint" if MEASURES[measure].needs == "skin" else "blur"


def ruler_table(costs: pd.DataFrame, parts: pd.DataFrame, clusters: pd.Series, level: float) -> pd.DataFrame:
    """Mean costs of each damage by measure, with intervals over clusters of images.

    Args:
        costs: of `evenhand.evaluation.ruler.measure_ruler`.
        parts: of each row the part of the images that it is in, by columns such as `group`; empty for none.
        clusters: of each row; images of one are not independent.
        level: of the intervals.

    Returns:
        damage, step, measure, by, value (the part), n_images, cost, se, df (of the variance, Satterthwaite's), ci_low,
        ci_high; the last four NaN where there are fewer than two clusters.
    """
    rows = []
    names = [name for name in RULED if name in costs]
    for (damage, step), of_step in costs.groupby(["damage", "step"], sort=False):
        for by, part in parts.items():
            for value, images in of_step.groupby(part.loc[of_step.index]):
                for name in names if value else ():
                    known = images[name].dropna()
                    cost, error, df = cluster_mean(known.to_numpy(), clusters.loc[known.index])
                    half = stats.t.ppf((1 + level) / 2, df) * error
                    key = (damage, step, name, by, value, len(known))
                    rows.append((*key, cost, error, df, cost - half, cost + half))
    columns = ["damage", "step", "measure", "by", "value", "n_images", "cost", "se", "df", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)


def cluster_mean(values: Floats, clusters: pd.Series) -> tuple[float, float, float]:
    """Mean, its standard error over clusters and degrees of freedom, as `CrossedSums` has them of one run."""
    if clusters.nunique() < 2:
        return float(values.mean()) if len(values) else np.nan, np.nan, np.nan
    sums = CrossedSums(["all"], ["cost"])
    sums.add_values("all", clusters.tolist(), ["of"], values[:, None, None])
    row = sums.table().iloc[0]
    return float(values.mean()), float(np.sqrt(row["images"])), float(row["df"])


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
    names = [name for name in RULED if name in costs]
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


def ratio_over_clusters(
    numerator: "pd.Series[float]", denominator: "pd.Series[float]", clusters: pd.Series, level: float
) -> tuple[float, float, float]:
    """Ratio of the means of two sets of rows and its interval; NaN where a mean is not positive."""
    above, below = numerator.mean(), denominator.mean()
    if not (above > 0 and below > 0):
        return np.nan, np.nan, np.nan
    # What each row adds to the logarithm of the ratio, times the number of rows: a mean that is 0.
    influence = pd.concat([(numerator / above - 1) / len(numerator), (1 - denominator / below) / len(denominator)])
    scaled: Floats = len(influence) * np.asarray(influence)
    _, error, df = cluster_mean(scaled, clusters.loc[influence.index])
    half = stats.t.ppf((1 + level) / 2, df) * error
    ratio = float(above / below)
    return ratio, ratio * float(np.exp(-half)), ratio * float(np.exp(half))


def with_bias(table: pd.DataFrame, path: Path | None, metric: str = "") -> pd.DataFrame:
    """`table` with the bias of its measures beside them: how many times as much they charge the compared group.

    It is the geometric mean, over the steps of `damage_of` the measure, of the ratios of costs; its interval that of
    the logarithms, taken to err together. NaN where the ruler has no such measure, or was not measured.

    Args:
        table: with the columns compared and metric.
        path: tables/ruler_bias.csv; None where there is none.
        metric: of all rows, where the table has no such column.
    """
    found: dict[tuple[str, str], Floats] = {}
    for key, steps in read_table(path).groupby(["compared", "measure", "damage"]) if path else ():
        compared, measure, damage = map(str, key)
        if damage == damage_of(measure):
            found[compared, measure] = np.exp(np.log(steps[["ratio", "ci_low", "ci_high"]].to_numpy()).mean(axis=0))
    metrics = [metric] * len(table) if metric else table["metric"]
    values = [found.get(of, np.full(3, np.nan)) for of in zip(table["compared"], metrics, strict=True)]
    return table.assign(**dict(zip(BIAS, np.reshape(values, (-1, 3)).T, strict=True)))


class Reading(NamedTuple):
    """A cost read off a ladder.

    step: the damage that costs as much; slope: d log step / d log cost there; se: of the ladder's log cost there; df:
    its degrees of freedom; reason: why there is no reading (the others are then NaN).
    """

    step: float
    slope: float
    se: float
    df: float
    reason: str = ""


def read_off(ladder: pd.DataFrame, cost: float) -> Reading:
    """The step of a ladder that costs so much, between its steps along a power law.

    Args:
        ladder: step, cost, se and df of the steps of a damage, one group and measure.
        cost: of the error.
    """
    steps, costs = ladder["step"].to_numpy(dtype=float), ladder["cost"].to_numpy(dtype=float)
    if not (len(steps) > 1 and np.isfinite(ladder["se"]).all() and costs[0] > 0 and (np.diff(costs) > 0).all()):
        return Reading(np.nan, np.nan, np.nan, np.nan, "the costs of the ladder do not rise, or it has no error")
    if not costs[0] <= cost <= costs[-1]:
        reason = f"an error of {cost:.3g} lies beyond the ladder, whose costs go from {costs[0]:.3g} to {costs[-1]:.3g}"
        return Reading(np.nan, np.nan, np.nan, np.nan, reason)
    k = min(int(np.searchsorted(costs, cost, side="right")) - 1, len(steps) - 2)
    rise, run = np.log(costs[k + 1] / costs[k]), np.log(steps[k + 1] / steps[k])
    part = np.log(cost / costs[k]) / rise
    # The two steps are of the same images, and are taken to err together: no error of their sum is larger.
    errors = ladder["se"].to_numpy(dtype=float) / costs
    se = (1 - part) * errors[k] + part * errors[k + 1]
    return Reading(steps[k] * np.exp(part * run), run / rise, se, float(ladder["df"].iloc[[k, k + 1]].min()))


def ladders_of(ruler: pd.DataFrame, metric: str, pair: Pair) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The steps of `damage_of` a measure in both groups, from tables/ruler.csv."""
    chosen = ruler[(ruler["measure"] == metric) & (ruler["damage"] == damage_of(metric)) & (ruler["by"] == "group")]
    reference, compared = (chosen[chosen["value"] == group].sort_values("step") for group in pair)
    return reference, compared


def readings(table: RunTable, ruler: pd.DataFrame, metric: str, train_set: str) -> dict[str, Reading]:
    """The mean error of each group under a training set, read off the ladder of that group."""
    costs = {group: abs(table.values[metric][train_set, group].mean() - RULED[metric]) for group in table.pair}
    ladders = ladders_of(ruler, metric, table.pair)
    return {group: read_off(ladder, costs[group]) for group, ladder in zip(table.pair, ladders, strict=True)}


def equivalent_test(
    table: RunTable, found: Mapping[str, Reading], metric: str, train_set: str, factor: float = 1.0, log: bool = False
) -> CrossedTest:
    """Reading of the compared group minus `factor` times that of the reference, or the logarithm of their ratio.

    By linearisation in the errors and in the ladders, which are taken as independent: an image that is hard to
    reconstruct is hard to blur, and what both have in common would make the variance smaller.

    Args:
        table: run means, with `metric` crossed.
        found: `readings`, none without a step.
        metric: of the error.
        train_set: of the models.
        factor: of the reference.
        log: the logarithm of the ratio instead.
    """
    cells: dict[Cell, float] = {}
    estimate, ladder, rest = 0.0, 0.0, 0.0
    for group, weight in zip(table.pair, (-factor, 1.0), strict=True):
        reading, mean = found[group], table.values[metric][train_set, group].mean()
        estimate += weight * (np.log(reading.step) if log else reading.step)
        change = weight * reading.slope * (1.0 if log else reading.step)  # for a change of the log cost by 1
        cells[train_set, group] = change / (mean - RULED[metric])
        ladder += (change * reading.se) ** 2
        rest += (change * reading.se) ** 4 / reading.df
    test = table.crossed[metric].test(cells)
    if not test.se > 0:
        return replace(test, mean=estimate)
    variance = test.se**2 + ladder
    df = variance**2 / (test.se**4 / test.df + rest)
    return replace(test, mean=estimate, se=float(np.sqrt(variance)), df=float(df), fixed=ladder)


def equivalent_table(table: RunTable, ruler: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """The gap in each measure of the ruler and each training set, as that of known damages.

    Args:
        table: run means; metrics that the ruler does not have are left out.
        ruler: tables/ruler.csv.
        alpha: intervals have the level 1 - alpha.

    Returns:
        The columns of schemas/tables.yaml under `equivalents` but for those of the bias.
    """
    rows = []
    for metric in [name for name in RULED if name in table.values]:
        n = [int(ladder["n_images"].min()) if len(ladder) else 0 for ladder in ladders_of(ruler, metric, table.pair)]
        for name, share in table.shares.items():
            row = {"train_set": name, "compared_share": share, "compared": table.pair.compared, "metric": metric}
            row |= {"damage": damage_of(metric), "n_ladder_reference": n[0], "n_ladder_compared": n[1]}
            found = readings(table, ruler, metric, name)
            row |= {"reference": found[table.pair.reference].step, "equivalent": found[table.pair.compared].step}
            row |= {"n_runs": len(table.runs), "covers": ""}
            reasons = unreadable(table, found, metric)
            if reasons:
                rows.append(row | {"note": reasons})
                continue
            test = equivalent_test(table, found, metric, name)
            low, high = test.interval(1 - alpha)
            log_ratio = equivalent_test(table, found, metric, name, log=True)
            row |= {"gap": test.mean, "ci_low": low, "ci_high": high, "se_ladder": np.sqrt(test.fixed)}
            row |= {"ratio": np.exp(log_ratio.mean)}
            row |= dict(zip(("ratio_low", "ratio_high"), log_ratio.factor(1 - alpha), strict=True))
            covers = f"{test.covers}, and ruler" if test.covers else ""
            rows.append(row | {"covers": covers, "note": test.note})
    columns = ["train_set", "compared_share", "compared", "metric", "damage", "reference", "equivalent"]
    columns += ["gap", "ci_low", "ci_high", "se_ladder", "ratio", "ratio_low", "ratio_high"]
    columns += ["n_ladder_reference", "n_ladder_compared", "n_runs", "covers", "note"]
    return pd.DataFrame(rows, columns=columns)


def unreadable(table: RunTable, found: Mapping[str, Reading], metric: str) -> str:
    """Why a gap has no equivalent; empty where it has one."""
    if metric not in table.crossed:
        return "in some runs no skin was found on any image of a group"
    return joined(*(f"{group}: {reading.reason}" for group, reading in found.items() if reading.reason))
