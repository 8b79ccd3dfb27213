"""Colour: how reconstructions shift it, and what tones samples from the prior have."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import wasserstein_distance

from evenhand.stats.paired import over_runs_row
from evenhand.stats.rows import by_train_set
from evenhand.stats.summary import sort_by_design
from evenhand.workflow.errors import UserError

AXES = ("dl", "da", "db")
QUANTITIES = (*AXES, "ciede2000", "ita_shift")
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
        rows: evaluation rows: train_set, compared_share, run, group, md5hash, ita_in, ita_out (degrees), dl, da, db
            (reconstruction minus input, CIELAB units), ciede2000; NaN where no skin was found.
        groups: names of the groups, in their order.

    Returns:
        train_set, compared_share, run, group, n_images (measured), n_no_skin, one column per quantity (NaN where no
        image was measured), and note, which then says so; ita_shift is ita_out - ita_in (negative: darker).
    """
    rows = rows.assign(ita_shift=rows["ita_out"] - rows["ita_in"])
    measured = rows[list(QUANTITIES)].notna()
    if (measured.any(axis=1) & ~measured.all(axis=1)).any():
        image = rows.loc[measured.any(axis=1) & ~measured.all(axis=1), "md5hash"].iloc[0]
        raise UserError(f"colour columns: expected all or none of them for an image; {image} has some.")
    rows = rows.assign(no_skin=~measured.all(axis=1))
    by = rows.groupby(["train_set", "compared_share", "run", "group"], sort=False)
    table = by[list(QUANTITIES)].mean()
    table.insert(0, "n_images", by.size() - by["no_skin"].sum())
    table.insert(1, "n_no_skin", by["no_skin"].sum())
    table["note"] = np.where(table["n_images"] == 0, NO_SKIN, "")
    return sort_by_design(table.reset_index(), groups, ["run"])


def colour_table(
    run_means: pd.DataFrame, groups: Sequence[str], ratios: Mapping[str, float], alpha: float
) -> pd.DataFrame:
    """Mean colour shift per training set and group, over runs.

    Returns:
        train_set, compared_share, group, quantity, estimate, ci_low, ci_high, p (against 0, corrected t; empty for
        ciede2000, which cannot be negative), n_runs, n_images (measured, per run, mean), n_no_skin, note (why a number
        is missing).
    """
    table = []
    for name, share, part in by_train_set(run_means):
        for group in groups:
            runs = part[part["group"] == group].sort_values("run")
            for quantity in QUANTITIES:
                row = over_runs_row(runs[quantity].to_numpy(), ratios[name], alpha, missing=NO_SKIN)
                if quantity == "ciede2000":
                    row["p"] = np.nan
                key = {"train_set": name, "compared_share": share, "group": group, "quantity": quantity}
                counts = {"n_images": runs["n_images"].mean(), "n_no_skin": runs["n_no_skin"].mean()}
                table.append(key | row | counts)
    columns = ["train_set", "compared_share", "group", "quantity", "estimate", "ci_low", "ci_high", "p", "n_runs"]
    return pd.DataFrame(table, columns=[*columns, "n_images", "n_no_skin", "note"])


def describe_samples(model: pd.DataFrame) -> pd.DataFrame:
    """The apparent tone of what one model generates, against that of its training images.

    Args:
        model: samples.parquet of one model: train_set, compared_share, run, source (`training`, `prior` and perhaps
            others such as `posterior`), ita (degrees, NaN where too few pixels are skin).

    Returns:
        train_set, compared_share, run, source, n_images (with skin), skin (their fraction), ita_mean, ita_sd,
        wasserstein (distance to the training images' distribution of ITA, degrees; NaN for these themselves).
    """
    sources = list(dict.fromkeys(model["source"]))
    if "training" not in sources:
        raise UserError(f"samples: expected the source `training` to compare with; found {', '.join(sources)}.")
    training = np.sort(model.loc[model["source"] == "training", "ita"].dropna())
    rows = []
    for source in sources:
        every = model.loc[model["source"] == source, "ita"]
        ita = np.sort(every.dropna())
        comparable = source != "training" and len(ita) > 0 and len(training) > 0
        rows.append(
            {
                **{key: model[key].iloc[0] for key in ("train_set", "compared_share", "run")},
                "source": source,
                "n_images": len(ita),
                "skin": len(ita) / len(every),
                "ita_mean": ita.mean() if len(ita) else np.nan,
                "ita_sd": ita.std(ddof=1) if len(ita) > 1 else np.nan,
                "wasserstein": wasserstein_distance(ita, training) if comparable else np.nan,
            }
        )
    return pd.DataFrame(rows)


def sample_table(models: pd.DataFrame, ratios: Mapping[str, float], alpha: float) -> pd.DataFrame:
    """`describe_samples` of all models, averaged over runs.

    Args:
        models: `describe_samples` of every model.
        ratios: n_test / n_train per training set.
        alpha: level.

    Returns:
        train_set, compared_share, source, quantity (`wasserstein`, `ita_mean`, `ita_sd`, `skin`), estimate, ci_low,
        ci_high (over the runs in which it is defined), n_runs, n_images (with skin, per run, mean), note (why a number
        is missing).
    """
    table = []
    for name, share, part in by_train_set(models):
        for source in sorted(part["source"].unique()):
            runs = part[part["source"] == source].sort_values("run")
            for quantity, missing in UNDEFINED.items():
                if source == "training" and quantity == "wasserstein":
                    continue
                row = over_runs_row(runs[quantity].to_numpy(), ratios[name], alpha, missing=missing)
                key = {"train_set": name, "compared_share": share, "source": source, "quantity": quantity}
                table.append(key | row | {"n_images": runs["n_images"].mean()})
    columns = ["train_set", "compared_share", "source", "quantity", "estimate", "ci_low", "ci_high", "n_runs"]
    return pd.DataFrame(table, columns=[*columns, "n_images", "note"])
