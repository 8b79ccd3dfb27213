"""How the gap of a study changes when near-duplicates are kept together.

    snakemake --configfile studies/pilot.yaml --config study=leaking 'splits={leakage: none}' ... -- evaluate
    snakemake --configfile studies/pilot.yaml --config study=isolated 'splits={leakage: duplicates}' ... -- evaluate
    python benchmarks/leakage_effect.py results/leaking results/isolated

For each training set the ratio of the errors of the compared group and the reference in either study, and how many
times as large it is in the second, with 95 % intervals over images crossed with models: paired by run and by those of
its test images that a run has in both. Images of one cluster of near-duplicates count together.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

from evenhand.stats.crossed import Cell, CrossedSums, crossed
from evenhand.stats.rows import read_clusters, read_evaluations

METRIC = "mse"
LEVEL = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path, nargs=2, help="folders of results; the second with duplicates.csv")
    parser.add_argument("--groups", nargs=2, default=["light", "dark"], help="the reference and the compared group")
    args = parser.parse_args()
    first, second = (read_study(folder, args.groups) for folder in args.studies)
    clusters = read_clusters(args.studies[1] / "data" / "duplicates.csv") or {}
    print(changes(first, second, args.groups, clusters).to_string(index=False, float_format="%.3f"))


def read_study(folder: Path, groups: list[str]) -> pd.DataFrame:
    """The errors of all models of a study, one row per model and test image."""
    paths = sorted(folder.glob("runs/*/run*/evaluation.parquet"))
    return pd.concat(read_evaluations(paths, groups, [METRIC]), ignore_index=True)


def changes(first: pd.DataFrame, second: pd.DataFrame, groups: list[str], clusters: dict[str, str]) -> pd.DataFrame:
    """One row per training set: the ratio in either study, and the second over the first."""
    reference, compared = groups
    both = pd.concat([first.assign(study="first"), second.assign(study="second")])
    both["cell"] = both["study"] + " " + both["train_set"]
    cells = sorted(both["cell"].unique())
    sums = CrossedSums(groups, [METRIC])
    for (_, group), rows in both.groupby(["run", "group"]):
        values = rows.pivot(index="id", columns="cell", values=METRIC).reindex(columns=cells)
        sums.add_values(str(group), [clusters.get(str(image), str(image)) for image in values.index], cells,
                        values.to_numpy()[:, :, None])  # fmt: skip
    means = both.groupby(["cell", "group", "run"])[METRIC].mean()
    runs: dict[Cell, np.ndarray] = {
        (cell, group): means[cell, group].sort_index().to_numpy() for cell in cells for group in groups
    }
    of = crossed(runs, sums.table(), METRIC, cells, groups)
    found = []
    for name in sorted(first["train_set"].unique()):
        ratios = [
            {(f"{study} {name}", compared): 1.0, (f"{study} {name}", reference): -1.0} for study in ("first", "second")
        ]
        change = ratios[1] | {cell: -weight for cell, weight in ratios[0].items()}
        row: dict[str, object] = {"train_set": name, "n_runs": len(runs[cells[0], reference])}
        for what, contrast in zip(("first", "second", "change"), (*ratios, change), strict=True):
            test = of.test(contrast, log=True)
            low, high = test.factor(LEVEL)
            row |= {what: np.exp(test.mean), f"{what}_low": low, f"{what}_high": high}
        found.append(row)
    return pd.DataFrame(found)


if __name__ == "__main__":
    main()
