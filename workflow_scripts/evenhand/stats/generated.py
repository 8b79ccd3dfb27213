"""Generated pictures against held-out real ones of each group: tables/generated.csv.

Each model has pictures of the same noise and, beside them, as many training pictures, which stand for a model that
generates what it was trained on. A number of a model and a group changes with each picture as
`evenhand.evaluation.distributions` says. Noise and real pictures recur in the models of a study, so the inference is
over pictures crossed with models (`evenhand.stats.crossed`), as for the errors of reconstructions. A difference between
groups counts a generated picture once, with what it does to both.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from evenhand.evaluation.distributions import LEAST, Estimate, Manifold, Numbers, compare, copies
from evenhand.evaluation.pictures import Pictures
from evenhand.splits.groups import Pair
from evenhand.stats.crossed import CrossedSums, CrossedTest, contrast_row, crossed
from evenhand.workflow.errors import UserError

QUANTITIES = ("kid", "precision", "recall", "density", "coverage", "copies")
SHARES = ("precision", "recall", "coverage")  # their intervals end at 0 and 1, of differences at -1 and 1
COLUMNS = [
    *("train_set", "compared_share", "sample_of", "group", "minus", "quantity", "estimate", "ci_low", "ci_high", "p"),
    *("n_runs", "n_images", "extractor", "covers", "note"),
]
Found = dict[tuple[str, str], dict[str, Estimate]]  # by kind and group, by quantity


def generated_table(
    runs: Iterable[Sequence[Pictures]],
    groups: Sequence[str],
    pairs: Sequence[Pair],
    clusters: Mapping[str, str] | None,
    alpha: float,
) -> pd.DataFrame:
    """Every number of every training set and group, and how it differs between the groups.

    Args:
        runs: the models of one run after the other, the same training sets in each. Several on one training set are
            its starts: the mean of their numbers is that of the run.
        groups: of the study.
        pairs: of groups to compare.
        clusters: of real pictures that are in one with others.
        alpha: intervals have the level 1 - alpha.

    Returns:
        The columns of schemas/tables.yaml under `generated`.
    """
    # A row is about a group, or about a difference: (group, what is subtracted) and the weights of the groups.
    asked = {(group, ""): {group: 1.0} for group in groups}
    asked |= {(pair.compared, pair.reference): {pair.compared: 1.0, pair.reference: -1.0} for pair in pairs}
    sums: dict[str, CrossedSums] = {}
    values: dict[tuple[str, str, str], list[Numbers]] = {}  # by kind, row and training set, (quantities,) of each run
    models: Sequence[Pictures] = []
    for run in runs:
        starts: dict[str, list[Pictures]] = {}
        for model in run:
            starts.setdefault(model.train_set, []).append(model)
        models = [of_set[0] for of_set in starts.values()]
        found = [_numbers(of_set, groups) for of_set in starts.values()]
        for kind in models[0].features:
            of_kind = sums.setdefault(kind, CrossedSums([" ".join(what) for what in asked], QUANTITIES))
            for what, weights in asked.items():
                name = " ".join(what)
                for model, of_model in zip(models, found, strict=True):
                    number = sum(
                        weight * np.array([of_model[kind, group][quantity].value for quantity in QUANTITIES])
                        for group, weight in weights.items()
                    )
                    values.setdefault((kind, name, model.train_set), []).append(np.asarray(number))
                pictures, added = _added(models, found, kind, weights, clusters or {})
                of_kind.add_values(name, pictures, [model.train_set for model in models], added)
    rows = []
    for kind, of_kind in sums.items():
        covariances = of_kind.table()
        for what in asked:
            for place, quantity in enumerate(QUANTITIES):
                if kind == "training" and quantity == "copies":
                    continue
                name = " ".join(what)
                runs_of = {model.train_set: np.array(values[kind, name, model.train_set])[:, place] for model in models}
                known = {(one, name): of for one, of in runs_of.items() if np.isfinite(of).all()}
                of = crossed(known, covariances, quantity, [one for one, _ in known], [name]) if known else None
                for model in models:
                    cell = (model.train_set, name)
                    test = of.test({cell: 1.0}) if of and cell in known else None
                    about = {"sample_of": kind, "group": what[0], "minus": what[1], "quantity": quantity}
                    rows.append({"n_runs": len(runs_of[model.train_set])} | _row(model, test, about, alpha))
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values(["sample_of", "compared_share", "train_set"], kind="stable", ignore_index=True)


def _row(model: Pictures, test: CrossedTest | None, about: dict[str, str], alpha: float) -> dict[str, object]:
    """The row of a training set, of which `model` is one of the models; without a test it says why."""
    n = len(model.features["prior"])
    row: dict[str, Any] = {"train_set": model.train_set, "compared_share": model.compared_share, **about}
    row |= {"n_images": n, "extractor": model.extractor}
    if test is None:
        few = f"fewer than {LEAST} images of each kind"
        return row | {"covers": "", "note": few if n < LEAST else "no training image of the group to be near to"}
    row |= contrast_row(test, alpha)
    if about["quantity"] in SHARES:
        least = -1.0 if about["minus"] else 0.0
        row |= {end: float(np.clip(row[end], least, 1.0)) for end in ("ci_low", "ci_high")}
    if not about["minus"] and about["quantity"] not in ("kid", "copies"):
        row["p"] = np.nan  # nobody expects 0 of it
    return row


def _numbers(starts: Sequence[Pictures], groups: Sequence[str]) -> Found:
    """The means over the starts on one training set, which are held against the same pictures.

    Raises:
        UserError: they are not.
    """
    first = starts[0]
    if any((other.names, other.ids) != (first.names, first.ids) for other in starts):
        raise UserError(
            f"pictures.npz of training set {first.train_set}: expected the same held-out and training images in all "
            "starts of a run, found others."
        )
    found = [_estimates(model, groups) for model in starts]
    return {
        key: {quantity: _mean([one[key][quantity] for one in found]) for quantity in QUANTITIES} for key in found[0]
    }


def _mean(estimates: Sequence[Estimate]) -> Estimate:
    parts = ([one.value for one in estimates], [one.generated for one in estimates], [one.real for one in estimates])
    value, generated, real = (np.mean(part, axis=0) for part in parts)
    return Estimate(float(value), generated, real)


def _estimates(model: Pictures, groups: Sequence[str]) -> Found:
    """The numbers of a model; NaN where there are none."""
    n = len(model.features["prior"])
    nothing = Estimate(np.nan, *np.full((2, n), np.nan))
    found = {(kind, group): dict.fromkeys(QUANTITIES, nothing) for kind in model.features for group in groups}
    if n < LEAST:
        return found
    held_out = {group: Manifold.around(model.real[group]) for group in groups}
    for kind, features in model.features.items():
        generated = Manifold.around(features)
        for group, real in held_out.items():
            found[kind, group] |= compare(generated, real)
            if kind == "prior" and group in model.nearest:
                found[kind, group]["copies"] = copies(*model.nearest[group])
    return found


def _added(
    models: Sequence[Pictures],
    found: Sequence[Found],
    kind: str,
    weights: Mapping[str, float],
    clusters: Mapping[Any, str],
) -> tuple[list[Hashable], Numbers]:
    """The pictures of a run, or their clusters, and what each adds to a number: (pictures, training sets, quantities).

    A mean over the pictures then varies as the number does.
    """
    places: dict[Hashable, int] = {}
    parts = []
    for at, (model, of_model) in enumerate(zip(models, found, strict=True)):
        for group, weight in weights.items():
            of = [of_model[kind, group][quantity] for quantity in QUANTITIES]
            sides = (model.names[kind], [one.generated for one in of]), (model.ids[group], [one.real for one in of])
            for names, influences in sides:
                rows = [places.setdefault(clusters.get(name, name), len(places)) for name in names]
                parts.append((rows, at, weight * np.stack(influences, axis=1) / len(names)))
    added = np.zeros((len(places), len(models), len(QUANTITIES)))
    for rows, at, values in parts:
        np.add.at(added[:, at], rows, values)
    return list(places), added * len(places)
