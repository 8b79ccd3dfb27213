"""Sources: what fits is read in any order, what does not is refused with the reason and an example from both sides."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.probes.folds import make_folds
from evenhand.probes.sources import EmbeddingSource, SourceSpec, read_source
from evenhand.workflow.errors import UserError

IDS = [f"{number:04d}" for number in range(12)]
SPEC = SourceSpec("image", "patient")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", image=np.array(IDS, "S4"), embedding=rng.normal(size=(12, 3)).astype(np.float32))
    table = pd.DataFrame({"image": IDS, "patient": [f"p{number // 2}" for number in range(12)], "sex": ["F", "M"] * 6})
    table.to_csv(tmp_path / "meta.csv", index=False)
    return tmp_path / "x.npz", tmp_path / "meta.csv"


def read(embeddings: Path, metadata: Path, spec: SourceSpec = SPEC, clusters: Path | None = None) -> EmbeddingSource:
    return read_source("mine", embeddings, [metadata], spec, ["sex"], clusters)


def change(files: tuple[Path, Path], **columns: object) -> None:
    pd.read_csv(files[1], dtype=str).assign(**columns).to_csv(files[1], index=False)


def rewrite(files: tuple[Path, Path], **changes: object) -> None:
    with np.load(files[0]) as stored:
        arrays = dict(stored) | changes
    np.savez(files[0], **{name: values for name, values in arrays.items() if values is not None})


def test_row_order_of_either_file_does_not_matter(files: tuple[Path, Path], tmp_path: Path) -> None:
    straight = read(*files)
    assert straight.table.image.tolist() == sorted(straight.table.image)
    assert len(np.unique(straight.groups)) == 6
    table = pd.read_csv(files[1], dtype=str).sample(frac=1, random_state=1)
    table.to_csv(tmp_path / "mixed.csv", index=False)
    mixed = read(files[0], tmp_path / "mixed.csv")
    np.testing.assert_array_equal(mixed.matrix, straight.matrix)
    np.testing.assert_array_equal(mixed.groups, straight.groups)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "xlsx"])
def test_the_table_may_be_of_any_kind(files: tuple[Path, Path], tmp_path: Path, suffix: str) -> None:
    straight = read(*files)
    table, path = pd.read_csv(files[1], dtype=str), tmp_path / f"meta.{suffix}"
    {"csv": lambda: table.to_csv(path, sep=";", encoding="utf-16"), "parquet": lambda: table.to_parquet(path),
     "xlsx": lambda: table.to_excel(path, index=False)}[suffix]()  # fmt: skip
    other = read(files[0], path)
    np.testing.assert_array_equal(other.matrix, straight.matrix)
    np.testing.assert_array_equal(other.groups, straight.groups)


def test_npz_and_parquet_give_the_same_and_npy_by_position(files: tuple[Path, Path], tmp_path: Path) -> None:
    straight = read(*files)
    frame = pd.DataFrame(straight.matrix, columns=["a", "b", "c"]).assign(image=IDS)
    frame.iloc[::-1].to_parquet(tmp_path / "x.parquet")
    frame[frame.image != ""].set_index("image").iloc[::-1].to_parquet(tmp_path / "index.parquet")
    frame.iloc[[3, *range(3), *range(4, 12)]].to_parquet(tmp_path / "numbered.parquet")  # with a column of row numbers
    for name in ("x.parquet", "index.parquet", "numbered.parquet"):
        np.testing.assert_array_equal(read(tmp_path / name, files[1]).matrix, straight.matrix)
    np.save(tmp_path / "x.npy", straight.matrix)
    with pytest.raises(UserError, match=r"x\.npy holds no ids .*`id` is 'image'.*numpy\.savez\(\.\.\., image=ids\)"):
        read(tmp_path / "x.npy", files[1])
    by_position = read(tmp_path / "x.npy", files[1], replace(SPEC, id=None))
    np.testing.assert_array_equal(by_position.matrix, straight.matrix)
    np.testing.assert_array_equal(by_position.groups, straight.groups)
    np.save(tmp_path / "short.npy", straight.matrix[:-1])
    with pytest.raises(UserError, match=r"11 rows and .* has 12; paired by position"):
        read(tmp_path / "short.npy", files[1], replace(SPEC, id=None))


def test_ids_under_another_name_are_used_and_said(files: tuple[Path, Path], tmp_path: Path) -> None:
    straight = read(*files)
    order = np.random.default_rng(1).permutation(12)
    rewrite(files, image=None, embedding=straight.matrix[order], image_path=np.array(IDS)[order])
    found = read(*files)
    np.testing.assert_array_equal(found.matrix, straight.matrix)
    assert "ids from 'image_path', its only array of as many texts as rows" in found.read[1]
    rewrite(files, sex=np.array(["F", "M"] * 6))
    with pytest.raises(UserError, match="several of as many texts as rows: 'image_path', 'sex'; name the one"):
        read(*files)
    np.testing.assert_array_equal(read(*files, replace(SPEC, ids="image_path")).matrix, straight.matrix)
    assert (
        "(arrays of as many texts, 'image_path', 'sex', are not used)" in read(*files, replace(SPEC, id=None)).read[1]
    )
    frame = pd.DataFrame(straight.matrix, columns=["a", "b", "c"]).assign(path=IDS)
    frame.to_parquet(tmp_path / "x.parquet")
    assert "ids from 'path', its only column that is no number" in read(tmp_path / "x.parquet", files[1]).read[1]


def test_ids_as_python_objects_are_named(files: tuple[Path, Path]) -> None:
    """What pandas gives, and what numpy then stores as a pickle."""
    rewrite(files, image=np.array(IDS, dtype=object))
    with pytest.raises(UserError, match=r"array 'image' holds Python objects.*numpy\.savez\(\.\.\., image=values"):
        read(*files)


def test_duplicate_clusters_become_groups(files: tuple[Path, Path], tmp_path: Path) -> None:
    pd.DataFrame({"id": IDS, "cluster": [0, 0, 0, *range(1, 10)]}).to_csv(tmp_path / "c.csv", index=False)
    source = read(*files, replace(SPEC, group=None), tmp_path / "c.csv")
    assert len(set(source.groups[:3])) == 1
    assert len(set(source.groups)) == 10
    assert source.kept_together.startswith("near-duplicates, and images of one patient where")


def test_bad_embeddings_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    good = read(*files).matrix
    rewrite(files, embedding=np.where(np.eye(12, 3) > 0, np.nan, good).astype(np.float32))
    with pytest.raises(UserError, match="3 embeddings hold NaN or infinity, such as that of 0000"):
        read(*files)
    constant = good.copy()
    constant[:, 1] = 2
    rewrite(files, embedding=constant)
    with pytest.raises(UserError, match="1 of 3 are the same for all images, such as number 1"):
        read(*files)
    np.save(tmp_path / "text.npy", np.array([["a"]]))
    with pytest.raises(UserError, match="expected numbers"):
        read(tmp_path / "text.npy", files[1])
    np.save(tmp_path / "pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "pickle.npy", files[1])
    with pytest.raises(UserError, match="is not there"):
        read(tmp_path / "gone.npy", files[1])


def test_features_of_parquet_are_numbers_and_not_in_the_table(files: tuple[Path, Path], tmp_path: Path) -> None:
    frame = pd.DataFrame(read(*files).matrix, columns=["a", "b", "c"]).assign(image=IDS)
    frame.assign(note="x").to_parquet(tmp_path / "x.parquet")
    with pytest.raises(UserError, match="every column but the ids is a feature and needs numbers; not so 'note'"):
        read(tmp_path / "x.parquet", files[1])
    frame.rename(columns={"b": "sex"}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"column 'sex' is a feature in .* and stands in .* as well"):
        read(tmp_path / "x.parquet", files[1])


def test_bad_ids_are_refused(files: tuple[Path, Path]) -> None:
    ids = np.array(IDS, "S4")
    rewrite(files, image=np.where(ids == b"0003", b"9999", ids))
    both = r"1 of 12 ids in .* have no embedding \('0003'\) and 1 of 12 embeddings no row there \('9999'\)"
    with pytest.raises(UserError, match=both):
        read(*files)
    rewrite(files, image=np.where(ids == b"0003", b"0004", ids))
    with pytest.raises(UserError, match="1 ids appear more than once, such as 0004"):
        read(*files)
    with pytest.raises(UserError, match="missing: subject; found"):
        read(*files, replace(SPEC, group="subject"))
    rewrite(files, image=np.arange(12))  # 3 is not 0003: ids are text
    with pytest.raises(UserError, match=r"12 of 12 .*\('0000', '0001', '0002'\) and 12 of 12 .*\('0', '1', '2'\)"):
        read(*files, replace(SPEC, drop_unmatched=True))


def test_rows_without_a_partner_are_counted_where_they_may_be_left_out(files: tuple[Path, Path]) -> None:
    straight = read(*files)
    ids = np.array(IDS)
    rewrite(files, image=np.where(ids == "0003", "9999", np.where(ids == "0005", "8888", ids)))
    source = read(*files, replace(SPEC, drop_unmatched=True))
    assert source.unmatched == {"rows without an embedding": 2, "embeddings without a row": 2}
    kept = [number for number in range(12) if number not in (3, 5)]
    np.testing.assert_array_equal(source.matrix, straight.matrix[kept])
    assert source.table.image.tolist() == [IDS[number] for number in kept]


@pytest.mark.parametrize("unknown", ["", " ", "NA", "nan", "None", "null", "N/A", "-1", "1.23457E+17"])
def test_an_image_without_a_patient_stops_the_study(files: tuple[Path, Path], unknown: str, tmp_path: Path) -> None:
    change(files, patient=["p", unknown, unknown, *"abcdefghi"])
    with pytest.raises(UserError, match=r"every image needs its group; .*2 of 12 cells hold none: .*line 3, .*line 4"):
        read(*files)


def test_a_null_patient_of_parquet_stops_the_study(files: tuple[Path, Path], tmp_path: Path) -> None:
    table = pd.read_csv(files[1], dtype={"image": str}).assign(patient=[1, None, *range(10)])
    table.to_parquet(tmp_path / "meta.parquet")
    with pytest.raises(UserError, match="1 of 12 cells hold none: '' in row 2"):
        read(files[0], tmp_path / "meta.parquet")


def test_the_patient_may_be_a_part_of_a_cell(files: tuple[Path, Path]) -> None:
    paths = [f"train/patient{number // 3:05d}/study1/view{number}.jpg" for number in range(12)]
    change(files, path=paths)
    spec = replace(SPEC, group="path", pattern=r"patient(\d+)")
    source = read(*files, spec)
    assert source.groups.tolist() == [number // 3 for number in range(12)]
    assert source.kept_together == r"images of one path, of which 'patient(\\d+)' takes a part"
    change(files, path=[*paths[:-1], "train/unknown/view.jpg"])
    with pytest.raises(UserError, match=r"1 of 12 cells .* do not match .*: 'train/unknown/view\.jpg' in line 13"):
        read(*files, spec)


def test_without_a_group_it_is_said_that_patients_may_be_on_both_sides(files: tuple[Path, Path]) -> None:
    source = read(*files, replace(SPEC, group=None))
    assert len(set(source.groups.tolist())) == 12
    assert source.kept_together == "nothing; images of one patient may be in training and test"


@settings(max_examples=20, deadline=None)
@given(patients=st.integers(20, 60), folds=st.integers(3, 8), seed=st.integers(0, 99))
def test_folds_cover_every_row_once_and_never_split_a_group(patients: int, folds: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), rng.integers(1, 5, patients))
    classes = (np.arange(patients) % 2)[groups]
    rows = np.arange(len(groups)) * 3  # row numbers of a larger table
    made = make_folds(rows, classes, groups, folds, seed, False, "tone", ["light", "dark"])
    assert np.array_equal(np.sort(np.concatenate([fold.test for fold in made])), rows)
    of = dict(zip(rows.tolist(), groups.tolist(), strict=True))
    for fold in made:
        parts = [{of[row] for row in part.tolist()} for part in (fold.test, fold.train, fold.valid)]
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert len(fold.test) + len(fold.train) + len(fold.valid) == len(rows)
        assert len(set(classes[fold.test // 3])) == 2
