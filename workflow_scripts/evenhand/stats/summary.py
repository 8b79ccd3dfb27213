"""Means per run, training set and condition, and sums over many models' evaluations, of which memory holds one."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from evenhand.evaluation.measures import MEASURES
from evenhand.splits.groups import Pair
from evenhand.stats.mixed import NoFitError, random_intercept
from evenhand.stats.rows import by_train_set, of_groups
from evenhand.workflow.errors import UserError

RUN_METRICS = tuple(name for name, measure in MEASURES.items() if measure.table == "runs")
# Those outside stats.family get no adjusted p.
GAP_METRICS = tuple(name for name in RUN_METRICS if MEASURES[name].gap)
IMAGE_INDEX = ["train_set", "compared_share", "condition", "group", "id"]


def run_means(evaluation: pd.DataFrame, groups: Sequence[str], metrics: Sequence[str] = RUN_METRICS) -> pd.DataFrame:
    """Means over the images of one model: one row per test group, the unit of the paper's box plots.

    Args:
        evaluation: rows of one training set and run (`read_evaluation`).
        groups: names of the groups, in their order.
        metrics: columns to average.

    Returns:
        train_set, compared_share, run, group, n_images and one column per metric.
    """
    first = evaluation.iloc[0]
    rows = []
    for group in groups:
        images = evaluation[evaluation["group"] == group]
        if images.empty:
            raise UserError(
                f"training set {first['train_set']}, run {first['run']}: expected {group} test images, found none."
            )
        key = {name: first[name] for name in ("train_set", "compared_share", "run")} | {"group": group}
        rows.append(key | {"n_images": len(images)} | {name: images[name].mean() for name in metrics})
    return pd.DataFrame(rows)


def summarise(
    evaluations: Iterable[pd.DataFrame], groups: Sequence[str], metrics: Sequence[str] = RUN_METRICS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run means of `metrics` and per-image sums of all models, read one after the other.

    Memory grows with the number of different images and of runs, not with their product.

    Returns:
        (runs table; per-image sums of MSE: columns n, the evaluations, and total, indexed by `IMAGE_INDEX`), both
        sorted.
    """
    means: list[pd.DataFrame] = []
    images = Totals(IMAGE_INDEX)
    for evaluation in evaluations:
        means.append(run_means(evaluation, groups, metrics))
        images.add(evaluation[IMAGE_INDEX].assign(n=1, total=evaluation["mse"]))
    if not means:
        raise UserError("expected at least one evaluation table, found none.")
    return sort_by_design(pd.concat(means, ignore_index=True), groups, ["run"]), images.table()


def sort_by_design(table: pd.DataFrame, groups: Sequence[str], then: Sequence[str]) -> pd.DataFrame:
    """Sort by share of the compared group and training set, then by the given columns, then by group in their order."""
    return table.sort_values(
        ["compared_share", "train_set", *then, "group"],
        key=lambda column: column.map({name: i for i, name in enumerate(groups)}) if column.name == "group" else column,
        ignore_index=True,
        kind="stable",
    )


def headline_table(runs: pd.DataFrame, images: pd.DataFrame, metrics: Sequence[str] = RUN_METRICS) -> pd.DataFrame:
    """Mean and standard deviation over runs, per training set, test group and metric.

    Args:
        runs: the runs table.
        images: per-image sums (`summarise`), for the count of different images.

    Returns:
        train_set, compared_share, group, metric, mean, sd (over runs; empty for one run), n_runs, n_images
        (different test images over all runs), n_rows (image evaluations).
    """
    distinct = images.groupby(level=["train_set", "group"]).size().to_dict()
    rows = []
    for key, part in runs.groupby(["train_set", "compared_share", "group"], sort=False):
        train_set, compared_share, group = key
        for metric in metrics:
            rows.append(
                {
                    "train_set": train_set,
                    "compared_share": compared_share,
                    "group": group,
                    "metric": metric,
                    "mean": part[metric].mean(),
                    "sd": part[metric].std(ddof=1) if len(part) > 1 else np.nan,
                    "n_runs": len(part),
                    "n_images": distinct[train_set, group],
                    "n_rows": int(part["n_images"].sum()),
                }
            )
    return pd.DataFrame(rows)


def condition_table(images: pd.DataFrame, groups: Sequence[str]) -> pd.DataFrame:
    """Mean MSE per condition, image-weighted over runs: every evaluation of an image counts once.

    The standard error treats the image as the unit, since the same photograph recurs across runs
    (cluster-robust variance of a mean, Liang and Zeger 1986, with the factor n / (n - 1)).

    Args:
        images: per-image sums (`summarise`).
        groups: names of the groups, in their order.

    Returns:
        train_set, compared_share, condition, group, n_images (different), n_rows (evaluations), mse, sem (empty for one
        image).
    """
    rows = []
    index = IMAGE_INDEX[:-1]
    for key, part in images.groupby(level=index, sort=False):
        n, total = part["n"].to_numpy(), part["total"].to_numpy()
        mean = total.sum() / n.sum()
        deviations = total - n * mean
        k = len(part)
        sem = np.sqrt(k / (k - 1) * np.sum(deviations**2)) / n.sum() if k > 1 else np.nan
        rows.append(
            dict(zip(index, key, strict=True)) | {"n_images": k, "n_rows": int(n.sum()), "mse": mean, "sem": sem}
        )
    return sort_by_design(pd.DataFrame(rows), groups, ["condition"])


def pooled_conditions(images: pd.DataFrame, runs: pd.DataFrame, groups: Sequence[str], level: float) -> pd.DataFrame:
    """Partially pooled mean MSE per condition, one random-intercept model per training set and group.

    The mean of an image over its runs is y = mu + u_condition + e, fitted by REML; the estimate is the best linear
    unbiased prediction mu + u (Robinson 1991), its variance tau^2 (1 - l) + (1 - l)^2 Var(mu) with the weight
    l = tau^2 / (tau^2 + s^2 / n). Figure 8 of the paper with what two images per condition can tell. That variance is
    over images, given the models; the relative variance of the mean of the R runs is added, as models differ by factors
    (without it, intervals of 95 % were seen to cover 91 to 93 %).

    Args:
        images: per-image sums (`summarise`): n and total.
        runs: train_set, group, run and mse, the mean of a run.
        groups: names of the groups, in their order.
        level: of the intervals.

    Returns:
        train_set, compared_share, condition, group, n_images, raw (mean over images), estimate, ci_low, ci_high, weight
        (l: 1 is no pooling), n_conditions, note. With fewer than three conditions, or none with two images, estimate
        and interval are empty and the note says why; with one run it says that the interval is one over images alone.
    """
    parts = []
    frame = images.reset_index()
    frame["y"] = frame["total"] / frame["n"]
    for name, share, part in by_train_set(frame):
        for group in groups:
            means = runs.loc[(runs["train_set"] == name) & (runs["group"] == group), "mse"]
            table = _pooled(part[part["group"] == group], means.to_numpy(), level)
            parts.append(table.assign(train_set=name, compared_share=share, group=group))
    columns = ["train_set", "compared_share", "condition", "group", "n_images", "raw", "estimate", "ci_low", "ci_high"]
    table = pd.concat(parts, ignore_index=True)[[*columns, "weight", "n_conditions", "note"]]
    return sort_by_design(table, groups, ["condition"])


def _pooled(part: pd.DataFrame, means: np.ndarray, level: float) -> pd.DataFrame:
    table = part.groupby("condition", sort=True)["y"].agg(n_images="size", raw="mean").reset_index()
    table["n_conditions"] = len(table)
    empty = {"estimate": np.nan, "ci_low": np.nan, "ci_high": np.nan, "weight": np.nan}
    if len(table) < 3 or table["n_images"].max() < 2:
        return table.assign(**empty, note="no pooling: it needs three conditions and one of two images")
    try:
        fit = random_intercept(part["y"].to_numpy(), np.ones((len(part), 1)), part["condition"].to_numpy())
    except NoFitError:
        return table.assign(**empty, note="no pooling: images of a condition do not differ")
    mu, tau2 = float(fit.beta[0]), fit.between
    weight = tau2 / (tau2 + fit.within / table["n_images"])
    variance = tau2 * (1 - weight) + (1 - weight) ** 2 * fit.covariance[0, 0]
    estimate = mu + weight * (table["raw"] - mu)
    several = len(means) > 1
    if several:
        variance += (estimate / means.mean()) ** 2 * means.var(ddof=1) / len(means)
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt(variance)
    notes = ["the variance between conditions is estimated as 0: all are pooled into one mean"] if tau2 == 0 else []
    notes += [] if several else ["one run: the interval is over images alone and does not know how models differ"]
    note = "; ".join(notes)
    return table.assign(estimate=estimate, ci_low=estimate - half, ci_high=estimate + half, weight=weight, note=note)


BATCH = 50  # tables that wait to be added up
IMAGE = ["train_set", "compared_share", "group", "id", "condition", "source"]


def log_error(values: pd.Series) -> np.ndarray:
    """The natural logarithm; -inf for 0, which is an error that an image can have."""
    numbers = values.to_numpy(dtype=float)
    return np.log(numbers, out=np.full(len(numbers), -np.inf), where=numbers > 0)


class Totals:
    """Numbers added up by key. Memory grows with the number of different keys, not with that of the rows."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = list(keys)
        self._parts: list[pd.DataFrame] = []

    def add(self, rows: pd.DataFrame) -> None:
        """Add rows that have the key columns, and numbers in all others."""
        self._parts.append(rows.set_index(self._keys))
        if len(self._parts) > BATCH:
            self._parts = [self.table()]

    def table(self) -> pd.DataFrame:
        """The sums, indexed by the keys and sorted by them."""
        return pd.concat(self._parts).groupby(level=self._keys, sort=True).sum()


def error_totals(models: Iterable[pd.DataFrame], pair: Pair) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The errors of all models on the images of two groups, by image over its runs and by run and stratum over images.

    Args:
        models: evaluation rows of one model each, with the columns `IMAGE`, run and mse (not negative).
        pair: the groups; images of others are left out.

    Returns:
        (images; cells), both with the columns train_set, compared_share, group, condition, source, n (rows), total (of
        mse) and log_total (of its logarithm, -inf where one is 0); images with id besides and
        one row per training set and image, cells with run and one row per run, training set and stratum.

    Raises:
        UserError: an error is negative, or a model has no test image of a group.
    """
    image_totals, cell_totals = Totals(IMAGE), Totals(["run", *(key for key in IMAGE if key != "id")])
    for every in models:
        model = of_groups(every, pair)
        where = f"training set {every['train_set'].iloc[0]}, run {every['run'].iloc[0]}"
        if not (model["mse"] >= 0).all():
            image = model.loc[~(model["mse"] >= 0)].iloc[0]
            raise UserError(f"{where}: mse of image {image['id']}: expected 0 or more, found {image['mse']}.")
        absent = sorted(set(pair) - set(model["group"]))
        if absent:
            raise UserError(f"{where}: expected {absent[0]} test images, found none.")
        rows = model[IMAGE].assign(n=1, total=model["mse"], log_total=log_error(model["mse"]))
        image_totals.add(rows)
        cell_totals.add(rows.drop(columns="id").assign(run=model["run"]))
    return image_totals.table().reset_index(), cell_totals.table().reset_index()
