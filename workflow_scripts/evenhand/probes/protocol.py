"""The probing protocol: which networks are trained on which folds and features, and the table of their scores.

Everything fitted (scaling, ranking, erasure, probe) is fitted on the training fold. The test fold is read once, by
the scores.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from evenhand.probes.folds import Fold, attribute_folds, check_disease
from evenhand.probes.jobs import AttributeRun, FoldInputs, Job, fit_leace, fit_scaling, rank_features, removed_count
from evenhand.probes.networks import Floats
from evenhand.probes.scoring import logistic_logits, majority_logits
from evenhand.probes.settings import ProtocolSettings
from evenhand.probes.targets import Rows, Target, make_target
from evenhand.workflow.seeds import generator

KEYS = ["attribute", "target", "role", "kind", "probe", "removal", "fraction", "removed", "features", "draw", "fold"]
COLUMNS = [*KEYS, "folds", "n_train", "n_test", "classes_scored", "not_scored", "auc", "macro_f1", "epochs"]


def probe_attribute(
    matrix: Floats,
    groups: NDArray[np.int64],
    attribute: Target,
    diseases: Sequence[Target],
    settings: ProtocolSettings,
    device: torch.device,
) -> pd.DataFrame:
    """All probes of one attribute, with the diseases measured on the features chosen for it.

    Args:
        matrix: (n, d) embedding, finite.
        groups: (n,) patient or duplicate cluster; no group is on both sides of a split.

    Returns:
        One row per network, fold and baseline, with the columns COLUMNS.

    Raises:
        UserError: see `attribute_folds` and `check_disease`.
    """
    folds = attribute_folds(attribute, groups, settings)
    for disease in diseases:
        check_disease(attribute.name, disease, folds)
    targets = [attribute, *diseases]
    if settings.shuffled:
        targets.append(shuffle_over_groups(attribute, groups, generator(settings.seed, "shuffle", attribute.name)))
    run = AttributeRun(torch.from_numpy(matrix).to(device), targets, len(diseases), settings.mlp, settings.seed)
    run.inputs = [_fit_inputs(matrix, attribute, fold, settings.leace) for fold in folds]

    first = [run.job(target, fold, "none", 0.0) for fold in range(len(folds)) for target in run.measured]
    if settings.leace:
        first += [run.job(target, fold, "leace", 0.0) for fold in range(len(folds)) for target in run.measured]
    if settings.shuffled:
        first += [run.job(len(targets) - 1, fold, "shuffled", 0.0) for fold in range(len(folds))]
    fitted = run.fit(first)
    rankings = [
        rank_features(run.matrix, job.network, result, folds[job.fold].fitting)
        for job, result in zip(first, fitted, strict=True)
        if job.target == 0 and job.removal == "none"
    ]
    run.fit_in_parts(
        job for fold, ranking in enumerate(rankings) for job in _removal_jobs(run, settings, fold, ranking)
    )
    if settings.rerank:
        _rerank(run, settings.removed_fractions, rankings)
    _baselines(run, matrix, settings.logistic)
    table = pd.DataFrame(run.records, columns=COLUMNS)
    return table.sort_values(KEYS, ignore_index=True)


def shuffle_over_groups(attribute: Target, groups: NDArray[np.int64], rng: np.random.Generator) -> Target:
    """The attribute with its labels dealt out anew, all rows of a group alike.

    A probe can do better than chance on these only if a group, or the test fold itself, leaks into training. A single
    shuffle is off 0.5 by chance alone, by sqrt((n + 1) / (12 n0 n1)) with n0 and n1 rows a class: 0.04 at n = 200.
    """
    known = np.flatnonzero(attribute.known)
    names, first, member = np.unique(groups[known], return_index=True, return_inverse=True)
    dealt = attribute.codes[known][first][rng.permutation(len(names))]
    codes = np.full(len(groups), -1)
    codes[known] = dealt[member]
    return make_target(attribute.name, attribute.classes, codes)


def _fit_inputs(matrix: Floats, attribute: Target, fold: Fold, leace: bool) -> FoldInputs:
    inputs = FoldInputs(fold, *fit_scaling(matrix[fold.fitting]), None)
    if not leace:
        return inputs
    left, right = fit_leace(inputs.standardised(matrix, fold.fitting), attribute.values[fold.fitting])
    return replace(inputs, erase=(left.astype(np.float32), right.astype(np.float32)))


def _removal_jobs(run: AttributeRun, settings: ProtocolSettings, fold: int, ranking: Rows) -> Iterator[Job]:
    """Everything that is retrained on a part of the features."""
    features = len(ranking)
    for fraction in settings.removed_fractions:
        count = removed_count(fraction, features)
        for target in run.measured:
            controlled = target == 0 or settings.disease_controls
            yield run.job(target, fold, "top", fraction, removed=ranking[:count])
            if settings.bottom and controlled:
                yield run.job(target, fold, "bottom", fraction, removed=ranking[features - count :])
            for draw in range(settings.random_draws if controlled else 0):
                rng = generator(settings.seed, "random removal", run.targets[0].name, fold, f"{fraction:g}", draw)
                removed = rng.choice(features, size=count, replace=False)
                yield run.job(target, fold, "random", fraction, draw, removed)


def _rerank(run: AttributeRun, fractions: Sequence[float], rankings: Sequence[Rows]) -> None:
    """Remove in steps: each takes the best of the features left, by the probe retrained on those."""
    features = run.matrix.shape[1]
    removed: list[list[int]] = [[] for _ in rankings]
    current = [ranking.tolist() for ranking in rankings]
    for fraction in fractions:
        count = removed_count(fraction, features)
        jobs = []
        for fold, order in enumerate(current):
            gone = set(removed[fold])
            left = [feature for feature in order if feature not in gone]
            removed[fold] += left[: count - len(gone)]
            jobs += [run.job(target, fold, "reranked", fraction, removed=removed[fold]) for target in run.measured]
        fitted = run.fit(jobs)
        current = [
            rank_features(run.matrix, job.network, result, run.inputs[job.fold].fold.fitting).tolist()
            for job, result in zip(jobs, fitted, strict=True)
            if job.target == 0
        ]


def _baselines(run: AttributeRun, matrix: Floats, logistic: bool) -> None:
    """Majority class for every target; logistic regression for the attribute, before and after erasure."""
    attribute = run.targets[0]
    x_train: NDArray[np.floating]
    x_test: NDArray[np.floating]
    for fold, inputs in enumerate(run.inputs):
        for target in run.measured:
            known = run.targets[target].known
            train = inputs.fold.fitting[known[inputs.fold.fitting]]
            logits = majority_logits(run.targets[target], train, run.test_rows(target, fold))
            run.record(target, fold, "majority", "none", logits)
        if not logistic:
            continue
        fitting, test = inputs.fold.fitting, run.test_rows(0, fold)
        x_train, x_test = inputs.standardised(matrix, fitting), inputs.standardised(matrix, test)
        run.record(0, fold, "logistic", "none", logistic_logits(attribute, fitting, x_train, x_test))
        if inputs.erase is not None:
            left, right = inputs.erase
            x_train, x_test = x_train - x_train @ left @ right, x_test - x_test @ left @ right
            run.record(0, fold, "logistic", "leace", logistic_logits(attribute, fitting, x_train, x_test))
