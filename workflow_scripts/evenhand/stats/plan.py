"""What a design can find: power before anything is trained, from variance components of a pilot or stated defaults."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from evenhand.stats.claims import named_sets
from evenhand.stats.crossed import Cell, Crossed
from evenhand.stats.gaps import RunTable
from evenhand.stats.paired import Planned
from evenhand.workflow.errors import UserError

# Contrasts of log errors: (claims, words, cells of either group, whether they are of one training set).
CONTRASTS = {
    "C2": "gap under one training set",
    "C3, C4": "a group under one training set against the other under another",
    "C1": "change of a group from one training set to another",
}


@dataclass(frozen=True)
class Components:
    """Standard deviations of log errors: images, models on both groups alike and on each group, and the rest."""

    image: float
    model: float
    model_group: float
    rest: float


@dataclass(frozen=True)
class Size:
    """Sizes of a design.

    runs, test_size (images of a group), pools (images of the groups), sets (training sets), starts (models on one),
    shared (fraction of their training images that two runs have in common, mean over training sets).
    """

    runs: int
    test_size: int
    pools: tuple[int, int]
    sets: int
    starts: int = 1
    shared: float = 0.0


def pilot_components(table: RunTable, starts: int = 1) -> Components:
    """The components of a pilot, from its covariances, relative to the mean errors.

    Args:
        table: with the metric mse.
        starts: of which its runs are means; models are taken to differ by their starts.

    Raises:
        UserError: it lacks one of the paper's A, B and C, or has one run.
    """
    names, reason = named_sets(table, "A", "B", "C")
    if reason or len(table.runs) < 2:
        raise UserError(f"plan.pilot: {reason or 'one run does not tell how models differ'}.")
    a, b, c = names
    reference, compared = table.pair
    of, n = table.crossed["mse"], table.test_sizes[b]
    gap = of.test({(b, compared): 1.0, (b, reference): -1.0}, log=True)
    change = of.test({(c, compared): 1.0, (a, compared): -1.0}, log=True)
    rest = change.within * n / 2
    image = max(gap.within * n / 2 - rest, 0.0)
    group = gap.models * gap.n * starts / 2
    both = max(change.models * change.n * starts / 2 - group, 0.0)
    # Of relative errors; the logarithm's variance is smaller where it is large.
    return Components(math.sqrt(math.log1p(image)), math.sqrt(both), math.sqrt(group), math.sqrt(math.log1p(rest)))


def start_table(tables: Sequence[RunTable]) -> pd.DataFrame:
    """What models differ by, per training set, group and metric, and what of it comes from where.

    Standard deviations, as fractions of the mean error, pooled over training sets like those of the tests.

    Args:
        tables: run means of pairs of groups, of several starts; a group that is in two of them has one row.

    Returns:
        The columns of schemas/tables.yaml under `starts`.
    """
    rows: dict[tuple[str, str, str], dict[str, object]] = {}
    for table in tables:
        for metric, of in table.crossed.items():
            for cell, means in table.values[metric].items():
                name, group = cell
                row: dict[str, object] = {"train_set": name, "compared_share": table.shares[name], "group": group}
                row |= {"metric": metric, "mean": means.mean(), "n_runs": len(means), "shared": table.shared[name]}
                rows.setdefault((name, group, metric), row | _start_parts(of, cell))
    columns = ["train_set", "compared_share", "group", "metric", "mean", "sd_starts", "sd_runs", "shared", "se_shared"]
    return pd.DataFrame(rows.values(), columns=[*columns, "n_runs", "n_starts", "note"])


def _start_parts(of: Crossed, cell: Cell) -> dict[str, object]:
    if not of.starts:
        return {"note": "runs that differ in none of their training images, or one run, do not tell what these do"}
    omega, means = of.weights({cell: 1.0}), of.runs.mean(axis=0)
    positive = bool((of.runs > 0).all())  # as `Crossed.test` has it
    scale, unit = means if positive else np.ones_like(means), 1.0 if positive else abs(float(omega @ means))
    if unit == 0:
        return {"note": "the mean is 0"}
    starts, runs = of.starts.between(omega, scale).models, of.between_runs(omega, scale)
    beyond = max(runs.models - starts / of.starts.n, 0.0)
    shared = of.starts.shared_part(omega, scale, runs, runs.df > len(of.runs) - 1)
    parts = {"sd_starts": starts, "sd_runs": beyond, "se_shared": shared}
    return {name: math.sqrt(part) / unit for name, part in parts.items()} | {"n_starts": of.starts.n, "note": ""}


def planned(contrast: str, size: Size, of: Components) -> Planned:
    """What a design will know of a log ratio near 0.

    Images of a group are drawn anew in each run from its pool: two runs have n / N of them in common. Models are taken
    to differ by their starts; with several, intervals carry what these leave possible of shared training images
    (`Starts.shared_part`), and the design pays for that.
    """
    image, rest = math.expm1(of.image**2), math.expm1(of.rest**2)
    n, runs = size.test_size, size.runs
    paired = contrast == "C1"
    rest /= size.starts
    within = 2 * rest / n if paired else 2 * (image + rest) / n
    common = 0.0 if paired else sum(image / pool for pool in size.pools)
    models = 2 * (of.model_group**2 + (0.0 if contrast == "C2" else of.model**2)) / size.starts
    # The runs of all training sets tell how models differ; a contrast of two sets leaves one of them out.
    df_pooled = (runs - 1) * max(size.sets - (contrast != "C2"), 1)
    images = (within + (runs - 1) * common) / runs
    if size.starts > 1 and size.shared < 1:
        error = 2 * (models + within - common) ** 2 / df_pooled
        error += 2 * models**2 / (runs * (size.starts - 1) * size.sets)
        images += size.shared / (1 - size.shared) * min(models, math.sqrt(error))
    return Planned(runs, images, models, within - common, float(n), runs - 1, df_pooled)


def plan_table(size: Size, of: Components, alpha: float) -> pd.DataFrame:
    """The smallest ratio found with 80 % power, for the design and for what each doubling makes of it.

    Returns:
        design (as configured, twice the runs ...), runs, starts, models (trainings), test_size, claims, contrast,
        ratio, se_images, se_models (standard errors of the log ratio).
    """
    designs: Mapping[str, Size] = {
        "as configured": size,
        "twice the runs": replace(size, runs=2 * size.runs),
        "four times the runs": replace(size, runs=4 * size.runs),
        "twice the starts": replace(size, starts=2 * size.starts),
        "twice the test images": replace(size, test_size=2 * size.test_size),
        "twice runs and test images": replace(size, runs=2 * size.runs, test_size=2 * size.test_size),
    }
    rows = []
    for name, changed in designs.items():
        if changed.test_size > min(changed.pools):
            continue
        for claims, contrast in CONTRASTS.items():
            test = planned(claims, changed, of)
            rows.append(
                {
                    **{"design": name, "runs": changed.runs, "starts": changed.starts},
                    **{"models": changed.runs * changed.starts * changed.sets, "test_size": changed.test_size},
                    **{"claims": claims, "contrast": contrast, "ratio": math.exp(test.detectable(alpha, 2))},
                    **{"se_images": math.sqrt(test.images), "se_models": math.sqrt(test.models)},
                }
            )
    return pd.DataFrame(rows)


def smallest_ratios(sizes: Sequence[Size], contrast: str, of: Components, alpha: float) -> list[float]:
    """The smallest ratio found with 80 % power by each design."""
    return [math.exp(planned(contrast, size, of).detectable(alpha, 2)) for size in sizes]
