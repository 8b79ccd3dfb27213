"""Colour: how reconstructions shift it, and what tones samples from the prior have."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import wasserstein_distance

from fairgen.errors import UserError
from fairgen.stats.paired import over_runs_row
from fairgen.stats.rows import GROUPS, by_train_set
from fairgen.stats.summary import sort_by_design

AXES = ("dl", "da", "db")
QUANTITIES = (*AXES, "ciede2000", "ita_shift")


def colour_run_means(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean colour shift per model and group, over the images on which skin was found.

    Args:
        rows: evaluation rows: train_set, dark_share, run, group, md5hash, ita_in, ita_out (degrees), dl, da, db
            (reconstruction minus input, CIELAB units), ciede2000; NaN where no skin was found.

    Returns:
        train_set, dark_share, run, group, n_images (measured), n_no_skin, and one column per quantity; ita_shift is
        ita_out - ita_in (negative: darker).
    """
    rows = rows.assign(ita_shift=rows["ita_out"] - rows["ita_in"])
    measured = rows[list(QUANTITIES)].notna()
    if (measured.any(axis=1) & ~measured.all(axis=1)).any():
        image = rows.loc[measured.any(axis=1) & ~measured.all(axis=1), "md5hash"].iloc[0]
        raise UserError(f"colour columns: expected all or none of them for an image; {image} has some. Evaluate again.")
    rows = rows.assign(no_skin=~measured.all(axis=1))
    by = rows.groupby(["train_set", "dark_share", "run", "group"], sort=False)
    table = by[list(QUANTITIES)].mean()
    table.insert(0, "n_images", by.size() - by["no_skin"].sum())
    table.insert(1, "n_no_skin", by["no_skin"].sum())
    lacking = table.index[table["n_images"] == 0]
    if len(lacking):
        raise UserError(f"colour: expected skin on some test image of every model; found none for {tuple(lacking[0])}.")
    return sort_by_design(table.reset_index(), ["run"])


def colour_table(run_means: pd.DataFrame, ratios: Mapping[str, float], alpha: float) -> pd.DataFrame:
    """Mean colour shift per training set and group, over runs.

    Returns:
        train_set, dark_share, group, quantity, estimate, ci_low, ci_high, p (against 0, corrected t; empty for
        ciede2000, which cannot be negative), n_runs, n_images (measured, per run, mean), n_no_skin.
    """
    table = []
    for name, share, part in by_train_set(run_means):
        for group in GROUPS:
            runs = part[part["group"] == group].sort_values("run")
            for quantity in QUANTITIES:
                row = over_runs_row(runs[quantity].to_numpy(), ratios[name], alpha)
                if quantity == "ciede2000":
                    row["p"] = np.nan
                key = {"train_set": name, "dark_share": share, "group": group, "quantity": quantity}
                counts = {"n_images": runs["n_images"].mean(), "n_no_skin": runs["n_no_skin"].mean()}
                table.append(key | row | counts)
    return pd.DataFrame(table)


def sample_table(samples: pd.DataFrame, ratios: Mapping[str, float], alpha: float) -> pd.DataFrame:
    """The apparent tone of what each model generates, against that of its training images.

    Args:
        samples: train_set, dark_share, run, source (`training`, `prior` and perhaps others such as `posterior`), ita
            (degrees, NaN where no skin was found).
        ratios: n_test / n_train per training set.
        alpha: level.

    Returns:
        train_set, dark_share, source, quantity (`wasserstein`: distance to the training images' ITA distribution in
        degrees; `ita_mean`; `ita_sd`; `skin`: fraction with skin), estimate, ci_low, ci_high (over runs), n_runs,
        n_images (with skin, per run, mean).
    """
    sources = list(dict.fromkeys(samples["source"]))
    if "training" not in sources:
        raise UserError(f"samples: expected the source `training` to compare with; found {', '.join(sources)}.")
    table = []
    for name, share, part in by_train_set(samples):
        for source in sources:
            runs = [_describe(model, source) for _, model in part.groupby("run", sort=True)]
            for quantity in ("wasserstein", "ita_mean", "ita_sd", "skin"):
                if source == "training" and quantity == "wasserstein":
                    continue
                values = np.array([run[quantity] for run in runs])
                row = over_runs_row(values[np.isfinite(values)], ratios[name], alpha)
                key = {"train_set": name, "dark_share": share, "source": source, "quantity": quantity}
                table.append(key | row | {"n_images": float(np.mean([run["n"] for run in runs]))})
    columns = ["train_set", "dark_share", "source", "quantity", "estimate", "ci_low", "ci_high", "n_runs", "n_images"]
    return pd.DataFrame(table, columns=columns)


def _describe(model: pd.DataFrame, source: str) -> dict[str, float]:
    """Tone of one model's samples of one source."""
    of_source = model.loc[model["source"] == source, "ita"]
    ita, training = of_source.dropna(), model.loc[model["source"] == "training", "ita"].dropna()
    both = len(ita) > 0 and len(training) > 0
    return {
        "n": len(ita),
        "skin": len(ita) / len(of_source) if len(of_source) else np.nan,
        "ita_mean": ita.mean() if len(ita) else np.nan,
        "ita_sd": ita.std(ddof=1) if len(ita) > 1 else np.nan,
        "wasserstein": wasserstein_distance(np.sort(ita), np.sort(training)) if both else np.nan,
    }
