"""Colour shifts are zero, known, or missing where they should be."""

import numpy as np
import pandas as pd
import pytest
from skimage.color import lab2rgb, rgb2lab

from evenhand.evaluation.reconstructions import measured_skin

SKIN = np.array([224, 172, 140], dtype=np.uint8)


def of_colour(rgb: np.ndarray, side: int = 8) -> np.ndarray:
    return np.tile(rgb, (1, side, side, 1)).astype(np.uint8)


def colour_shift(images: np.ndarray, reconstructions: np.ndarray, workers: int = 1) -> pd.DataFrame:
    """The measures on skin, a row per image."""
    return pd.DataFrame(measured_skin(images, reconstructions, workers))


def test_a_perfect_reconstruction_has_no_shift() -> None:
    row = colour_shift(of_colour(SKIN), of_colour(SKIN)).iloc[0]
    assert row["skin_share"] == 1
    assert row["ita_in"] == row["ita_out"]
    assert row[["dl", "da", "db", "ciede2000"]].tolist() == [0, 0, 0, 0]


def test_a_known_shift_has_its_sign_and_size() -> None:
    before = rgb2lab(SKIN / 255)
    darker = np.round(lab2rgb(before + np.array([-10, 2, 3])) * 255).astype(np.uint8)
    row = colour_shift(of_colour(SKIN), of_colour(darker)).iloc[0]
    # Half a level of 255 in each channel is about 0.3 in CIELAB.
    assert row[["dl", "da", "db"]].tolist() == pytest.approx([-10, 2, 3], abs=0.6)
    assert row["ita_in"] == pytest.approx(np.degrees(np.arctan2(before[0] - 50, before[2])), abs=1e-3)
    assert row["ita_out"] < row["ita_in"]
    assert row["ciede2000"] > 5


def test_only_skin_counts() -> None:
    image = of_colour(SKIN)
    image[0, :, :4] = (20, 60, 200)  # half of it blue
    other = image.copy()
    other[0, :, :4] = (200, 60, 20)
    row = colour_shift(image, other).iloc[0]
    assert row["skin_share"] == 0.5
    assert row["ciede2000"] == 0


def test_without_skin_all_is_missing_but_the_share() -> None:
    row = colour_shift(of_colour(np.array([20, 60, 200])), of_colour(SKIN)).iloc[0]
    assert row["skin_share"] == 0
    assert row.drop("skin_share").isna().all()


def test_workers_change_nothing() -> None:
    random = np.random.default_rng(0)
    images, others = (random.integers(80, 220, (6, 8, 8, 3), dtype=np.uint8) for _ in range(2))
    one, four = (colour_shift(images, others, workers=workers) for workers in (1, 4))
    assert one.equals(four)
