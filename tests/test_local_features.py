"""Local features: known damage is found, strangers are not, and neither order, workers nor other pictures matter."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from paper import LIGHT_DARK

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import duplicates as damage

import find_duplicates
from evenhand.data import feature_search
from evenhand.data.feature_search import Stored, candidates, find_matches, trusted
from evenhand.data.local_features import extract_features, match_pictures, mirror_features
from evenhand.data.metadata import COLUMNS
from evenhand.workflow.errors import UserError
from evenhand.workflow.tables import read_table, write_csv

N = 14
SIDE = 160


def scene(seed: int) -> np.ndarray:
    """Noise with the spectrum of natural pictures: detail at every scale, in colour."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE))
    frequency[0, 0] = np.inf
    noise = np.random.default_rng(seed).normal(size=(3, SIDE, SIDE))
    smooth = np.fft.ifft2(np.fft.fft2(noise[:1] + 0.3 * noise) / frequency**1.3).real
    return np.clip(128 + 45 * smooth / smooth.std(), 0, 255).astype(np.uint8).transpose(1, 2, 0)


@pytest.fixture(scope="module")
def scenes() -> np.ndarray:
    return np.stack([scene(seed) for seed in range(N)])


def matches_of(images: np.ndarray, folder: Path, rank: np.ndarray | None = None, workers: int = 2) -> pd.DataFrame:
    folder.mkdir()
    np.save(folder / "images.npy", images)
    rank = np.arange(len(images)) if rank is None else rank
    return find_matches(folder / "images.npy", rank, np.empty((0, 3), np.int64), True, folder / "features", workers)


def test_damaged_copies_are_found_and_a_shared_watermark_links_nobody(scenes: np.ndarray) -> None:
    table = damage.damage_table(scenes[:8], workers=2).set_index("damage")
    assert table["false_links"].sum() == 0
    assert (table["share"] >= 0.9).all(), table


def test_a_frame_around_pictures_links_none_of_them(scenes: np.ndarray, tmp_path: Path) -> None:
    """A frame of 44 % of the picture is on every side, so its features are spread; the pictures inside differ."""
    framed = np.stack([scene(99)] * N)
    framed[:, 20:-20, 20:-20] = scenes[:, 20:-20, 20:-20]
    matches = matches_of(framed, tmp_path / "framed")
    assert not (trusted(matches) & (matches["inliers"] >= 10)).any()


@pytest.mark.parametrize(("scale", "degrees", "mirrored"), [(0.7, 30, False), (1.4, -120, False), (1.0, 10, True)])
def test_the_transform_is_the_one_that_was_applied(
    scenes: np.ndarray, scale: float, degrees: float, mirrored: bool
) -> None:
    moved = damage.moved(scenes[0][:, ::-1].copy() if mirrored else scenes[0], scale, degrees)
    match, first, second = match_pictures(extract_features(scenes[0]), extract_features(moved), SIDE, mirrored)
    assert match.inliers >= 20
    assert match.scale == pytest.approx(scale, rel=0.02)
    assert match.turn == pytest.approx(-degrees, abs=1)  # OpenCV turns against the clock, y points down
    if mirrored:
        first = SIDE - 0.5 - np.conj(first)
    factor = match.scale * np.exp(1j * np.radians(match.turn))
    assert np.abs(factor * first + complex(match.shift_x, match.shift_y) - second).max() < 5


def test_mirrored_features_are_those_of_the_mirrored_picture(scenes: np.ndarray) -> None:
    expected = extract_features(np.ascontiguousarray(scenes[0][:, ::-1]))
    found = mirror_features(extract_features(scenes[0]), SIDE)
    apart = np.abs(found["place"][:, None] - expected["place"])
    turned = np.abs(np.angle(np.exp(1j * (found["angle"][:, None] - expected["angle"]))))
    pairs = np.argwhere((apart < 0.1) & (turned < 0.02))
    assert len(pairs) > 0.8 * len(found)
    difference = found["descriptor"][pairs[:, 0]].astype(float) - expected["descriptor"][pairs[:, 1]]
    assert np.median(np.linalg.norm(difference, axis=1)) < 25  # of a length of 512


def test_order_workers_and_other_pictures_change_no_link(scenes: np.ndarray, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    copies = [damage.moved(image, 0.8, 20) for image in scenes[:6]] + [image[:, ::-1] for image in scenes[3:6]]
    images = np.concatenate([scenes, np.stack(copies)])
    columns = ["inliers", "scale", "turn", "mirrored", "shift_x", "shift_y", "spread", "likeness"]

    def by_name(chosen: np.ndarray, name: str, workers: int) -> pd.DataFrame:
        table = matches_of(images[chosen], tmp_path / name, chosen, workers)
        return table.assign(first=chosen[table["first"]], second=chosen[table["second"]])[["first", "second", *columns]]

    everything = by_name(np.arange(len(images)), "as they are", 1)
    assert len(everything) >= 9
    shuffled = by_name(rng.permutation(len(images)), "shuffled", 3)
    pd.testing.assert_frame_equal(shuffled, everything)
    some = rng.permutation(len(images))[:14]
    among = everything[everything["first"].isin(some) & everything["second"].isin(some)].reset_index(drop=True)
    assert len(among)
    pd.testing.assert_frame_equal(by_name(some, "some of them", 2), among)


@pytest.mark.parametrize("mirrored", [False, True])
def test_two_features_in_agreement_may_be_chance_and_three_are_looked_at(
    scenes: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirrored: bool
) -> None:
    """Strangers that have two or three features in common, moved by one transform, and nothing else."""
    first, second = extract_features(scenes[0]), extract_features(scenes[1])
    far = [0]
    for row in range(len(first)):
        if np.abs(first["place"][far] - first["place"][row]).min() > 30:
            far.append(row)

    def looked_at(shared: int) -> list[list[int]]:
        common = (mirror_features(first, SIDE) if mirrored else first)[far[:shared]]
        common["place"] = 1.2 * np.exp(0.5j) * common["place"] + (40 - 20j)
        common["size"] *= 1.2
        common["angle"] += 0.5
        pictures = [first, np.concatenate([second[shared:], common])]
        monkeypatch.setattr(feature_search, "extract_features", lambda image: pictures[image[0, 0, 0]])
        folder = tmp_path / str(shared)
        folder.mkdir()
        np.save(folder / "images.npy", np.arange(2, dtype=np.uint8)[:, None, None, None].repeat(SIDE, axis=1))
        return candidates(Stored(folder / "images.npy", folder / "features", 1), True, 1).tolist()

    assert looked_at(2) == []
    assert looked_at(3) == [[0, 1, int(mirrored)]]


def test_what_a_killed_run_wrote_is_found_again(
    scenes: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "images.npy", scenes)
    monkeypatch.setattr(feature_search, "CHUNK", 4)
    whole = Stored(tmp_path / "images.npy", tmp_path / "features", 2)
    next((tmp_path / "features").glob("*.features")).unlink()  # as if it had not come so far
    extracted: list[int] = []

    def extract(image: np.ndarray) -> np.ndarray:
        extracted.append(1)
        return extract_features(image)

    monkeypatch.setattr(feature_search, "extract_features", extract)
    again = Stored(tmp_path / "images.npy", tmp_path / "features", 2)
    assert len(extracted) in (2, 4)  # the pictures of one file
    for picture in range(N):
        assert (again.of(range(picture, picture + 1)) == whole.of(range(picture, picture + 1))).all()


def test_pictures_without_any_feature_match_nothing(tmp_path: Path) -> None:
    assert matches_of(np.full((3, SIDE, SIDE, 3), 128, np.uint8), tmp_path / "flat").empty


def settings(**changes: object) -> dict[str, object]:
    base = dict.fromkeys(["inliers", "embeddings", "similarity", "list", "not_same"])
    return base | {"method": "features", "threshold": 6, "mirrored": True} | changes


def run_script(images: np.ndarray, folder: Path, **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    np.save(folder / "images.npy", images)
    index = pd.DataFrame({"id": [f"{i:032x}" for i in range(len(images))]})
    index["skin_type"] = index["second_skin_type"] = [(1, 2, 5, 6)[i % 4] for i in range(len(images))]
    write_csv(index.reindex(columns=COLUMNS, fill_value="x"), folder / "images.csv")
    outputs = ["duplicates", "list", "links", "clusters", "thresholds", "summary"]
    find_duplicates.main(
        ["--images", str(folder / "images.npy"), "--packed", str(folder / "images.csv")]
        + ["--index", str(folder / "images.csv"), "--work", str(folder / "work"), "--workers", "1"]
        + ["--config", json.dumps({"duplicates": settings(**changes), "groups": LIGHT_DARK})]
        + [text for name in outputs for text in (f"--{name}", str(folder / f"{name}.csv"))]
        + ["--pairs", str(folder / "pairs.npz")]
    )
    return folder


def test_links_say_why_and_what_is_not_the_same_stays_apart(scenes: np.ndarray, tmp_path: Path) -> None:
    images = np.concatenate([scenes[:5], damage.moved(scenes[0], 0.7, 25)[None], scenes[1:2], scenes[2:3, :, ::-1]])
    name = [f"{i:032x}" for i in range(len(images))]
    folder = run_script(images, tmp_path / "run")
    links = read_table(folder / "links.csv")
    why = {(one, two): kinds for one, two, kinds in links[["first", "second", "found_by"]].itertuples(index=False)}
    counting = {pair for pair, kinds in why.items() if kinds}
    assert counting == {(name[0], name[5]), (name[1], name[6]), (name[2], name[7])}
    assert why[name[0], name[5]] == "features"
    assert why[name[1], name[6]] == "features, hash"
    assert not (folder / "work").exists()
    listed = read_table(folder / "list.csv")
    assert sorted(listed["md5hash"]) == sorted([name[i] for i in (0, 5, 1, 6, 2, 7)])
    with np.load(folder / "pairs.npz", allow_pickle=False) as pairs:
        assert pairs["counts"].sum() == 3
        assert len(pairs["first"]) == len(pairs["second"]) == len(pairs["words"])

    # What the list of clusters says can be given back, as known and as not the same.
    lines = listed[listed["md5hash"].isin([name[0], name[5]])]
    write_csv(lines, tmp_path / "apart.csv")
    again = run_script(images, tmp_path / "again", not_same=str(tmp_path / "apart.csv"))
    clusters = read_table(again / "duplicates.csv").set_index("id")["cluster"]
    assert clusters[name[0]] != clusters[name[5]]
    assert clusters[name[1]] == clusters[name[6]]
    fates = read_table(again / "links.csv").set_index(["first", "second"])["fate"]
    assert fates[name[0], name[5]] == "not the same"
    assert read_table(again / "summary.csv").loc[0, "links_kept_apart"] == 1
    with pytest.raises(UserError, match="keeps apart"):
        run_script(
            images,
            tmp_path / "both",
            list=str(tmp_path / "apart.csv"),
            not_same=str(tmp_path / "apart.csv"),
            method="hash",
        )
