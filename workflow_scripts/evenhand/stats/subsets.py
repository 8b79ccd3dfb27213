"""The gap on part of the test images: where both annotators agree on the group, or from one atlas."""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from evenhand.data.metadata import SKIN_TYPE_COLUMNS, assign_group
from evenhand.stats.paired import joined, over_runs_row, ratio_interval, ratio_note
from evenhand.stats.rows import GROUPS, by_train_set


def annotators_agree(rows: pd.DataFrame, light: Collection[int], dark: Collection[int]) -> pd.Series:
    """Whether both annotator pools put the image in its group."""
    groups = [assign_group(rows[column], light, dark) for column in SKIN_TYPE_COLUMNS]
    return (groups[0] == rows["group"]) & (groups[1] == rows["group"])


def subset_means(
    model: pd.DataFrame, light: Collection[int], dark: Collection[int], metrics: Collection[str]
) -> pd.DataFrame:
    """Means of one model on all images, on those on which the annotators agree, and on those of each atlas.

    Args:
        model: evaluation rows of one model: train_set, dark_share, run, group, fitzpatrick_scale, fitzpatrick_centaur,
            atlas and the metrics.
        light: skin types of the light group.
        dark: skin types of the dark group.
        metrics: columns.

    Returns:
        subset, train_set, dark_share, run, group, n (images) and the metrics; no row where there is no image.
    """
    subsets = {"all": pd.Series(True, index=model.index), "annotators agree": annotators_agree(model, light, dark)}
    subsets |= {f"atlas {atlas}": model["atlas"] == atlas for atlas in sorted(model["atlas"].unique())}
    parts = []
    for subset, chosen in subsets.items():
        by = model[chosen].groupby(["train_set", "dark_share", "run", "group"])
        means = by[list(metrics)].mean().assign(n=by.size()).reset_index()
        parts.append(means.assign(subset=subset))
    return pd.concat(parts, ignore_index=True)


def subset_table(
    means: pd.DataFrame, metrics: Collection[str], ratios: Mapping[str, float], alpha: float
) -> pd.DataFrame:
    """Means, gap and ratio per subset and training set, tested over runs as in the gap table.

    Args:
        means: `subset_means` of all models.
        metrics: columns.
        ratios: n_test / n_train per training set. That of the whole test sets: two runs have the same part of a
            subset's images in common as of all images, however small the subset.
        alpha: level.

    Returns:
        subset, train_set, dark_share, metric, n_light, n_dark (images per run, mean), mean_light, mean_dark, ratio,
        ratio_low, ratio_high, gap, ci_low, ci_high, p (Nadeau-Bengio), n_runs, note (why a number is missing). A
        training set in which some run has no image of a group in the subset has no estimate.
    """
    found = set(means["subset"])
    agreed = ["annotators agree"] if "annotators agree" in found else []  # not where nobody else gave skin types
    atlases = sorted(found - {"all", "annotators agree"})
    atlases = atlases if len(atlases) > 1 else []  # of one alone, the subset is all images
    table = []
    for subset in ("all", *agreed, *atlases):
        for name, share, every in by_train_set(means):
            runs = sorted(every["run"].unique())
            inside = every[every["subset"] == subset].set_index(["group", "run"])
            counts = inside["n"].reindex(pd.MultiIndex.from_product([GROUPS, runs]), fill_value=0)
            for metric in metrics:
                row: dict[str, object] = {"subset": subset, "train_set": name, "dark_share": share, "metric": metric}
                row |= {f"n_{group}": counts[group].mean() for group in GROUPS} | {"n_runs": len(runs), "note": ""}
                if (counts == 0).any():
                    table.append(row | {"note": "a run has no light or no dark image in this subset"})
                    continue
                light, dark = (inside.loc[group, metric].sort_index().to_numpy() for group in GROUPS)
                low, high = ratio_interval(dark, light, ratios[name], 1 - alpha)
                row |= {"mean_light": light.mean(), "mean_dark": dark.mean()}
                row |= {"ratio": dark.mean() / light.mean() if light.mean() else np.nan}
                row |= {"ratio_low": low, "ratio_high": high}
                row |= over_runs_row(dark - light, ratios[name], alpha)
                row["note"] = joined(str(row["note"]), ratio_note(dark, light, low))
                table.append(row)
    columns = ["subset", "train_set", "dark_share", "metric", "n_light", "n_dark", "mean_light", "mean_dark", "ratio"]
    columns += ["ratio_low", "ratio_high", "estimate", "ci_low", "ci_high", "p", "n_runs", "note"]
    return pd.DataFrame(table, columns=columns).rename(columns={"estimate": "gap"})
