"""Sources, targets and folds: what fits is read in any order, what does not is refused with the reason."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairgen.errors import UserError
from fairgen.probes.folds import make_folds
from fairgen.probes.sources import Source, read_source
from fairgen.probes.targets import TargetSpec, count_classes, read_target


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    ids = [f"{number:04d}" for number in range(12)]
    np.savez(tmp_path / "x.npz", image=np.array(ids, "S4"), embedding=rng.normal(size=(12, 3)).astype(np.float32))
    table = pd.DataFrame({"image": ids, "patient": [f"p{number // 2}" for number in range(12)], "sex": ["F", "M"] * 6})
    table.to_csv(tmp_path / "meta.csv", index=False)
    return tmp_path / "x.npz", tmp_path / "meta.csv"


def read(embeddings: Path, metadata: Path, group: str | None = "patient", **options: object) -> Source:
    return read_source("mine", embeddings, metadata, "image", group, **options)  # type: ignore[arg-type]


def test_row_order_of_either_file_does_not_matter(files: tuple[Path, Path], tmp_path: Path) -> None:
    straight = read(*files)
    assert straight.table.image.tolist() == sorted(straight.table.image)
    assert len(np.unique(straight.groups)) == 6
    table = pd.read_csv(files[1], dtype=str).sample(frac=1, random_state=1)
    table.to_csv(tmp_path / "mixed.csv", index=False)
    mixed = read(files[0], tmp_path / "mixed.csv")
    np.testing.assert_array_equal(mixed.matrix, straight.matrix)
    np.testing.assert_array_equal(mixed.groups, straight.groups)


def test_npy_npz_and_parquet_give_the_same(files: tuple[Path, Path], tmp_path: Path) -> None:
    straight = read(*files)
    np.save(tmp_path / "x.npy", straight.matrix)
    frame = pd.DataFrame(straight.matrix, columns=["a", "b", "c"]).assign(image=straight.table.image)
    frame.iloc[::-1].to_parquet(tmp_path / "x.parquet")
    for name in ("x.npy", "x.parquet"):
        np.testing.assert_array_equal(read(tmp_path / name, files[1]).matrix, straight.matrix)


def test_duplicate_clusters_become_groups(files: tuple[Path, Path], tmp_path: Path) -> None:
    ids = read(*files).table.image
    pd.DataFrame({"image": ids, "cluster": [0, 0, 0, *range(1, 10)]}).to_csv(tmp_path / "c.csv", index=False)
    groups = read(*files, None, clusters=tmp_path / "c.csv").groups
    assert len(set(groups[:3])) == 1
    assert len(set(groups)) == 10


def rewrite(files: tuple[Path, Path], **changes: object) -> None:
    with np.load(files[0]) as stored:
        arrays = dict(stored) | changes
    np.savez(files[0], **arrays)


def test_bad_embeddings_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    good = read(*files).matrix
    rewrite(files, embedding=np.where(np.eye(12, 3) > 0, np.nan, good).astype(np.float32))
    with pytest.raises(UserError, match="3 embeddings hold NaN or infinity, such as that of 0000"):
        read(*files)
    constant = good.copy()
    constant[:, 1] = 2
    rewrite(files, embedding=constant)
    with pytest.raises(UserError, match="1 of 3 features are the same for all images, such as number 1"):
        read(*files)
    np.save(tmp_path / "short.npy", good[:-1])
    with pytest.raises(UserError, match=r"11 rows and .* has 12"):
        read(tmp_path / "short.npy", files[1])
    np.save(tmp_path / "text.npy", np.array([["a"]]))
    with pytest.raises(UserError, match="expected numbers"):
        read(tmp_path / "text.npy", files[1])
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "pickle.npy", files[1])
    with pytest.raises(UserError, match="is not there"):
        read(tmp_path / "gone.npy", files[1])


def test_bad_ids_are_refused(files: tuple[Path, Path]) -> None:
    ids = np.array([f"{number:04d}" for number in range(12)], "S4")
    rewrite(files, image=np.where(ids == b"0003", b"9999", ids))
    with pytest.raises(UserError, match=r"1 ids of .* have no embedding and 1 embeddings no metadata.*0003"):
        read(*files)
    rewrite(files, image=np.where(ids == b"0003", b"0004", ids))
    with pytest.raises(UserError, match="1 ids appear more than once, such as 0004"):
        read(*files)
    with pytest.raises(UserError, match="no column 'subject'"):
        read(*files, group="subject")


TABLE = pd.DataFrame(
    {
        "age": ["30", "40", "59", "60", "", "-1"],
        "race": ["W", "B", "A", "?", "W", ""],
        "edema": ["1", "0", "-1", "", "1.0", "0"],
        "effusion": ["0", "1", "1", "1", "0", "-1"],
    }
)


def test_bins_are_closed_on_the_left() -> None:
    target = read_target(TABLE, TargetSpec("age", "multiclass", ("age",), bins=(40, 60), missing=("-1",)), "s")
    assert target.classes == ("below 40", "40 to below 60", "60 and above")
    assert target.codes.tolist() == [0, 1, 1, 2, -1, -1]
    assert dict(count_classes(target))["(missing)"] == 2


def test_cells_not_listed_are_not_known() -> None:
    spec = TargetSpec("race", "binary", ("race",), values={"W": "white", "B": "other", "A": "other"})
    target = read_target(TABLE, spec, "s")
    assert target.codes.tolist() == [0, 1, 1, -1, 0, -1]
    assert count_classes(target) == [("white", 2), ("other", 2), ("(missing)", 2)]


def test_several_labels_with_gaps() -> None:
    target = read_target(TABLE, TargetSpec("d", "multilabel", ("edema", "effusion"), missing=("-1",)), "s")
    np.testing.assert_array_equal(target.values[:, 0], [1, 0, np.nan, np.nan, 1, 0])
    assert target.known.all()
    assert count_classes(target) == [("edema", 2), ("effusion", 3), ("(missing)", 0)]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (TargetSpec("x", "binary", ("gone",)), "needs the column 'gone'"),
        (TargetSpec("x", "binary", ("race",)), "binary and needs two classes, found 4"),
        (TargetSpec("x", "multiclass", ("race",), bins=(3,)), "needs numbers, found 'W'"),
        (TargetSpec("x", "multilabel", ("edema",)), "needs 0, 1 or missing, found -1"),
        (TargetSpec("x", "binary", ("race",), values={"W": "w", "C": "c"}), "no row has class 'c'"),
    ],
)
def test_bad_targets_are_refused(spec: TargetSpec, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_target(TABLE, spec, "s")


@settings(max_examples=20, deadline=None)
@given(patients=st.integers(20, 60), folds=st.integers(3, 8), seed=st.integers(0, 99))
def test_folds_cover_every_row_once_and_never_split_a_group(patients: int, folds: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), rng.integers(1, 5, patients))
    classes = (np.arange(patients) % 2)[groups]
    rows = np.arange(len(groups)) * 3  # row numbers of a larger table
    made = make_folds(rows, classes, groups, folds, seed, False, "tone")
    assert np.array_equal(np.sort(np.concatenate([fold.test for fold in made])), rows)
    of = dict(zip(rows.tolist(), groups.tolist(), strict=True))
    for fold in made:
        parts = [{of[row] for row in part.tolist()} for part in (fold.test, fold.train, fold.valid)]
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert len(fold.test) + len(fold.train) + len(fold.valid) == len(rows)
        assert len(set(classes[fold.test // 3])) == 2
