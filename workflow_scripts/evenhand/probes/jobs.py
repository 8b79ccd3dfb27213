"""The networks of one attribute: naming them, training them, keeping their scores."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from evenhand.probes.batched_mlp import fit_networks
from evenhand.probes.folds import Fold
from evenhand.probes.networks import (
    Fitted,
    Floats,
    Network,
    network_inputs,
    network_logits,
    parameter_count,
    predict,
)
from evenhand.probes.scoring import score
from evenhand.probes.settings import MLPSettings
from evenhand.probes.targets import Rows, Target
from evenhand.workflow.seeds import derive_seed


def rank_features(matrix: torch.Tensor, network: Network, fitted: Fitted, rows: Rows) -> NDArray[np.int64]:
    """Features from the most to the least informative for one trained probe.

    The measure is the mean over `rows` of the absolute gradient of the logit with respect to the standardised
    input; with several classes, that of each logit less the mean of all (softmax knows no common offset), averaged
    over the classes. Features that the probe does not see count 0. Ties go to the lower feature number.

    Args:
        rows: the training fold; the test fold has no place here.
    """
    total, kept = torch.zeros(matrix.shape[1], dtype=torch.float64), torch.from_numpy(network.kept)
    for start in range(0, len(rows), 4096):
        x = network_inputs(matrix, network, rows[start : start + 4096]).requires_grad_()
        logits = network_logits(fitted, x)
        if logits.shape[1] > 1:
            logits = logits - logits.mean(1, keepdim=True)
        for output in logits.T:
            (gradient,) = torch.autograd.grad(output.sum(), x, retain_graph=True)
            total[kept] += gradient.abs().sum(0).double().cpu()
    answer: NDArray[np.int64] = np.argsort(-total.numpy(), kind="stable")
    return answer


def removed_count(fraction: float, features: int) -> int:
    """k = round(p d), half rounded up."""
    return int(fraction * features + 0.5)


def kept_after(removed: Sequence[int] | Rows, features: int) -> Rows:
    """Numbers of the features that are left, ascending."""
    return np.setdiff1d(np.arange(features), np.asarray(removed, dtype=np.int64))


# Directions whose share of the largest variance is below this are rounding, not data.
RELATIVE_CUTOFF = 1e-10
BLOCK_ROWS = 8192


def fit_leace(x: NDArray[np.floating], z: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """The erasure `r(x) = x - (x - mean) @ left @ right`, the smallest change after which cov(r(x), z) = 0.

    With W the whitening matrix of x, `left @ right` is the transpose of pinv(W) P W, where P projects
    onto the column space of W cov(x, z).

    Args:
        x: (n, d) features of the training rows.
        z: (n, k) concept, such as one-hot classes (whose rank is k - 1).

    Returns:
        left (d, r) and right (r, d), r being the rank of cov(x, z) and at most k.
    """
    mean, concept = x.mean(axis=0, dtype=np.float64), z - z.mean(axis=0)
    covariance = np.zeros((x.shape[1], z.shape[1]))
    scatter = np.zeros((x.shape[1],) * 2 if len(x) > x.shape[1] else (0, 0))
    for start in range(0, len(x), BLOCK_ROWS):
        block = x[start : start + BLOCK_ROWS] - mean
        covariance += block.T @ concept[start : start + BLOCK_ROWS] / len(x)
        if len(scatter):
            scatter += block.T @ block / len(x)
    if len(scatter):
        variance, directions = np.linalg.eigh(scatter)
    else:  # fewer rows than features: the same directions from the small side
        _, singular, rows = np.linalg.svd(x - mean, full_matrices=False)
        variance, directions = singular**2 / len(x), rows.T
    used = variance > RELATIVE_CUTOFF * variance.max()
    deviation, directions = np.sqrt(variance[used]), directions[:, used]
    # In the basis of the principal directions W is 1 / deviation, its pseudo-inverse deviation.
    whitened = (directions / deviation).T @ covariance
    basis, strength, _ = np.linalg.svd(whitened, full_matrices=False)
    rank = int((strength > 1e-12 * max(strength[0], 1.0)).sum())
    basis = basis[:, :rank]
    return (directions / deviation) @ basis, basis.T @ (directions * deviation).T


# Weights and biases of trained networks that wait for their scores: 1 GB.
HELD_PARAMETERS = 250_000_000
Removal = Literal["none", "top", "bottom", "random", "reranked", "leace", "shuffled"]


@dataclass(frozen=True)
class FoldInputs:
    """One fold with what is fitted on its training part."""

    fold: Fold
    center: Floats
    inverse_scale: Floats
    erase: tuple[Floats, Floats] | None

    def standardised(self, matrix: Floats, rows: Rows) -> Floats:
        """Features of `rows` in units of the training fold's standard deviation."""
        return (matrix[rows] - self.center) * self.inverse_scale


def fit_scaling(rows: Floats) -> tuple[Floats, Floats]:
    """Mean and inverse standard deviation of each feature over the training fold; a constant feature gets 1."""
    scaler = StandardScaler().fit(rows)
    return scaler.mean_.astype(np.float32), (1 / scaler.scale_).astype(np.float32)


@dataclass(frozen=True)
class Job:
    """A network of the protocol, with what names it in the table."""

    target: int
    fold: int
    removal: Removal
    fraction: float
    draw: int
    network: Network


class AttributeRun:
    """The networks of one attribute: makes them, trains them, keeps their scores."""

    def __init__(
        self, matrix: torch.Tensor, targets: Sequence[Target], diseases: int, mlp: MLPSettings, seed: int
    ) -> None:
        self.matrix, self.targets, self.mlp, self.seed = matrix, targets, mlp, seed
        self.measured = range(1 + diseases)
        self.inputs: list[FoldInputs] = []
        self.records: list[dict[str, object]] = []

    def job(
        self,
        target: int,
        fold: int,
        removal: Removal,
        fraction: float,
        draw: int = 0,
        removed: Sequence[int] | Rows = (),
    ) -> Job:
        inputs, known = self.inputs[fold], self.targets[target].known
        attribute, name = self.targets[0].name, self.targets[target].name
        network = Network(
            inputs.fold.train[known[inputs.fold.train]],
            inputs.fold.valid[known[inputs.fold.valid]],
            target,
            inputs.center,
            inputs.inverse_scale,
            kept_after(removed, self.matrix.shape[1]),
            derive_seed(self.seed, "network", attribute, name, fold, removal, f"{fraction:g}", draw),
            inputs.erase if removal == "leace" else None,
        )
        return Job(target, fold, removal, fraction, draw, network)

    def fit(self, jobs: Sequence[Job]) -> list[Fitted]:
        labels = [target.labels for target in self.targets]
        fitted = fit_networks(self.matrix, labels, [job.network for job in jobs], self.mlp)
        for job, result in zip(jobs, fitted, strict=True):
            test = self.test_rows(job.target, job.fold)
            logits = predict(self.matrix, job.network, result, test)
            self.record(job.target, job.fold, "mlp", job.removal, logits, job.fraction, job.draw, result.epochs)
        return fitted

    def fit_in_parts(self, jobs: Iterable[Job]) -> None:
        """As `fit`, for scores alone: so many networks are made and kept at a time as HELD_PARAMETERS allow."""
        one, waiting = parameter_count(self.matrix.shape[1], self.mlp.hidden, 1), iter(jobs)
        while part := list(islice(waiting, max(1, HELD_PARAMETERS // one))):
            self.fit(part)

    def test_rows(self, target: int, fold: int) -> Rows:
        test = self.inputs[fold].fold.test
        return test[self.targets[target].known[test]]

    def record(
        self,
        target: int,
        fold: int,
        probe: str,
        removal: Removal,
        logits: NDArray[np.floating],
        fraction: float = 0.0,
        draw: int = 0,
        epochs: int = 0,
    ) -> None:
        measured, test = self.targets[target], self.test_rows(target, fold)
        scores = score(measured, test, logits)
        features = self.matrix.shape[1]
        self.records.append(
            {
                "attribute": self.targets[0].name,
                "target": measured.name,
                "role": "disease" if target in self.measured[1:] else "attribute",
                "kind": measured.kind,
                "probe": probe,
                "removal": removal,
                "fraction": fraction,
                "removed": removed_count(fraction, features),
                "features": features,
                "draw": draw,
                "fold": fold,
                "folds": len(self.inputs),
                "n_train": int(measured.known[self.inputs[fold].fold.fitting].sum()),
                "n_test": len(test),
                "classes_scored": scores.scored,
                "not_scored": "; ".join(scores.unscored),
                "auc": scores.auc,
                "macro_f1": scores.macro_f1,
                "epochs": epochs,
            }
        )
