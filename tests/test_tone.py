"""Apparent tone: closed forms, known colours, and the order that the phantom was made with."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evenhand.data.decoding import decode_square
from evenhand.data.metadata import COLUMNS
from evenhand.data.tone import ita, measure_tone, skin_mask, skin_tone, summarise_tone, to_lab, tone_class
from make_phantom import main as make_phantom
from measure_tone import main as measure_tone_script

FAIR, TAN, DEEP, BLUE, GREY = (240, 205, 185), (190, 130, 95), (75, 45, 32), (40, 80, 200), (128, 128, 128)


def flat(colour: tuple[int, int, int], side: int = 8) -> np.ndarray:
    return np.full((side, side, 3), colour, np.uint8)


def test_ita_is_the_angle_from_the_grey_of_medium_lightness() -> None:
    assert ita(60, 10) == pytest.approx(45)
    assert ita(50, 10) == pytest.approx(0)
    assert ita(40, 10) == pytest.approx(-45)
    assert ita(70, 0) == pytest.approx(90)
    assert ita(50 + 10 * np.sqrt(3), 10) == pytest.approx(60)


@settings(max_examples=50, deadline=None)
@given(yellowness=st.floats(0.1, 60), low=st.floats(0, 99), step=st.floats(0.1, 50))
def test_lighter_skin_of_the_same_hue_has_the_larger_angle(yellowness: float, low: float, step: float) -> None:
    assert ita(low + step, yellowness) > ita(low, yellowness)


def test_white_and_black_have_their_lightness_and_no_colour() -> None:
    lab = to_lab(np.stack([flat((255, 255, 255)), flat((0, 0, 0))]))
    np.testing.assert_allclose(lab[0, 0, 0], [100, 0, 0], atol=0.02)
    np.testing.assert_allclose(lab[1, 0, 0], [0, 0, 0], atol=0.02)
    # CIE 1976 of sRGB red, D65: 53.24, 80.09, 67.20
    np.testing.assert_allclose(to_lab(flat((255, 0, 0)))[0, 0], [53.24, 80.09, 67.20], atol=0.02)


@pytest.mark.parametrize("skin", [FAIR, TAN, DEEP], ids=["fair", "tan", "deep"])
def test_skin_of_every_tone_is_found_and_blue_cloth_and_grey_are_not(skin: tuple[int, int, int]) -> None:
    picture = np.concatenate([flat(skin), flat(BLUE), flat(GREY)])
    expected = np.zeros((24, 8), bool)
    expected[:8] = True
    np.testing.assert_array_equal(skin_mask(picture), expected)


def test_tone_is_that_of_the_skin_alone() -> None:
    mixed = np.concatenate([flat(TAN), flat(BLUE), flat(GREY)])
    table = measure_tone(np.stack([mixed]), workers=1)
    alone = measure_tone(np.stack([flat(TAN)]), workers=1)
    assert table.loc[0, "skin_share"] == pytest.approx(1 / 3)
    assert table.loc[0, "ita"] == alone.loc[0, "ita"]


def test_medians_do_not_mind_a_highlight() -> None:
    picture = flat(TAN, 10)
    picture[0, :4] = (255, 214, 190)  # still of skin's chroma
    assert skin_mask(picture).all()
    assert measure_tone(picture[None], 1).loc[0, "ita"] == measure_tone(flat(TAN, 10)[None], 1).loc[0, "ita"]


def test_images_without_or_with_little_skin_are_flagged() -> None:
    little = flat(BLUE, 10)
    little[0, :4] = TAN
    table = measure_tone(np.stack([flat(BLUE, 10), little, flat(TAN, 10)]), workers=1)
    assert table["few_skin"].tolist() == [True, True, False]
    assert table["ita"].isna().tolist() == [True, False, False]
    assert skin_tone(to_lab(little), np.zeros((10, 10), bool)) == pytest.approx((np.nan,) * 3, nan_ok=True)


def test_workers_and_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (37, 16, 16, 3), np.uint8)
    expected = measure_tone(images, workers=1)
    monkeypatch.setattr("evenhand.data.tone.BATCH_BYTES", 3 * images[0].nbytes)
    pd.testing.assert_frame_equal(measure_tone(images, workers=3), expected)


def test_classes_have_the_published_limits() -> None:
    angles = pd.Series([80, 55.1, 55, 41.1, 41, 28.1, 28, 10.1, 10, -29.9, -30, -80, np.nan])
    expected = ["very light"] * 2 + ["light"] * 2 + ["intermediate"] * 2 + ["tan"] * 2 + ["brown"] * 2 + ["dark"] * 2
    assert tone_class(angles).tolist() == [*expected, ""]


def test_summaries_leave_out_images_with_few_skin_but_count_them() -> None:
    tone = pd.DataFrame({"type": [1, 1, 1, 2], "ita": [10.0, 20, 90, 5], "skin_share": [0.9, 0.8, 0.01, 0.9]})
    tone["few_skin"] = tone["skin_share"] < 0.05
    summary = summarise_tone(tone, "type").set_index("type")
    assert summary.loc[1, ["n", "n_few_skin", "ita_mean", "ita_50"]].tolist() == [3, 1, 15, 15]


def test_skin_types_are_those_of_the_annotators_the_study_goes_by(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.stack([flat((224, 172, 140))] * 3))
    index = pd.DataFrame({"id": list("abc"), "skin_type": [1, 1, 2], "second_skin_type": [3, 4, 4]})
    index.reindex(columns=COLUMNS, fill_value="x").to_csv(tmp_path / "images.csv", index=False)
    outputs = [
        text for name in ("tone", "by-type", "by-source") for text in (f"--{name}", str(tmp_path / f"{name}.csv"))
    ]
    inputs = ["--images", str(tmp_path / "images.npy"), "--index", str(tmp_path / "images.csv")]
    for label, expected in [("skin_type", {1: 2, 2: 1}), ("second_skin_type", {3: 1, 4: 2})]:
        groups = [{"name": "all", "title": "all", "where": {label: [1]}}]
        measure_tone_script([*inputs, "--config", json.dumps({"groups": groups}), *outputs])
        by_type = pd.read_csv(tmp_path / "by-type.csv")
        assert dict(zip(by_type["skin_type"], by_type["n"], strict=True)) == expected


def test_on_the_phantom_tone_follows_the_known_truth(tmp_path: Path) -> None:
    paths = {name: str(tmp_path / name) for name in ("metadata.csv", "images.zip", "truth.csv")}
    outputs = ["--metadata", paths["metadata.csv"], "--images", paths["images.zip"], "--truth", paths["truth.csv"]]
    make_phantom(["--n", "150", "--seed", "1", "--size", "48", *outputs])
    truth = pd.read_csv(paths["truth.csv"]).set_index("id")
    with zipfile.ZipFile(paths["images.zip"]) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")]
        images = np.stack([decode_square(archive.read(name), 32)[0] for name in names])
    hashes = [Path(name).stem for name in names]
    measured = measure_tone(images, workers=1).assign(id=hashes).merge(truth, on="id", suffixes=("", "_true"))
    assert not measured["few_skin"].any()
    medians = measured.groupby("true_fst")["ita"].median()
    assert medians.is_monotonic_decreasing
    assert measured["ita"].corr(measured["ita_true"], method="spearman") > 0.95
    # Cast and exposure shift an image's tone, not that of the data set.
    assert (measured["ita"] - measured["ita_true"]).median() == pytest.approx(0, abs=4)
    with io.BytesIO() as buffer:  # a photograph stored again keeps its tone
        Image.fromarray(images[0]).save(buffer, "JPEG", quality=90)
        again = decode_square(buffer.getvalue(), 32)[0]
    assert measure_tone(again[None], 1).loc[0, "ita"] == pytest.approx(measured["ita"].iloc[0], abs=1.5)
