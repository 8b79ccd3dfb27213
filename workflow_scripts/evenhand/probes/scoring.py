"""How probes are scored, the ROC-AUC and F1 of a test fold, and what they are held against."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from evenhand.probes.targets import Rows, Target

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Scores:
    """Area under the ROC curve and F1, both macro averages; `scored` is the number of classes the AUC rests on.

    `unscored` names the classes or labels that have none, as all rows where they are known are alike.
    """

    auc: float
    macro_f1: float
    scored: int
    unscored: tuple[str, ...]


def score(target: Target, rows: Rows, logits: NDArray[np.floating]) -> Scores:
    """Score logits (rows, outputs) against the labels of `rows`.

    Multi-class AUC is the mean over classes of one against the rest; with several labels it is the mean over
    labels, each on the rows where it is known. A class absent from the fold (or the only one) has no AUC and
    is left out of the mean, and such a label out of that of F1; NaN when none is left.

    Raises:
        ValueError: a logit is NaN or infinite, which has no rank.
    """
    if not np.isfinite(logits).all():
        raise ValueError(f"{target.name}: logits of a probe are NaN or infinite")
    truth = target.values[rows]
    aucs = [roc_auc(truth[:, column], logits[:, column]) for column in range(truth.shape[1])]
    scored = [column for column, auc in enumerate(aucs) if not np.isnan(auc)]
    if target.kind == "multiclass":
        f1 = _macro_f1(truth.argmax(1), logits.argmax(1))
    elif target.kind == "binary":
        f1 = _macro_f1(truth[:, 0] > 0.5, logits[:, 0] > 0)
    else:
        f1s = [_label_f1(truth[:, column], logits[:, column]) for column in scored]
        f1 = float(np.mean(f1s)) if f1s else float("nan")
    unscored = tuple(name for column, name in enumerate(target.outputs) if column not in scored)
    auc = float(np.mean([aucs[column] for column in scored])) if scored else float("nan")
    return Scores(auc, f1, len(scored), unscored)


def roc_auc(truth: NDArray[np.floating], logits: NDArray[np.floating]) -> float:
    """Area under the ROC curve of labels 0 and 1, on the rows where they are known; NaN where all are alike.

    From the ranks, as the statistic of Mann and Whitney. scikit-learn's functions, which also check their inputs and
    look at every threshold, took twenty times as long: for the 240 networks of a model in the demo 1 s.
    """
    known = ~np.isnan(truth)
    positive = truth[known] > 0.5
    n_positive = int(positive.sum())
    n_pairs = n_positive * (len(positive) - n_positive)
    if not n_pairs:
        return float("nan")
    ranks = rankdata(logits[known])
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / n_pairs)


def _macro_f1(truth: NDArray[np.generic], predicted: NDArray[np.generic]) -> float:
    """Mean over the classes that occur in either."""
    return float(np.mean([_f1(truth == name, predicted == name) for name in np.union1d(truth, predicted)]))


def _label_f1(truth: NDArray[np.floating], logits: NDArray[np.floating]) -> float:
    known = ~np.isnan(truth)
    return _f1(truth[known] > 0.5, logits[known] > 0)


def _f1(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    """Harmonic mean of precision and recall; 0 where nothing is there or predicted."""
    either = int(truth.sum() + predicted.sum())
    return 2 * int((truth & predicted).sum()) / either if either else 0.0


# scikit-learn's default inverse strength of the L2 penalty.
INVERSE_PENALTY = 1.0
MAX_ITERATIONS = 2000


def logistic_logits(target: Target, train: Rows, x_train: Floats, x_test: Floats) -> NDArray[np.float64]:
    """Logits (test rows, outputs) of a logistic regression on standardised features; binary and multi-class."""
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=MAX_ITERATIONS).fit(x_train, target.codes[train])
    logits: NDArray[np.float64] = np.asarray(model.decision_function(x_test), dtype=np.float64)
    return logits[:, None] if logits.ndim == 1 else logits


def majority_logits(target: Target, train: Rows, test: Rows) -> NDArray[np.float64]:
    """The same logits for every row: the commonest class of the training rows wins, for each label on its own."""
    share = np.nanmean(target.values[train], axis=0)
    logits = np.log(share.clip(1e-9)) if target.kind == "multiclass" else share - 0.5
    return np.tile(logits.astype(np.float64), (len(test), 1))
