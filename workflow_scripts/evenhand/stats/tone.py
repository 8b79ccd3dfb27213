"""Apparent skin tone and colour: error against tone, how reconstructions shift colour, what tones samples have."""

import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from scipy.stats import linregress, wasserstein_distance

from evenhand.evaluation.measures import MEASURES
from evenhand.stats.crossed import contrast_row, crossed
from evenhand.stats.paired import joined, over_runs_row
from evenhand.stats.rows import by_train_set, set_and_share
from evenhand.stats.summary import Totals, log_error, sort_by_design
from evenhand.workflow.errors import UserError

SPLINE_DF = 4
GRID = 41
ROUNDING = 1e-12  # log errors that differ by no more are the same
NO_CURVE = "no curve: "
EVERY = "all"  # in place of a group: the images of all groups
NO_SLOPE = "skin on fewer than two images of different tone, or an error of 0, which has no logarithm"


def tone_totals(models: Iterable[pd.DataFrame], groups: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What curves and slopes need, from one model after the other.

    Args:
        models: evaluation rows of one model each: train_set, compared_share, run, group, id, mse, ita_in (degrees,
            NaN where no skin was found).
        groups: names of the groups.

    Returns:
        (images: train_set, compared_share, group, id, log_mse and ita_in, means over the runs of an image; runs:
        train_set, compared_share, run, group (`EVERY`, or one of `groups`), slope (of the log error when the input is
        ten degrees darker) for each model; NaN where it is not defined).
    """
    totals = Totals(["train_set", "compared_share", "group", "id"])
    slopes = []
    for model in models:
        rows = model[["train_set", "compared_share", "group", "id", "ita_in"]]
        rows = rows.assign(log_mse=log_error(model["mse"]))
        totals.add(rows.assign(n=1, n_skin=rows["ita_in"].notna().astype(int)))
        name, share = set_and_share(model)
        measured = rows[rows["ita_in"].notna()]
        for group in (EVERY, *groups):
            part = measured if group == EVERY else measured[measured["group"] == group]
            slope = np.nan
            if part["ita_in"].nunique() > 1 and np.isfinite(part["log_mse"]).all():
                # Errors that do not differ have the slope 0, and not that of their rounding.
                flat = np.ptp(part["log_mse"]) <= ROUNDING
                slope = 0.0 if flat else -10 * linregress(part["ita_in"], part["log_mse"]).slope
            slopes.append([name, share, model["run"].iloc[0], group, slope])
    images = totals.table().reset_index()
    images["ita_in"] /= images["n_skin"].where(images["n_skin"] > 0)
    images["log_mse"] /= images["n"]
    columns = ["train_set", "compared_share", "run", "group", "slope"]
    return images.drop(columns=["n", "n_skin"]), pd.DataFrame(slopes, columns=columns)


def tone_curves(images: pd.DataFrame, level: float) -> pd.DataFrame:
    """MSE against the ITA of the input, per training set: natural cubic spline with four degrees of freedom.

    Fitted to the mean log MSE of each image over its runs, with heteroscedasticity-robust errors (HC3); the curve is
    therefore the geometric mean of MSE, and its interval covers the choice of images. Drawn between the 2.5 %
    and 97.5 % quantiles of the ITA, beyond which few images hold it.

    Args:
        images: of all training sets (`tone_totals`).
        level: of the intervals.

    Returns:
        train_set, compared_share, ita (degrees), mse, ci_low, ci_high, n_images, n_no_skin (images left out), warnings
        (what the fit complained of). A training set without a curve has one row, and warnings say why.
    """
    parts = []
    for name, share, part in by_train_set(images):
        measured = part[part["ita_in"].notna()].sort_values("id")
        counts = {"n_images": len(measured), "n_no_skin": len(part) - len(measured)}
        parts.append(_curve(measured, level).assign(train_set=name, compared_share=share, **counts))
    columns = ["train_set", "compared_share", "ita", "mse", "ci_low", "ci_high", "n_images", "n_no_skin", "warnings"]
    return pd.concat(parts, ignore_index=True)[columns]


def _curve(measured: pd.DataFrame, level: float) -> pd.DataFrame:
    """ita, mse, ci_low, ci_high and warnings of one training set; one row without numbers where there is no curve."""
    reason = ""
    if len(measured) < 10 or measured["ita_in"].nunique() < SPLINE_DF + 2:
        reason = f"fewer than 10 images with skin, or fewer than {SPLINE_DF + 2} different tones"
    elif not np.isfinite(measured["log_mse"]).all():
        reason = "an image has an error of 0, which has no logarithm"
    elif np.ptp(measured["log_mse"]) <= ROUNDING:
        reason = "every image has the same error"
    if reason:
        return pd.DataFrame(
            [dict.fromkeys(["ita", "mse", "ci_low", "ci_high"], np.nan) | {"warnings": NO_CURVE + reason}]
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = smf.ols(f"log_mse ~ cr(ita_in, df={SPLINE_DF}, constraints='center')", measured).fit(cov_type="HC3")
        low, high = measured["ita_in"].quantile([0.025, 0.975])
        grid = pd.DataFrame({"ita_in": np.linspace(low, high, GRID)})
        curve = np.exp(fit.get_prediction(grid).summary_frame(alpha=1 - level))
    complaints = list(dict.fromkeys(str(one.message) for one in caught))
    if not np.isfinite(curve[["mean", "mean_ci_lower", "mean_ci_upper"]]).all(axis=None):
        complaints.append("no interval: an image alone decides on a part of the curve")
    return pd.DataFrame(
        {
            "ita": grid["ita_in"],
            "mse": curve["mean"].to_numpy(),
            "ci_low": curve["mean_ci_lower"].to_numpy(),
            "ci_high": curve["mean_ci_upper"].to_numpy(),
            "warnings": joined(*complaints),
        }
    )


def tone_slopes(
    images: pd.DataFrame, runs: pd.DataFrame, groups: Sequence[str], ratios: Mapping[str, float], alpha: float
) -> pd.DataFrame:
    """How much the log MSE changes when the input is ten degrees of ITA darker: least-squares slope per run.

    Args:
        images: of all training sets (`tone_totals`).
        runs: slopes of all models (`tone_totals`).
        groups: names of the groups, in their order.
        ratios: n_test / n_train per training set.
        alpha: level.

    Returns:
        train_set, compared_share, group (`EVERY`, or one of `groups`), estimate (ratio of MSE per ten degrees darker),
        ci_low, ci_high, p (against 1, corrected t of the log over runs), n_runs, n_images, n_no_skin, note (why a
        number is missing).
    """
    table = []
    for name, share, part in by_train_set(runs):
        of_set = images[images["train_set"] == name]
        for group in (EVERY, *groups):
            slopes = part.loc[part["group"] == group].sort_values("run")["slope"].to_numpy()
            row = over_runs_row(slopes, ratios[name], alpha, missing=NO_SLOPE)
            row |= {column: float(np.exp(row[column])) for column in ("estimate", "ci_low", "ci_high")}
            tones = of_set["ita_in"] if group == EVERY else of_set.loc[of_set["group"] == group, "ita_in"]
            key = {"train_set": name, "compared_share": share, "group": group}
            table.append(key | row | {"n_images": tones.notna().sum(), "n_no_skin": tones.isna().sum()})
    columns = ["train_set", "compared_share", "group", "estimate", "ci_low", "ci_high", "p", "n_runs", "n_images"]
    return pd.DataFrame(table, columns=[*columns, "n_no_skin", "note"])


AXES = ("dl", "da", "db")  # of CIELAB
COLOURS = tuple(name for name, measure in MEASURES.items() if measure.table == "colour_runs")
QUANTITIES = (*COLOURS, "ita_shift")
# Those that cannot be negative.
DIFFERENCES = tuple(name for name in COLOURS if MEASURES[name].better == "lower")
# Quantities of samples, and when one is not defined.
UNDEFINED = {
    "wasserstein": "no skin was found on any of its images, or on any training image",
    "ita_mean": "no skin was found on any of its images",
    "ita_sd": "skin was found on fewer than two of its images",
    "skin": "no images",
}
NO_SKIN = "no skin was found on any test image of this group"


def colour_run_means(rows: pd.DataFrame, groups: Sequence[str]) -> pd.DataFrame:
    """Mean colour shift per model and group, over the images on which skin was found.

    Args:
        rows: evaluation rows: train_set, compared_share, run, group, id, ita_in, ita_out (degrees), dl, da, db
            (reconstruction minus input, CIELAB units), ciede2000 and further `COLOURS`, ita_shift (ita_out - ita_in,
            negative: darker); NaN where no skin was found.
        groups: names of the groups, in their order.

    Returns:
        train_set, compared_share, run, group, n_images (measured), n_no_skin, one column per quantity (NaN where no
        image was measured), and note, which then says so.
    """
    measured = rows[list(QUANTITIES)].notna()
    if (measured.any(axis=1) & ~measured.all(axis=1)).any():
        image = rows.loc[measured.any(axis=1) & ~measured.all(axis=1), "id"].iloc[0]
        raise UserError(f"colour columns: expected all or none of them for an image; {image} has some.")
    rows = rows.assign(no_skin=~measured.all(axis=1))
    by = rows.groupby(["train_set", "compared_share", "run", "group"], sort=False)
    table = by[list(QUANTITIES)].mean()
    table.insert(0, "n_images", by.size() - by["no_skin"].sum())
    table.insert(1, "n_no_skin", by["no_skin"].sum())
    table["note"] = np.where(table["n_images"] == 0, NO_SKIN, "")
    return sort_by_design(table.reset_index(), groups, ["run"])


def colour_table(
    run_means: pd.DataFrame, covariances: pd.DataFrame, groups: Sequence[str], alpha: float
) -> pd.DataFrame:
    """Mean colour shift per training set and group, over images and runs.

    Args:
        run_means: `colour_run_means` of all models.
        covariances: of these means (`CrossedSums.table`).
        groups: names of the groups, in their order.
        alpha: level.

    Returns:
        train_set, compared_share, group, quantity, estimate, ci_low, ci_high, p (against 0; empty for `DIFFERENCES`),
        n_runs, n_images (measured, per run, mean), n_no_skin, covers, note (why a number is missing).
    """
    table = []
    for group in groups:
        of_group = run_means[run_means["group"] == group].sort_values("run")
        sets = list(by_train_set(of_group))
        # Skin is looked for on the input: a run without any has none for any training set.
        known = {name: part[part["n_images"] > 0] for name, _, part in sets}
        for quantity in QUANTITIES:
            runs = {(name, group): part[quantity].to_numpy() for name, part in known.items()}
            of = crossed(runs, covariances, quantity, list(known), [group])
            for name, share, part in sets:
                lost = len(part) - len(known[name])
                left_out = f"{lost} of {len(part)} runs left out: {NO_SKIN}" if lost else ""
                row: dict[str, object] = {"n_runs": 0, "note": left_out}
                if len(known[name]):
                    row = contrast_row(of.test({(name, group): 1.0}), alpha)
                    row["note"] = joined(left_out, str(row["note"]))
                if quantity in DIFFERENCES:
                    row["p"] = np.nan
                key = {"train_set": name, "compared_share": share, "group": group, "quantity": quantity}
                counts = {"n_images": part["n_images"].mean(), "n_no_skin": part["n_no_skin"].mean()}
                table.append(key | row | counts)
    columns = ["train_set", "compared_share", "group", "quantity", "estimate", "ci_low", "ci_high", "p", "n_runs"]
    found = pd.DataFrame(table, columns=[*columns, "n_images", "n_no_skin", "covers", "note"])
    return sort_by_design(found, groups, [])


def describe_samples(model: pd.DataFrame) -> pd.DataFrame:
    """The apparent tone of what one model generates, against that of its training images.

    Args:
        model: samples.parquet of one model: train_set, compared_share, run, sample_of (`training`, `prior` and
            perhaps others such as `posterior`), ita (degrees, NaN where too few pixels are skin).

    Returns:
        train_set, compared_share, run, sample_of, n_images (with skin), skin (their fraction), ita_mean, ita_sd,
        wasserstein (distance to the training images' distribution of ITA, degrees; NaN for these themselves).
    """
    kinds = list(dict.fromkeys(model["sample_of"]))
    if "training" not in kinds:
        raise UserError(f"samples: expected `training` in sample_of to compare with; found {', '.join(kinds)}.")
    training = np.sort(model.loc[model["sample_of"] == "training", "ita"].dropna())
    rows = []
    for kind in kinds:
        every = model.loc[model["sample_of"] == kind, "ita"]
        ita = np.sort(every.dropna())
        comparable = kind != "training" and len(ita) > 0 and len(training) > 0
        rows.append(
            {
                **{key: model[key].iloc[0] for key in ("train_set", "compared_share", "run")},
                "sample_of": kind,
                "n_images": len(ita),
                "skin": len(ita) / len(every),
                "ita_mean": ita.mean() if len(ita) else np.nan,
                "ita_sd": ita.std(ddof=1) if len(ita) > 1 else np.nan,
                "wasserstein": wasserstein_distance(ita, training) if comparable else np.nan,
            }
        )
    return pd.DataFrame(rows)


def sample_table(models: pd.DataFrame, ratios: Mapping[str, float], alpha: float) -> pd.DataFrame:
    """`describe_samples` of all models, averaged over the starts of a run and over runs.

    Args:
        models: `describe_samples` of every model.
        ratios: n_test / n_train per training set.
        alpha: level.

    Returns:
        train_set, compared_share, sample_of, quantity (`wasserstein`, `ita_mean`, `ita_sd`, `skin`), estimate, ci_low,
        ci_high (over the runs in which it is defined), n_runs, n_images (with skin, per run, mean), note (why a number
        is missing).
    """
    table = []
    for name, share, part in by_train_set(models):
        for kind in sorted(part["sample_of"].unique()):
            runs = part[part["sample_of"] == kind].groupby("run")[[*UNDEFINED, "n_images"]].mean(skipna=False)
            for quantity, missing in UNDEFINED.items():
                if kind == "training" and quantity == "wasserstein":
                    continue
                row = over_runs_row(runs[quantity].to_numpy(), ratios[name], alpha, missing=missing)
                key = {"train_set": name, "compared_share": share, "sample_of": kind, "quantity": quantity}
                table.append(key | row | {"n_images": runs["n_images"].mean()})
    columns = ["train_set", "compared_share", "sample_of", "quantity", "estimate", "ci_low", "ci_high", "n_runs"]
    return pd.DataFrame(table, columns=[*columns, "n_images", "note"])
