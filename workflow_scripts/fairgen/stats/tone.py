"""Apparent skin tone as a continuous covariate: error against the ITA of the input."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from scipy.stats import linregress

from fairgen.stats.paired import over_runs_row
from fairgen.stats.rows import by_train_set

SPLINE_DF = 4
GRID = 41


def tone_curves(rows: pd.DataFrame, level: float) -> pd.DataFrame:
    """MSE against the ITA of the input, per training set: natural cubic spline with four degrees of freedom.

    Fitted to the mean log MSE of each image over its runs, with heteroscedasticity-robust errors (HC3); the curve is
    therefore the geometric mean of MSE, and its interval covers the choice of images. Drawn between the 2.5 %
    and 97.5 % quantiles of the ITA, beyond which few images hold it.

    Args:
        rows: evaluation rows: train_set, dark_share, run, md5hash, mse, ita_in (degrees, NaN where no skin was found).
        level: of the intervals.

    Returns:
        train_set, dark_share, ita (degrees), mse, ci_low, ci_high, n_images, n_no_skin (images left out). No rows for
        a training set with fewer than ten images or fewer than `SPLINE_DF` + 2 different values.
    """
    parts = []
    for name, share, part in by_train_set(rows):
        images = part.assign(log_mse=np.log(part["mse"])).groupby("md5hash")[["log_mse", "ita_in"]].mean()
        measured = images.dropna(subset="ita_in")
        if len(measured) < 10 or measured["ita_in"].nunique() < SPLINE_DF + 2:
            continue
        fit = smf.ols(f"log_mse ~ cr(ita_in, df={SPLINE_DF}, constraints='center')", measured).fit(cov_type="HC3")
        low, high = measured["ita_in"].quantile([0.025, 0.975])
        grid = pd.DataFrame({"ita_in": np.linspace(low, high, GRID)})
        curve = np.exp(fit.get_prediction(grid).summary_frame(alpha=1 - level))
        parts.append(
            pd.DataFrame(
                {
                    "train_set": name,
                    "dark_share": share,
                    "ita": grid["ita_in"],
                    "mse": curve["mean"].to_numpy(),
                    "ci_low": curve["mean_ci_lower"].to_numpy(),
                    "ci_high": curve["mean_ci_upper"].to_numpy(),
                    "n_images": len(measured),
                    "n_no_skin": len(images) - len(measured),
                }
            )
        )
    columns = ["train_set", "dark_share", "ita", "mse", "ci_low", "ci_high", "n_images", "n_no_skin"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def tone_slopes(rows: pd.DataFrame, ratios: Mapping[str, float], alpha: float) -> pd.DataFrame:
    """How much the log MSE changes when the input is ten degrees of ITA darker: least-squares slope per run.

    Args:
        rows: as for `tone_curves`, with group.
        ratios: n_test / n_train per training set.
        alpha: level.

    Returns:
        train_set, dark_share, group (`both`, `light`, `dark`), estimate (ratio of MSE per ten degrees darker), ci_low,
        ci_high, p (against 1, corrected t of the log over runs), n_runs, n_images, n_no_skin.
    """
    table = []
    for name, share, part in by_train_set(rows):
        for group in ("both", "light", "dark"):
            chosen = part if group == "both" else part[part["group"] == group]
            measured = chosen.dropna(subset="ita_in")
            slopes = [
                -10 * linregress(model["ita_in"], np.log(model["mse"])).slope
                for _, model in measured.groupby("run", sort=True)
                if model["ita_in"].nunique() > 1
            ]
            if not slopes:
                continue
            row = over_runs_row(np.array(slopes), ratios[name], alpha)
            row |= {column: float(np.exp(row[column])) for column in ("estimate", "ci_low", "ci_high")}
            n_images, n_measured = chosen["md5hash"].nunique(), measured["md5hash"].nunique()
            key = {"train_set": name, "dark_share": share, "group": group}
            table.append(key | row | {"n_images": n_measured, "n_no_skin": n_images - n_measured})
    columns = ["train_set", "dark_share", "group", "estimate", "ci_low", "ci_high", "p", "n_runs", "n_images"]
    return pd.DataFrame(table, columns=[*columns, "n_no_skin"])
