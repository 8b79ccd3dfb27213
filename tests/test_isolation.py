"""Images that stay on one side: of one patient, near-duplicates, or joined by a chain of both."""

from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from paper import GROUPS, PAPER_SETS

from evenhand.splits.design import (
    Design,
    candidates_from,
    cluster_images,
    draw_test,
    draw_train,
    feasible_train_size,
    left_over,
    usable,
)
from evenhand.splits.manifests import ids_of
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import read_rows, row_writer
from isolate_images import main as isolate_images

Rows = list[dict[str, str]]
N = 90
# Of each image: its skin type, its patient ("" where none is named) and its cluster of near-duplicates.
images = st.lists(
    st.tuples(st.sampled_from(["1", "6"]), st.sampled_from(["", *map(str, range(40))]), st.integers(0, 60)),
    min_size=N,
    max_size=N,
)
# As they are: few copies, and nearly all patients in one group.
likely = st.lists(
    st.tuples(st.sampled_from(["1", "6"]), st.integers(0, 80), st.booleans(), st.integers(0, 900)).map(
        lambda entry: (entry[0], f"{entry[0]}-{entry[1]}" if entry[1] else "shared" * entry[2], entry[3])
    ),
    min_size=N,
    max_size=N,
)


def tables(drawn: list[tuple[str, str, int]]) -> tuple[Rows, Rows]:
    """Rows of images.csv and of duplicates.csv."""
    rows = [
        {"id": f"{number:04d}", "skin_type": kind, "patient": patient}
        for number, (kind, patient, _) in enumerate(drawn)
    ]
    return rows, [{"id": f"{number:04d}", "cluster": str(entry[2])} for number, entry in enumerate(drawn)]


def marks_of(drawn: list[tuple[str, str, int]], patients: bool, duplicates: bool) -> dict[str, set[str]]:
    """What each image shares with others."""
    return {
        f"{number:04d}": ({f"patient {patient}"} if patients and patient else set())
        | ({f"copy {copy}"} if duplicates else set())
        for number, (_, patient, copy) in enumerate(drawn)
    }


@given(images, st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_cluster_is_what_can_be_reached(drawn: list[tuple[str, str, int]], patients: bool, duplicates: bool) -> None:
    rows, copies = tables(drawn)
    cluster_of = dict(cluster_images(rows, copies if duplicates else None, patients))
    assert list(cluster_of) == [row["id"] for row in rows]
    marks = marks_of(drawn, patients, duplicates)
    for start in list(marks)[:10]:
        reached, seen = {start}, set(marks[start])
        while more := {name for name in marks if name not in reached and marks[name] & seen}:
            reached |= more
            seen |= set().union(*(marks[name] for name in more))
        assert {name for name in marks if cluster_of[name] == cluster_of[start]} == reached
        assert cluster_of[start] == min(reached)


@given(likely, st.integers(2, 6), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_no_patient_and_no_copy_is_on_both_sides(drawn: list[tuple[str, str, int]], test_size: int, run: int) -> None:
    rows, copies = tables(drawn)
    clusters = [{"id": name, "cluster": cluster} for name, cluster in cluster_images(rows, copies, True)]
    found = candidates_from(rows, GROUPS, clusters)
    asked = Design(1, GROUPS, test_size, 8, 2, False, PAPER_SETS)
    counts = usable(found, test_size)
    assume(min(counts.values()) >= test_size + 2)
    test = draw_test(found, asked, run)
    marks = marks_of(drawn, patients=True, duplicates=True)
    tested = set().union(*(marks[name] for name in ids_of(test)))
    assert all(len(names) == test_size for names in test.values())
    for train_set in PAPER_SETS:
        training = draw_train(found, asked, run, train_set, feasible_train_size(asked, counts), test)
        assert not any(marks[name] & tested for name in ids_of(training))
        assert len(ids_of(training)) == feasible_train_size(asked, counts)


@pytest.mark.parametrize(("sizes", "test_size", "rest"), [([3] * 9, 8, 1), ([3] * 9, 9, 0), ([3] * 9 + [1, 1], 10, 0)])
def test_test_sets_are_whole_patients_and_one_fills_up(sizes: list[int], test_size: int, rest: int) -> None:
    """With patients of three images 8 are two patients and two images of a third, whose last image is not used."""
    patients = [str(number) for number, size in enumerate(sizes) for _ in range(size)]
    rows = [
        {"id": f"{group}-{place:03d}", "skin_type": group, "patient": f"{group}-{patient}"}
        for group in "16"
        for place, patient in enumerate(patients)
    ]
    clusters = [{"id": row["id"], "cluster": row["patient"]} for row in rows]
    found = candidates_from(rows, GROUPS, clusters)
    asked = Design(1, GROUPS, test_size, 99, 1, False, PAPER_SETS)
    cut = 2  # at most, of the three of a patient
    assert usable(found, test_size) == {group.name: len(patients) - cut for group in GROUPS}
    for run in range(20):
        test = draw_test(found, asked, run)
        assert [len(names) for names in test.values()] == [test_size] * 2
        assert len(left_over(found, test)) == 2 * rest
        for train_set in PAPER_SETS:
            drawn = ids_of(draw_train(found, asked, run, train_set, len(patients) - test_size - cut, test))
            assert not set(drawn) & {*ids_of(test), *left_over(found, test)}


@pytest.mark.parametrize(("patients", "together"), [("auto", 2), ("apart", 3), ("together", 2)])
def test_the_script_keeps_together_what_it_is_told(patients: str, together: int, tmp_path: Path) -> None:
    rows = [{"id": name, "patient": patient} for name, patient in (("a", "7"), ("b", "7"), ("c", ""))]
    with row_writer(tmp_path / "images.csv", ["id", "patient"]) as write:
        for row in rows:
            write(row)
    options = ["--images", str(tmp_path / "images.csv"), "--output", str(tmp_path / "isolated.csv")]
    isolate_images([*options, "--patients", patients])
    assert len({row["cluster"] for row in read_rows(tmp_path / "isolated.csv")}) == together


def test_patients_that_no_table_names_cannot_be_kept_together(tmp_path: Path) -> None:
    (tmp_path / "images.csv").write_text("id,patient\na,\nb,\n")
    options = ["--images", str(tmp_path / "images.csv"), "--output", str(tmp_path / "isolated.csv")]
    with pytest.raises(UserError, match=r"the table names none \(data\.columns\.patient\)"):
        isolate_images([*options, "--patients", "together"])
    isolate_images([*options, "--patients", "auto"])
    assert [row["cluster"] for row in read_rows(tmp_path / "isolated.csv")] == ["a", "b"]
