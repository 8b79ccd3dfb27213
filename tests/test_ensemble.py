"""Variance over models, each image's own set of models."""

import numpy as np
import pandas as pd
import pytest

from evenhand.evaluation.reconstructions import ensemble_scores

HASHES = ["a", "b", "c"]
IMAGES = pd.DataFrame({"id": HASHES, "group": ["light", "light", "dark"]})


def test_against_numpy_without_the_models_that_saw_the_image() -> None:
    random = np.random.default_rng(0)
    decoded = random.integers(0, 256, (5, 3, 4, 4, 3), dtype=np.uint8)
    trained_on = [{"a"}, set(), {"a", "b"}, {"b"}, {"x"}]
    seen = [[name in images for name in HASHES] for images in trained_on]
    bounds = random.normal(100, 5, (5, 3))
    table = ensemble_scores(IMAGES, (3, 4, 4, 3), zip(decoded, bounds, seen, strict=True))
    for row, name in enumerate(HASHES):
        unseen = [decoded[m, row] / 127.5 - 1 for m in range(5) if name not in trained_on[m]]
        assert table["n_models"][row] == len(unseen)
        assert table["ensemble_var"][row] == pytest.approx(np.var(unseen, axis=0, ddof=1).mean())
        of_image = [bounds[m, row] for m in range(5) if name not in trained_on[m]]
        assert table["waic"][row] == pytest.approx(np.mean(of_image) + np.var(of_image, ddof=1))


def test_models_that_agree_have_no_variance() -> None:
    same = np.full((3, 4, 4, 3), 77, dtype=np.uint8)
    table = ensemble_scores(IMAGES, same.shape, [(same, np.ones(3), [False] * 3)] * 3)
    assert table["ensemble_var"].tolist() == [0, 0, 0]


def test_one_model_has_no_variance_to_show() -> None:
    one = (np.zeros((3, 4, 4, 3), np.uint8), np.ones(3), [True, False, False])
    table = ensemble_scores(IMAGES, (3, 4, 4, 3), [one])
    assert table["n_models"].tolist() == [0, 1, 1]
    assert table[["ensemble_var", "waic"]].isna().all().all()
