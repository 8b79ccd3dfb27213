"""The synthetic phantom: tones in their published classes, difficulty as asked for, data set as documented."""

import hashlib
import io
import zipfile
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from evenhand.data.synthetic import phantom
from evenhand.data.synthetic.conditions import CONDITIONS, ITA_CLASSES, Condition, ita
from evenhand.data.synthetic.render import Skin, centre_crop, highpass, render
from evenhand.workflow.errors import UserError
from make_phantom import main

SIZE = 48
N = 360

COLUMNS = [
    "md5hash",
    "fitzpatrick_scale",
    "fitzpatrick_centaur",
    "label",
    "nine_partition_label",
    "three_partition_label",
    "qc",
    "url",
    "url_alphanum",
]


@pytest.fixture(scope="module", params=[0.0, 0.8])
def made(request: pytest.FixtureRequest) -> tuple[phantom.Phantom, float]:
    difficulty: float = request.param
    return phantom.generate(N, seed=3, size=SIZE, dark_difficulty=difficulty), difficulty


def pixels(data: bytes) -> NDArray[np.float64]:
    """The decoded central square in [-1, 1]."""
    return centre_crop(np.asarray(Image.open(io.BytesIO(data)), dtype=float) / 127.5 - 1)


def originals(made: phantom.Phantom) -> pd.DataFrame:
    return made.truth[(made.truth.variant == "original") & ~made.truth.withheld]


def test_tone_of_each_skin_type_lies_in_its_published_class(made: tuple[phantom.Phantom, float]) -> None:
    """Median apparent ITA over the whole picture, lesions and lighting included."""
    truth = originals(made[0])
    apparent = [np.median(ita((pixels(made[0].files[md5]) + 1) / 2)) for md5 in truth.id]
    median = pd.Series(apparent).groupby(truth.true_fst.to_numpy()).median()
    assert list(median.index) == [1, 2, 3, 4, 5, 6]
    for fst, (low, high) in ITA_CLASSES.items():
        assert low < median[fst] < high
        of_type = truth[truth.true_fst == fst].ita
        assert (of_type > low).all()
        assert (of_type < high).all()


def test_difficulty_is_the_known_one_in_the_decoded_files(made: tuple[phantom.Phantom, float]) -> None:
    """The high-pass is written out here a second time: Gaussian blur by mirrored convolution, sigma = side / 32."""
    data, difficulty = made
    truth = originals(data)
    offsets = np.arange(-8, 9)
    kernel = np.exp(-0.5 * (offsets / (SIZE / 32)) ** 2)
    kernel /= kernel.sum()

    def blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
        for axis in (0, 1):
            padded = np.pad(image, [(8, 8) if k == axis else (0, 0) for k in range(3)], mode="symmetric")
            image = sum(
                w * np.take(padded, np.arange(SIZE) + 8 + o, axis) for w, o in zip(kernel, offsets, strict=True)
            )
        return image

    rms = [float(np.sqrt(np.mean((x - blur(x)) ** 2))) for x in map(pixels, (data.files[m] for m in truth.id))]
    group = truth.true_fst.map({1: "light", 2: "light", 5: "dark", 6: "dark"}).to_numpy()
    mean = pd.Series(rms).groupby(group).mean()
    assert mean["dark"] / mean["light"] == pytest.approx(1 + difficulty, rel=0.03)
    assert mean["light"] == pytest.approx(phantom.BASE_RMS, rel=0.04)
    # Not only on average, and on both cameras.
    np.testing.assert_allclose(rms, truth.detail_rms, rtol=0.15)
    by_camera = (pd.Series(rms) / truth.detail_rms.to_numpy()).groupby(truth.source.to_numpy()).mean()
    np.testing.assert_allclose(by_camera, 1, atol=0.04)


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda c: c.label)
def test_detail_before_compression_is_exactly_the_one_asked_for(condition: Condition) -> None:
    for melanin in (0.03, 0.25):
        rng = np.random.default_rng(4)
        image = render(condition, Skin(melanin, 0.008, 0.7), (40, 50), cast=(1, 1, 1), detail_rms=0.1, rng=rng)
        assert image.shape == (40, 50, 3)
        assert np.sqrt(np.mean(centre_crop(highpass(image)) ** 2)) == pytest.approx(0.1, rel=0.005)


def test_less_detail_than_a_blurred_picture_has_is_refused() -> None:
    skin, rng = Skin(0.03, 0.008, 0.7), np.random.default_rng(4)
    with pytest.raises(ValueError, match="no detail of RMS"):
        render(CONDITIONS[0], skin, (40, 40), cast=(1, 1, 1), detail_rms=1e-4, rng=rng)


@pytest.mark.parametrize(("difficulty", "low", "high"), [(0.0, 0.85, 1.18), (0.8, 1.9, 2.9)])
def test_a_model_trained_on_both_groups_finds_the_known_gap(difficulty: float, low: float, high: float) -> None:
    """Sixteen principal components of a 50/50 training set stand for an autoencoder.

    What they miss is the detail, (1 + difficulty)^2 = 3.24 times as strong on dark skin, and part of the lesions,
    which no group should have more of.
    """
    data = phantom.generate(900, seed=8, size=32, dark_difficulty=difficulty)
    truth = originals(data)
    flat = np.stack([pixels(data.files[md5]).ravel() for md5 in truth.id])
    light, dark = (np.flatnonzero(truth.true_fst.isin(types)) for types in ([1, 2], [5, 6]))
    train = np.concatenate([light[:150], dark[:150]])
    mean = flat[train].mean(0)
    basis = np.linalg.svd(flat[train] - mean, full_matrices=False)[2][:16]
    missed = flat - mean - (flat - mean) @ basis.T @ basis
    mse = (missed**2).mean(1)
    assert low < mse[dark[150:]].mean() / mse[light[150:]].mean() < high


def test_next_to_nothing_is_clipped(made: tuple[phantom.Phantom, float]) -> None:
    clipped = [np.mean(np.abs(pixels(data)) == 1) for data in made[0].files.values()]
    assert np.mean(clipped) < 0.001


def test_highpass_of_a_slow_wave_is_nothing_and_of_a_fast_one_all() -> None:
    x = np.arange(64)
    slow = np.cos(2 * np.pi * (x + 0.5) / 128)[None, :, None] * np.ones((64, 1, 3))
    fast = np.cos(np.pi * x)[None, :, None] * np.ones((64, 1, 3))
    assert np.abs(highpass(slow)).max() < 0.01
    np.testing.assert_allclose(highpass(fast)[16:-16, 16:-16], fast[16:-16, 16:-16], atol=1e-3)


def test_metadata_has_the_columns_and_codes_of_fitzpatrick17k(made: tuple[phantom.Phantom, float]) -> None:
    table = made[0].metadata
    assert list(table.columns) == COLUMNS
    assert len(table) == N
    assert table.md5hash.is_unique
    assert table.md5hash.str.fullmatch("[0-9a-f]{32}").all()
    assert set(table.fitzpatrick_scale) == {-1, 1, 2, 3, 4, 5, 6}
    assert set(table.fitzpatrick_centaur) <= {-1, 1, 2, 3, 4, 5, 6}
    both = table[(table.fitzpatrick_scale > 0) & (table.fitzpatrick_centaur > 0)]
    assert 0.4 < (both.fitzpatrick_scale == both.fitzpatrick_centaur).mean() < 0.9
    levels = {c.label: (c.nine, c.three) for c in CONDITIONS}
    rows = zip(table.label, table.nine_partition_label, table.three_partition_label, strict=True)
    assert all(levels[label] == (nine, three) for label, nine, three in rows)
    assert (table.qc == "synthetic phantom").all()
    assert 0 < (table.url == "").sum() < 5
    has_url = table[table.url != ""]
    hosts = has_url.url.str.extract("^https?://(?:www\\.)?([^/]+)/synthetic/")[0]
    expected = {"dermaamin": "dermaamin.com", "atlasdermatologico": "atlasdermatologico.com.br"}
    assert (hosts == made[0].truth.source[has_url.index].map(expected)).all()


def test_files_carry_their_md5_and_say_that_they_are_synthetic(made: tuple[phantom.Phantom, float]) -> None:
    for md5, data in made[0].files.items():
        assert hashlib.md5(data).hexdigest() == md5
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == "JPEG"
            assert image.mode == "RGB"
            assert min(image.size) >= SIZE * 0.9
            assert "ynthetic" in image.getexif()[0x010E]


def test_withheld_rows_have_no_file(made: tuple[phantom.Phantom, float]) -> None:
    data = made[0]
    withheld = set(data.truth[data.truth.withheld].id)
    assert len(withheld) == N // phantom.WITHHELD_EVERY
    assert set(data.metadata.md5hash) - set(data.files) == withheld


def test_near_duplicates_are_near_and_others_are_not(made: tuple[phantom.Phantom, float]) -> None:
    data = made[0]
    truth = data.truth.set_index("id")
    table = data.metadata.set_index("md5hash")

    def phash(md5: str) -> imagehash.ImageHash:
        return imagehash.phash(Image.open(io.BytesIO(data.files[md5])))

    pairs = [(m, s) for m, s in truth.duplicate_of.items() if s and m in data.files and s in data.files]
    assert truth.duplicate_of[truth.duplicate_of != ""].is_unique
    near = [phash(copy) - phash(source) for copy, source in pairs]
    assert len(pairs) >= N // phantom.DUPLICATE_EVERY - 2
    unrelated = [phash(a) - phash(b) for (a, _), (_, b) in zip(pairs, pairs[1:] + pairs[:1], strict=True)]
    assert np.median(near) <= 10 < np.median(unrelated)
    assert {"re-encoded", "brightened", "cropped"} <= set(truth.variant)
    for copy, source in pairs:
        conflict = truth.conflict[copy]
        assert (table.label[copy] != table.label[source]) == (conflict == "label")
        if conflict == "fst":
            assert (truth.true_fst[source] <= 2) != (table.fitzpatrick_scale[copy] <= 2)
    assert {"label", "fst"} <= set(truth.conflict)


def test_an_image_depends_on_its_number_and_the_seed_alone() -> None:
    few = phantom.generate(12, seed=5, size=32, dark_difficulty=0)
    more = phantom.generate(40, seed=5, size=32, dark_difficulty=0)
    other = phantom.generate(12, seed=6, size=32, dark_difficulty=0)
    pd.testing.assert_frame_equal(more.metadata[:12], few.metadata)
    pd.testing.assert_frame_equal(more.truth[:12], few.truth)
    assert set(other.metadata.md5hash).isdisjoint(few.metadata.md5hash)
    # Difficulty changes the dark images and no others.
    hard = phantom.generate(12, seed=5, size=32, dark_difficulty=1)
    same = few.metadata.md5hash == hard.metadata.md5hash
    assert list(same) == list(few.truth.true_fst < 5)


@pytest.mark.parametrize("n", [30, 101])
def test_skin_types_follow_the_shares(n: int) -> None:
    shares = {1: 1.0, 5: 2.0, 6: 1.0}
    data = phantom.generate(n, seed=1, size=16, dark_difficulty=0, fst_shares=shares)
    types = data.truth[data.truth.variant == "original"].true_fst
    assert set(types) == {1, 5, 6}
    for fst, share in shares.items():
        assert abs((types == fst).sum() - n * share / 4) <= 4


def test_copies_can_be_made_without_light_or_dark_images() -> None:
    data = phantom.generate(121, seed=1, size=16, dark_difficulty=0, fst_shares={3: 1.0})
    assert (data.truth.true_fst == 3).all()
    assert (data.truth.conflict == "fst").sum() == 1


def test_condition_mix_differs_more_the_finer_the_level() -> None:
    table = pd.DataFrame([(c.label, c.nine, c.three, c.light, c.dark) for c in CONDITIONS])
    table[[3, 4]] /= table[[3, 4]].sum()
    fine, nine, three = (
        (table.groupby(level)[3].sum() - table.groupby(level)[4].sum()).abs().sum() / 2 for level in range(3)
    )
    assert three < 0.1
    assert three <= nine < 0.15
    assert fine == pytest.approx(0.381, abs=0.02)  # Fitzpatrick17k's light and dark images, 114 conditions
    assert table[1].nunique() == 9
    assert table[2].nunique() == 3


def test_second_source_is_over_represented_among_dark_images() -> None:
    truth = phantom.generate(900, seed=2, size=16, dark_difficulty=0).truth
    second = truth.source == "atlasdermatologico"
    assert second[truth.true_fst <= 2].mean() == pytest.approx(0.106, abs=0.05)
    assert second[truth.true_fst >= 5].mean() == pytest.approx(0.387, abs=0.08)


@pytest.mark.parametrize(
    "wrong",
    [{"n": 0}, {"size": 8}, {"dark_difficulty": -0.1}, {"dark_difficulty": 50.0}, {"fst_shares": {7: 1.0}}],
)
def test_what_cannot_be_made_is_refused(wrong: dict[str, object]) -> None:
    arguments = {"n": 1, "seed": 0, "size": 16, "dark_difficulty": 0.0} | wrong
    with pytest.raises(UserError, match="found"):
        phantom.generate(arguments.pop("n"), **arguments)


def test_script_writes_the_same_bytes_twice(tmp_path: Path) -> None:
    for name in "ab":
        folder = tmp_path / name
        main(
            ["--n", "50", "--seed", "9", "--size", "32", "--dark-difficulty", "0.5", "--fst-shares", "2=0.5,6=0.5"]
            + [f"--{part}={folder / part}" for part in ("metadata", "images", "truth")]
        )
    for part in ("metadata", "images", "truth"):
        assert (tmp_path / "a" / part).read_bytes() == (tmp_path / "b" / part).read_bytes()
    table = pd.read_csv(tmp_path / "a" / "metadata", dtype=str, keep_default_na=False)
    assert list(table.columns) == COLUMNS
    with zipfile.ZipFile(tmp_path / "a" / "images") as archive:
        names = archive.namelist()
        assert names == sorted(names)
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        assert all(hashlib.md5(archive.read(name)).hexdigest() == name.removesuffix(".jpg") for name in names)
    assert {name.removesuffix(".jpg") for name in names} < set(table.md5hash)


def test_script_refuses_malformed_shares(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="fst-shares"):
        main(["--n=1", "--seed=1", "--fst-shares=dark", f"--metadata={tmp_path}/m", f"--images={tmp_path}/i"])
