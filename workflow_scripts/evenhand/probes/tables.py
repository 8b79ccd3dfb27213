"""Summaries of the probes' scores: the poster's table, curves with the random band, paired contrasts.

A *series* is one embedding (data set, model, training set) with an attribute and a target. Its units are the means over
folds of its runs; with a single run, its folds. Units share images, so every interval has the variance
of Nadeau and Bengio (2003): n_test / n_train is that of the runs (`run_ratios`), or 1 / (folds - 1) for folds.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evenhand.probes.left_out import BESIDE, beside_the_numbers
from evenhand.stats.paired import over_runs_row
from evenhand.workflow.errors import UserError

SOURCE = ["source", "dataset", "model", "train_set"]
SERIES = [*SOURCE, "attribute", "target", "role"]
SETTING = ["probe", "removal", "fraction", "removed"]
TEST_COLUMNS = [*SERIES, "contrast", "fraction", "unit", "estimate", "ci_low", "ci_high", "p", "n_runs"]
Ratios = Mapping[tuple[str, str], float]  # n_test / n_train by source and training set
CURVE_COLUMNS = [
    *(*SERIES, *SETTING, "mean_auc", "sd_folds", "mean_macro_f1", "classes_scored", "unit"),
    *("ci_low", "ci_high", "n_runs", "n_images", "band_low", "band_high"),
]
POSTER_COLUMNS = ["Dataset", "Model", "Training set", "Attribute", "Task", *BESIDE]
SET_COLUMNS = ["source", "attribute", "other_attribute", "train_set", "other_set", "contrast"]


def average_draws(folds: pd.DataFrame) -> pd.DataFrame:
    """One row per series, run, setting and fold: the random draws of a fold are averaged."""
    keys = [*SERIES, "run", *SETTING, "fold", "folds", "classes_scored"]
    return folds.groupby(keys, dropna=False, sort=True, as_index=False)[["auc", "macro_f1", "n_test"]].mean()


def run_ratios(folds: pd.DataFrame, sizes: Mapping[str, tuple[int, int]], unseen: Collection[str]) -> Ratios:
    """n_test / n_train of the runs of every source and training set.

    Args:
        sizes: images of one test set, and different images of the training set, by training set.
        unseen: sources of all images outside the training set, of which two runs have nearly all in common: there
            n_test are the images scored, so that the ratio is the share in common over the share that is not.
    """
    scored = folds[(folds.probe == "mlp") & (folds.removal == "none")]
    images = scored.groupby(["source", "train_set", "run", "target"]).n_test.sum()
    most = images.groupby(["source", "train_set", "run"]).max().groupby(["source", "train_set"]).mean()
    ratios = {}
    for source, train_set, n in most.reset_index().itertuples(index=False, name=None):
        if train_set in sizes:
            test, train = sizes[train_set]
            ratios[source, train_set] = (n if source in unseen else test) / train
    return ratios


def ratio_of(ratios: Ratios, source: str, train_set: str) -> float:
    """n_test / n_train of the runs of a training set.

    Raises:
        UserError: it is not known; an interval that takes runs for independent would be too short.
    """
    if (source, train_set) not in ratios:
        known = ", ".join(sorted(f"{name} of {first}" for first, name in ratios)) or "none"
        raise UserError(
            f"{source}: runs of training set {train_set!r} share images, and tables/design.csv does not say how many "
            f"train and test; known are {known}"
        )
    return ratios[source, train_set]


def poster_table(folds: pd.DataFrame, counts: pd.DataFrame, fractions: Sequence[float]) -> pd.DataFrame:
    """The poster's table: AUC x 100 as mean and standard deviation over folds, a disease row below each attribute.

    With several runs the folds of all of them count. Beside the numbers stand the images scored in a run, those left
    out, the classes or labels that have no AUC, and what is kept on one side of a fold.
    """
    chosen = folds[(folds.probe == "mlp") & folds.removal.isin(["none", "top"]) & folds.fraction.isin(fractions)]
    rows = []
    # In the order of the configuration, and the attribute before the diseases.
    place: dict[object, int] = {}
    groups = chosen.groupby([*SOURCE, "attribute", "role", "target"], dropna=False, sort=False)
    for keys, part in sorted(groups, key=lambda group: (place.setdefault(group[0][:-2], len(place)), group[0][-2:])):
        series = dict(zip([*SOURCE, "attribute", "role", "target"], keys, strict=True))
        disease = series["role"] == "disease"
        row = {"Dataset": series["dataset"], "Model": series["model"], "Training set": series["train_set"]}
        row["Attribute"] = series["attribute"]
        row["Task"] = f"{series['target']}*" if disease else series["target"]
        row |= beside_the_numbers(part[part.removal == "none"], counts)
        for fraction in fractions:
            auc = 100 * part[part.fraction == fraction].auc
            row[f"{100 * fraction:g}%"] = f"{auc.mean():.1f} ± {auc.std():.1f}" if len(auc) else ""
        rows.append(row)
    return pd.DataFrame(rows, columns=[*POSTER_COLUMNS, *(f"{100 * fraction:g}%" for fraction in fractions)])


def curve_table(folds: pd.DataFrame, ratios: Ratios, alpha: float) -> pd.DataFrame:
    """AUC and macro-F1 against the removed share; for random removal the range over draws is the band.

    `sd_folds` is the standard deviation over folds within a run, averaged over runs; the interval is over
    units; `n_images` are those scored in a run, each in one fold (the mean over runs); `band_low` and `band_high` are
    the lowest and highest draw, each averaged over folds and runs.
    """
    averaged = average_draws(folds)
    draws = folds.groupby([*SERIES, *SETTING, "draw"], dropna=False).auc.mean()
    band = draws.groupby([*SERIES, *SETTING], dropna=False).agg(["min", "max"])
    bands = {keys: (low, high) for keys, low, high in zip(band.index, band["min"], band["max"], strict=True)}
    rows = []
    for keys, part in averaged.groupby([*SERIES, *SETTING], dropna=False, sort=True):
        units, ratio, unit = _units(part, ratios)
        row = dict(zip([*SERIES, *SETTING], keys, strict=True)) | {
            "mean_auc": float(part.auc.mean()),
            "sd_folds": float(part.groupby("run", dropna=False).auc.std().mean()),
            "mean_macro_f1": float(part.macro_f1.mean()),
            "classes_scored": int(part.classes_scored.min()),
            "unit": unit,
        }
        interval = over_runs_row(units, ratio, alpha) if len(units) else {}
        low, high = bands[keys]
        row |= {"ci_low": interval.get("ci_low"), "ci_high": interval.get("ci_high"), "n_runs": len(units)}
        row["n_images"] = round(float(part.groupby("run", dropna=False).n_test.sum().mean()))
        rows.append(row | {"band_low": float(low), "band_high": float(high)})
    return pd.DataFrame(rows, columns=CURVE_COLUMNS)


def contrast_units(folds: pd.DataFrame, ratios: Ratios) -> list[dict[str, object]]:
    """Values per unit of every paired contrast of the MLP probes, same folds and runs on both sides.

    `drop`: untouched less top-ranked removal; `top-minus-random` and `bottom-minus-random`: at the same
    number of removed features; `chance`: the untouched AUC itself; `leace`: after linear erasure.
    """
    averaged = average_draws(folds[folds.probe == "mlp"])
    found: list[dict[str, object]] = []
    for keys, part in averaged.groupby(SERIES, dropna=False, sort=True):
        series = dict(zip(SERIES, keys, strict=True))
        grouped = part.groupby(["removal", "fraction"])
        sides = {(str(removal), float(str(fraction))): side for (removal, fraction), side in grouped}
        full = sides["none", 0.0]

        def add(
            name: str,
            fraction: float,
            left: pd.DataFrame,
            right: pd.DataFrame | None = None,
            series: dict[str, object] = series,
        ) -> None:
            units, ratio, unit = _units(_difference(left, right), ratios)
            found.append(
                series | {"contrast": name, "fraction": fraction, "unit": unit, "values": units, "ratio": ratio}
            )

        add("chance", 0.0, full)
        for (removal, fraction), side in sorted(sides.items()):
            if removal in ("shuffled", "leace"):
                add(removal, 0.0, side)
            elif removal == "top":
                add("drop", fraction, full, side)
            if removal in ("top", "bottom", "reranked") and ("random", fraction) in sides:
                add(f"{removal}-minus-random", fraction, side, sides["random", fraction])
    return found


def contrast_table(units: Sequence[Mapping[str, object]], alpha: float) -> pd.DataFrame:
    """Estimate, interval and p of every contrast; chance and controls are tested against 0.5, differences against 0."""
    rows = []
    for entry in units:
        null = 0.5 if entry["contrast"] in ("chance", "shuffled", "leace") else 0.0
        values, ratio = np.asarray(entry["values"]), float(str(entry["ratio"]))
        rows.append({**entry, **over_runs_row(values, ratio, alpha, null)})
    return pd.DataFrame(rows, columns=TEST_COLUMNS)


def set_table(folds: pd.DataFrame, ratios: Ratios, alpha: float) -> pd.DataFrame:
    """Untouched AUC compared across training sets (paired by run), and between attributes within a set.

    Does a model trained on one group alone hide or expose who is seen? And is one attribute read off more easily?
    """
    averaged = average_draws(folds[(folds.probe == "mlp") & (folds.removal == "none") & (folds.role == "attribute")])
    runs = averaged.groupby(["source", "train_set", "attribute", "run"], dropna=False).auc.mean()
    rows = []
    for source in sorted(set(averaged.source)):
        means = runs.loc[source].unstack("run")
        pairs = [(a, b) for a in means.index for b in means.index if a < b]
        for (set_a, name_a), (set_b, name_b) in pairs:
            across, within = name_a == name_b, set_a == set_b
            if not (across or within):
                continue
            values = (means.loc[(set_b, name_b)] - means.loc[(set_a, name_a)]).dropna().to_numpy()
            if len(values) < 2:
                continue
            ratio = max(ratio_of(ratios, source, name) for name in (set_a, set_b))
            row = dict(zip(SET_COLUMNS, (source, name_a, name_b, set_a, set_b), strict=False))
            row["contrast"] = f"{set_b} minus {set_a}" if across else f"{name_b} minus {name_a}"
            rows.append(row | over_runs_row(values, ratio, alpha))
    return pd.DataFrame(rows, columns=[*SET_COLUMNS, "estimate", "ci_low", "ci_high", "p", "n_runs"])


def _difference(left: pd.DataFrame, right: pd.DataFrame | None) -> pd.DataFrame:
    if right is None:
        return left
    keys = [*SOURCE, "run", "fold", "folds"]
    both = left.merge(right, on=keys, suffixes=("", "_right"), validate="one_to_one")
    return both.assign(auc=both.auc - both.auc_right)


def _units(part: pd.DataFrame, ratios: Ratios) -> tuple[NDArray[np.float64], float, str]:
    """Values per unit, n_test / n_train between units, and what a unit is."""
    if part.run.nunique() > 1:
        values = part.groupby("run").auc.mean().dropna()
        return values.to_numpy(), ratio_of(ratios, part.source.iloc[0], part.train_set.iloc[0]), "run"
    return part.auc.dropna().to_numpy(), 1 / (int(part.folds.iloc[0]) - 1), "fold"
