"""Targets: which cells are which class, and that everything left out is counted by its cell."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from evenhand.data.cells import cell_key
from evenhand.probes.scoring import score
from evenhand.probes.targets import Kind, LeftOut, Target, TargetSpec, count_classes, never_scored, read_target
from evenhand.workflow.errors import UserError

TABLE = pd.DataFrame(
    {
        "age": ["30", "40", "59.0", "60", "", "-1.0"],
        "race": ["W", "B", "A", "?", "W", ""],
        "edema": ["1", "0", "-1.0", "", "1.0", "0"],
        "effusion": ["0", "1", "1", "1", "0", "-1"],
        "finding": ["1.0", "", "1.0", "", "", "1.0"],
        "truth": ["True", "FALSE", "true", "", "yes", "no"],
    }
)


def test_bins_are_closed_on_the_left() -> None:
    target = read_target(TABLE, TargetSpec("age", "multiclass", ("age",), bins=(40, 60), missing=("-1",)), "s")
    assert target.classes == ("below 40", "40 to below 60", "60 and above")
    assert target.codes.tolist() == [0, 1, 1, 2, -1, -1]
    assert dict(count_classes(target))["(missing)"] == 2


def test_cells_not_listed_are_not_known_and_named() -> None:
    spec = TargetSpec("race", "binary", ("race",), values={"W": "white", "B": "other", "A": "other"})
    target = read_target(TABLE, spec, "s")
    assert target.codes.tolist() == [0, 1, 1, -1, 0, -1]
    assert count_classes(target) == [("white", 2), ("other", 2), ("(missing)", 2)]
    assert target.left_out == (LeftOut("race", "", 1, "empty"), LeftOut("race", "?", 1, "not listed in values"))


def test_several_labels_with_gaps() -> None:
    target = read_target(TABLE, TargetSpec("d", "multilabel", ("edema", "effusion"), missing=("-1",)), "s")
    np.testing.assert_array_equal(target.values[:, 0], [1, 0, np.nan, np.nan, 1, 0])
    assert target.known.all()
    assert count_classes(target) == [("edema", 2), ("effusion", 3), ("(missing)", 0)]
    assert LeftOut("edema", "-1.0", 1, "listed in missing") in target.left_out


@pytest.mark.parametrize(
    ("values", "missing", "edema"),
    [  # blank is negative; uncertain is positive, negative or missing
        ({"1": "1", "0": "0", "-1": "1", "": "0"}, (), [1, 0, 1, 0, 1, 0]),
        ({"1": "1", "0": "0", "-1": "0", "": "0"}, (), [1, 0, 0, 0, 1, 0]),
        ({"1": "1", "0": "0", "": "0"}, ("-1",), [1, 0, np.nan, 0, 1, 0]),
        ({"1.0": "1", "0.0": "0"}, ("-1.0",), [1, 0, np.nan, np.nan, 1, 0]),
    ],
)
def test_the_policies_for_blank_and_uncertain_labels(
    values: dict[str, str], missing: tuple[str, ...], edema: list[float]
) -> None:
    target = read_target(TABLE, TargetSpec("d", "multilabel", ("edema", "effusion"), values, missing=missing), "s")
    np.testing.assert_array_equal(target.values[:, 0], edema)


def test_a_label_that_is_never_0_is_not_scored_and_said_to_be_so() -> None:
    target = read_target(TABLE, TargetSpec("d", "multilabel", ("finding", "effusion"), missing=("-1",)), "s")
    assert never_scored(target) == {"finding": "all 3 rows with a label are 1, none is 0"}
    logits = np.column_stack([np.ones(6), np.array([-1, 1, 1, 1, -1, 1.0])])
    scores = score(target, np.arange(6), logits)
    assert (scores.auc, scores.macro_f1, scores.scored, scores.unscored) == (1.0, 1.0, 1, ("finding",))
    logits[:, 0] = -1  # wrong for every row of the label that is not scored: no number changes
    assert score(target, np.arange(6), logits) == scores
    blank = TargetSpec("d", "multilabel", ("finding",), values={"1": "1", "": "0"})
    assert never_scored(read_target(TABLE, blank, "s")) == {}


def test_truth_values_match_in_any_case() -> None:
    spec = TargetSpec("t", "binary", ("truth",), values={"True": "yes", "False": "no"})
    assert read_target(TABLE, spec, "s").codes.tolist() == [0, 1, 0, -1, 0, 1]
    labels = read_target(TABLE, TargetSpec("t", "multilabel", ("truth",)), "s")
    np.testing.assert_array_equal(labels.values[:, 0], [1, 0, 1, np.nan, 1, 0])


def test_without_values_cells_that_are_the_same_number_are_one_class() -> None:
    table = pd.DataFrame({"x": ["1.0", "1", "1", "2", "007", "7"]})
    target = read_target(table, TargetSpec("x", "multiclass", ("x",)), "s")
    assert target.classes == ("007", "1", "2", "7")
    assert target.codes.tolist() == [1, 1, 1, 2, 0, 3]


@given(st.integers(-(10**20), 10**20), st.integers(0, 3))
def test_a_number_is_itself_however_it_is_written(number: int, decimals: int) -> None:
    for text in (f"{number}.{'0' * decimals}", f" {number} ", f"{Decimal(number):e}"):
        assert cell_key(text) == cell_key(number)
    assert cell_key(f"0{abs(number)}") != cell_key(abs(number))  # a code
    assert cell_key(f"{number}x") != cell_key(number)


def test_truth_is_no_number() -> None:
    assert cell_key(True) == cell_key("TRUE") != cell_key(1)
    assert cell_key("nan") == ("text", "nan")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (TargetSpec("x", "binary", ("gone",)), "needs the column 'gone'"),
        (TargetSpec("x", "binary", ("race",)), r"binary, which has two classes; found 4: '\?', 'A', 'B', 'W'"),
        (TargetSpec("x", "multiclass", ("race",), bins=(3,)), r"needs numbers in 'race'.*found 'W' in row 0 \(5 such"),
        (TargetSpec("x", "multilabel", ("edema",)), r"needs 0, 1 or an empty cell in 'edema'.*'-1.0' in row 2 \(1 su"),
        (
            TargetSpec("x", "binary", ("race",), values={"W": "w", "C": "c"}),
            r"class 'c'; 'race' holds 'W' \(2\), '' \(1\)",
        ),
        (TargetSpec("x", "multilabel", ("finding", "age"), missing=("30", "40", "59", "60", "-1")), "label in 'age'"),
    ],
)
def test_bad_targets_are_refused(spec: TargetSpec, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_target(TABLE, spec, "s")


@given(st.integers(0, 10_000), st.sampled_from(["binary", "multiclass", "multilabel"]))
def test_scores_are_those_of_scikit_learn(seed: int, kind: Kind) -> None:
    """With ties, with labels that are not known, and with classes that no row has."""
    random = np.random.default_rng(seed)
    n, outputs = int(random.integers(6, 40)), 1 if kind == "binary" else 3
    logits = random.integers(-3, 4, (n, outputs)).astype(float)
    values = random.integers(0, 2, (n, outputs)).astype(np.float32)
    if kind == "multiclass":
        values = np.eye(3, dtype=np.float32)[random.integers(0, random.integers(2, 4), n)]
    if kind == "multilabel":
        values[random.random(values.shape) < 0.2] = np.nan
    pairs = [(truth[~np.isnan(truth)], of[~np.isnan(truth)]) for truth, of in zip(values.T, logits.T, strict=True)]
    pairs = [(truth, of) for truth, of in pairs if len(np.unique(truth)) == 2]
    assume(pairs)
    found = score(Target("t", kind, ("a", "b", "c")[: outputs + (kind == "binary")], values), np.arange(n), logits)
    assert (found.scored, len(found.unscored)) == (len(pairs), outputs - len(pairs))
    assert found.auc == pytest.approx(np.mean([roc_auc_score(truth, of) for truth, of in pairs]), abs=1e-12)
    if kind == "multiclass":
        f1 = f1_score(values.argmax(1), logits.argmax(1), average="macro", zero_division=0.0)
    elif kind == "binary":
        f1 = f1_score(values[:, 0], logits[:, 0] > 0, average="macro", zero_division=0.0)
    else:
        f1 = np.mean([f1_score(truth, of > 0, zero_division=0.0) for truth, of in pairs])
    assert found.macro_f1 == pytest.approx(f1, abs=1e-12)


def test_a_logit_that_is_no_number_has_no_score() -> None:
    target = read_target(TABLE, TargetSpec("d", "multilabel", ("effusion",), missing=("-1",)), "s")
    with pytest.raises(ValueError, match="NaN or infinite"):
        score(target, np.arange(6), np.full((6, 1), np.nan))
