"""What a design can find: power before anything is trained, from variance components of a pilot or stated defaults."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from evenhand.stats.gaps import RunTable, named_sets
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
    """Sizes of a design: runs, test images of a group, images in the smaller and the larger pool, training sets."""

    runs: int
    test_size: int
    pools: tuple[int, int]
    sets: int


def pilot_components(table: RunTable) -> Components:
    """The components of a pilot, from its covariances, relative to the mean errors.

    Args:
        table: with the metric mse.

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
    group = gap.models * gap.n / 2
    both = max(change.models * change.n / 2 - group, 0.0)
    # Of relative errors; the logarithm's variance is smaller where it is large.
    return Components(math.sqrt(math.log1p(image)), math.sqrt(both), math.sqrt(group), math.sqrt(math.log1p(rest)))


def planned(contrast: str, size: Size, of: Components) -> Planned:
    """What a design will know of a log ratio near 0.

    Images of a group are drawn anew in each run from its pool: two runs have n / N of them in common.
    """
    image, rest = math.expm1(of.image**2), math.expm1(of.rest**2)
    n, runs = size.test_size, size.runs
    paired = contrast == "C1"
    within = 2 * rest / n if paired else 2 * (image + rest) / n
    common = 0.0 if paired else sum(image / pool for pool in size.pools)
    models = 2 * (of.model_group**2 + (0.0 if contrast == "C2" else of.model**2))
    # The runs of all training sets tell how models differ; a contrast of two sets leaves one of them out.
    df_pooled = (runs - 1) * max(size.sets - (contrast != "C2"), 1)
    images = (within + (runs - 1) * common) / runs
    return Planned(runs, images, models, within - common, float(n), runs - 1, df_pooled)


def plan_table(size: Size, of: Components, alpha: float) -> pd.DataFrame:
    """The smallest ratio found with 80 % power, for the design and for what each doubling makes of it.

    Returns:
        design (as configured, twice the runs ...), runs, test_size, claims, contrast, ratio, se_images, se_models
        (standard errors of the log ratio).
    """
    designs: Mapping[str, Size] = {
        "as configured": size,
        "twice the runs": _changed(size, 2, 1),
        "four times the runs": _changed(size, 4, 1),
        "twice the test images": _changed(size, 1, 2),
        "twice both": _changed(size, 2, 2),
    }
    rows = []
    for name, changed in designs.items():
        if changed.test_size > min(changed.pools):
            continue
        for claims, contrast in CONTRASTS.items():
            test = planned(claims, changed, of)
            rows.append(
                {
                    **{"design": name, "runs": changed.runs, "test_size": changed.test_size},
                    **{"claims": claims, "contrast": contrast, "ratio": math.exp(test.detectable(alpha, 2))},
                    **{"se_images": math.sqrt(test.images), "se_models": math.sqrt(test.models)},
                }
            )
    return pd.DataFrame(rows)


def _changed(size: Size, runs: int, images: int) -> Size:
    return Size(size.runs * runs, size.test_size * images, size.pools, size.sets)


def smallest_ratios(sizes: Sequence[Size], contrast: str, of: Components, alpha: float) -> list[float]:
    """The smallest ratio found with 80 % power by each design."""
    return [math.exp(planned(contrast, size, of).detectable(alpha, 2)) for size in sizes]
