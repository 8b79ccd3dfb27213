"""Means per run, per training set and per condition, accumulated over the evaluation tables one by one."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from evenhand.stats.rows import GROUPS
from evenhand.stats.totals import Totals
from evenhand.workflow.errors import UserError

RUN_METRICS = ("mse", "mse_unit", "latent_std", "kl", "psnr", "ssim", "mse_over_var", "perceptual")
# Without mse_unit, which is mse / 4: the same tests. Metrics outside stats.family get no adjusted p.
GAP_METRICS = tuple(metric for metric in RUN_METRICS if metric != "mse_unit")
IMAGE_INDEX = ["train_set", "dark_share", "label", "group", "md5hash"]


def run_means(evaluation: pd.DataFrame, metrics: Sequence[str] = RUN_METRICS) -> pd.DataFrame:
    """Means over the images of one model: one row per test group, the unit of the paper's box plots.

    Args:
        evaluation: rows of one training set and run (`read_evaluation`).
        metrics: columns to average.

    Returns:
        train_set, dark_share, run, group, n_images and one column per metric.
    """
    first = evaluation.iloc[0]
    rows = []
    for group in GROUPS:
        images = evaluation[evaluation["group"] == group]
        if images.empty:
            raise UserError(
                f"training set {first['train_set']}, run {first['run']}: expected {group} test images, found none."
            )
        key = {"train_set": first["train_set"], "dark_share": first["dark_share"], "run": first["run"], "group": group}
        rows.append(key | {"n_images": len(images)} | {name: images[name].mean() for name in metrics})
    return pd.DataFrame(rows)


def summarise(evaluations: Iterable[pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run means and per-image sums of all models, read one after the other.

    Memory grows with the number of different images and of runs, not with their product.

    Returns:
        (runs table; per-image sums of MSE: columns n, the evaluations, and total, indexed by `IMAGE_INDEX`), both
        sorted.
    """
    means: list[pd.DataFrame] = []
    images = Totals(IMAGE_INDEX)
    for evaluation in evaluations:
        means.append(run_means(evaluation))
        images.add(evaluation[IMAGE_INDEX].assign(n=1, total=evaluation["mse"]))
    if not means:
        raise UserError("expected at least one evaluation table, found none.")
    return sort_by_design(pd.concat(means, ignore_index=True), ["run"]), images.table()


def sort_by_design(table: pd.DataFrame, then: Sequence[str] = ()) -> pd.DataFrame:
    """Sort by dark share and training set, then by the given columns, light before dark."""
    order = ["dark_share", "train_set", *then, *(["group"] if "group" in table else [])]
    return table.sort_values(
        order,
        key=lambda column: column.map({name: i for i, name in enumerate(GROUPS)}) if column.name == "group" else column,
        ignore_index=True,
        kind="stable",
    )


def headline_table(runs: pd.DataFrame, images: pd.DataFrame, metrics: Sequence[str] = RUN_METRICS) -> pd.DataFrame:
    """Mean and standard deviation over runs, per training set, test group and metric.

    Args:
        runs: the runs table.
        images: per-image sums (`summarise`), for the count of different images.

    Returns:
        train_set, dark_share, group, metric, mean, sd (over runs; empty for one run), n_runs, n_images
        (different test images over all runs), n_rows (image evaluations).
    """
    distinct = images.groupby(level=["train_set", "group"]).size().to_dict()
    rows = []
    for key, part in runs.groupby(["train_set", "dark_share", "group"], sort=False):
        train_set, dark_share, group = key
        for metric in metrics:
            rows.append(
                {
                    "train_set": train_set,
                    "dark_share": dark_share,
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


def condition_table(images: pd.DataFrame) -> pd.DataFrame:
    """Mean MSE per condition, image-weighted over runs: every evaluation of an image counts once.

    The standard error treats the image as the unit, since the same photograph recurs across runs
    (cluster-robust variance of a mean, Liang and Zeger 1986, with the factor n / (n - 1)).

    Args:
        images: per-image sums (`summarise`).

    Returns:
        train_set, dark_share, label, group, n_images (different), n_rows (evaluations), mse, sem (empty
        for one image).
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
    return sort_by_design(pd.DataFrame(rows), ["label"])
