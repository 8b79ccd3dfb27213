"""The gap on part of the test images: where both annotators agree on the group, or from one atlas."""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from fairgen.metadata import assign_group
from fairgen.stats.paired import over_runs_row, ratio_interval
from fairgen.stats.rows import by_train_set


def subset_gaps(
    rows: pd.DataFrame,
    chosen: pd.Series,
    subset: str,
    metrics: Collection[str],
    train_sizes: Mapping[str, float],
    alpha: float,
) -> pd.DataFrame:
    """Means, gap and ratio per training set on the chosen rows, tested over runs as in the gap table.

    Args:
        rows: evaluation rows of all models.
        chosen: whether a row is in the subset.
        subset: its name.
        metrics: columns.
        train_sizes: different images in a training set, per set.
        alpha: level.

    Returns:
        subset, train_set, dark_share, metric, n_light, n_dark (images per run, mean), mean_light, mean_dark, ratio,
        ratio_low, ratio_high, gap (in `estimate`), ci_low, ci_high, p (Nadeau-Bengio), n_runs, note. A training set
        in which some run has no image of a group in the subset has no estimate, and the note says so.
    """
    table = []
    runs = sorted(rows["run"].unique())
    for name, share, every in by_train_set(rows):
        inside = every[chosen[every.index]]
        counts = inside.groupby(["run", "group"]).size().unstack("group").reindex(runs, columns=["light", "dark"])
        counts = counts.fillna(0).astype(int)
        for metric in metrics:
            row: dict[str, object] = {"subset": subset, "train_set": name, "dark_share": share, "metric": metric}
            row |= {"n_light": counts["light"].mean(), "n_dark": counts["dark"].mean(), "n_runs": len(runs), "note": ""}
            if (counts == 0).to_numpy().any():
                table.append(row | {"note": "a run has no light or no dark image in this subset"})
                continue
            means = inside.groupby(["group", "run"])[metric].mean()
            light, dark = means["light"].to_numpy(), means["dark"].to_numpy()
            ratio = float(counts.to_numpy().max()) / train_sizes[name]
            low, high = ratio_interval(dark, light, ratio, 1 - alpha)
            row |= {"mean_light": light.mean(), "mean_dark": dark.mean()}
            row |= {
                "ratio": dark.mean() / light.mean() if light.mean() else np.nan,
                "ratio_low": low,
                "ratio_high": high,
            }
            table.append(row | over_runs_row(dark - light, ratio, alpha))
    columns = ["subset", "train_set", "dark_share", "metric", "n_light", "n_dark", "mean_light", "mean_dark", "ratio"]
    columns += ["ratio_low", "ratio_high", "estimate", "ci_low", "ci_high", "p", "n_runs", "note"]
    return pd.DataFrame(table, columns=columns).rename(columns={"estimate": "gap"})


def annotators_agree(rows: pd.DataFrame, light: Collection[int], dark: Collection[int]) -> pd.Series:
    """Whether both annotator pools put the image in its group."""
    groups = [assign_group(rows[column], light, dark) for column in ("fitzpatrick_scale", "fitzpatrick_centaur")]
    return (groups[0] == rows["group"]) & (groups[1] == rows["group"])


def subset_table(
    rows: pd.DataFrame,
    light: Collection[int],
    dark: Collection[int],
    metrics: Collection[str],
    train_sizes: Mapping[str, float],
    alpha: float,
) -> pd.DataFrame:
    """`subset_gaps` for all images, for those on which the annotators agree, and for each atlas."""
    subsets = {"all": pd.Series(True, index=rows.index), "annotators agree": annotators_agree(rows, light, dark)}
    subsets |= {f"atlas {atlas}": rows["atlas"] == atlas for atlas in sorted(rows["atlas"].unique())}
    parts = [subset_gaps(rows, chosen, name, metrics, train_sizes, alpha) for name, chosen in subsets.items()]
    return pd.concat(parts, ignore_index=True)
