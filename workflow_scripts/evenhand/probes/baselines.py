"""What a probe is compared with: a linear one, and always naming the commonest class."""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from evenhand.probes.targets import Target

Floats = NDArray[np.floating]
Rows = NDArray[np.int64]
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
