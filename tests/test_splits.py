"""The design: disjoint, sized, shared and seeded as the study says."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from paper import GROUPS, LIGHT_DARK, PAPER_SETS, mix

from evenhand.splits.design import (
    Candidates,
    Design,
    Drawn,
    available,
    candidates_from,
    describe_design,
    draw_test,
    draw_train,
    feasible_train_size,
    group_counts,
)
from evenhand.splits.groups import TrainSet, group_of, groups_from
from evenhand.splits.manifests import ids_of, read_draw, write_draw
from evenhand.workflow.errors import UserError
from evenhand.workflow.seeds import generator

NAMES = ["light", "dark"]
TYPES = {"light": "1", "dark": "6", "": "3"}


def images(light: int, dark: int) -> list[dict[str, str]]:
    groups = ["light"] * light + ["dark"] * dark + [""] * 3
    return [{"id": f"{index:032x}", "skin_type": TYPES[group]} for index, group in enumerate(groups)]


def candidates(light: int, dark: int) -> dict[str, Candidates]:
    return candidates_from(images(light, dark), GROUPS)


def draw_run(found: dict[str, Candidates], asked: Design, run: int, size: int) -> tuple[Drawn, dict[str, Drawn]]:
    """The test sets and every training set of a run."""
    test = draw_test(found, asked, run)
    return test, {entry.name: draw_train(found, asked, run, entry, size, test) for entry in asked.train_sets}


def design(
    *, test_size: int = 5, train_size: int = 20, replacement: bool = False, sets: tuple[TrainSet, ...] = PAPER_SETS
) -> Design:
    return Design(1, GROUPS, test_size, train_size, 2, replacement, sets)


designs = st.builds(
    lambda light, dark, test_size, train_size, share, run: (
        images(light, dark),
        design(test_size=test_size, train_size=train_size, sets=(*PAPER_SETS, TrainSet("D", mix(share)))),
        run,
    ),
    light=st.integers(10, 60),
    dark=st.integers(10, 60),
    test_size=st.integers(2, 8),
    train_size=st.integers(2, 80),
    share=st.floats(0, 1),
    run=st.integers(0, 99),
)


@given(designs)
@settings(max_examples=150, deadline=None)
def test_draw_invariants(case: tuple[list[dict[str, str]], Design, int]) -> None:
    table, asked, run = case
    found = candidates_from(table, GROUPS)
    size = feasible_train_size(asked, available(found))
    test, training = draw_run(found, asked, run, size)
    of_group = {group: {row["id"] for row in table if row["skin_type"] == TYPES[group]} for group in NAMES}
    for group in NAMES:
        assert len(set(test[group])) == len(test[group]) == asked.test_size
        assert set(test[group]) <= of_group[group]
    for train_set in asked.train_sets:
        drawn = training[train_set.name]
        assert not set(ids_of(drawn)) & set(ids_of(test))
        assert len(ids_of(drawn)) == len(set(ids_of(drawn))) == size
        assert all(set(drawn[group]) <= of_group[group] for group in NAMES)
        assert abs(len(drawn["dark"]) - train_set.share("dark") * size) <= 0.5


@given(designs, st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_order_of_the_images_does_not_matter(case: tuple[list[dict[str, str]], Design, int], random: Random) -> None:
    table, asked, run = case
    shuffled = random.sample(table, len(table))
    one, other = candidates_from(table, GROUPS), candidates_from(shuffled, GROUPS)
    size = feasible_train_size(asked, available(one))
    assert draw_run(one, asked, run, size) == draw_run(other, asked, run, size)


def test_a_draw_is_the_smallest_of_seeded_numbers() -> None:
    """The closed form: images sorted by hash get one uniform number each, and those with the smallest are drawn."""
    found, asked = candidates(60, 40), design()
    test, training = draw_run(found, asked, 3, 20)
    for group, n in (("light", 60), ("dark", 40)):
        names = sorted(row["id"] for row in images(60, 40) if row["skin_type"] == TYPES[group])
        assert len(names) == n
        numbers = generator(asked.seed, "test", group, 3).random(n)
        assert test[group] == [names[i] for i in sorted(np.argsort(numbers)[: asked.test_size])]
        pool = [name for name in names if name not in test[group]]
        numbers = generator(asked.seed, "train", "B", group, 3).random(len(pool))
        assert training["B"][group] == [pool[i] for i in sorted(np.argsort(numbers)[:10])]


def test_the_papers_sizes() -> None:
    # 7,755 light and 2,168 dark images; 2,168 - 500 = 1,668 (study, section 1).
    asked = design(test_size=500, train_size=1668)
    assert feasible_train_size(asked, {"light": 7755, "dark": 2168}) == 1668
    assert group_counts(mix(0.5), 1668, NAMES) == {"light": 834, "dark": 834}
    assert group_counts(mix(0.5), 5, NAMES) == {"light": 2, "dark": 3}


@given(st.lists(st.integers(0, 20), min_size=2, max_size=5).filter(any), st.integers(1, 5000))
def test_counts_add_up_and_none_is_off_by_more_than_one(parts: list[int], size: int) -> None:
    names = [f"group {number}" for number in range(len(parts))]
    shares = {name: part / sum(parts) for name, part in zip(names, parts, strict=True)}
    counts = group_counts(shares, size, names)
    assert list(counts) == names
    assert sum(counts.values()) == size
    assert all(abs(counts[name] - share * size) < 1 + 1e-6 for name, share in shares.items())
    assert all(counts[name] == 0 for name, share in shares.items() if share == 0)


def test_a_group_is_of_cells_and_of_ranges_and_no_image_is_in_two() -> None:
    entries = [
        {"name": "women", "title": "women under 40", "where": {"sex": ["F", True], "age": {"to": 39}}},
        {"name": "men", "title": "men", "where": {"sex": ["M"]}},
        {"name": "old", "title": "60 and older", "where": {"age": {"from": 60}}},
    ]
    groups = groups_from(entries)
    rows = [("F", "39"), (" F ", "39.0"), ("yes", "-3"), ("F", "40"), ("F", ""), ("M", "59"), ("X", "60"), ("X", "6e1")]
    found = [group_of({"sex": sex, "age": age}, groups) for sex, age in rows]
    assert found == ["women", "women", "women", "", "", "men", "old", "old"]
    with pytest.raises(UserError, match="an image with sex 'M', age '61' is in men and in old"):
        group_of({"sex": "M", "age": "61"}, groups)


def test_a_group_that_is_only_tested_does_not_bound_the_training_sets() -> None:
    third = {"name": "middle", "title": "FST 3-4", "where": {"skin_type": [3, 4]}}
    counts = {"light": 60, "dark": 40, "middle": 6}
    for test_only, expected in ((True, 20), (False, None)):
        asked = replace(design(), groups=groups_from([*LIGHT_DARK, third | {"test_only": test_only}]))
        if expected:
            assert feasible_train_size(asked, counts) == expected
        else:
            with pytest.raises(UserError, match="middle: needed 7, found 6"):
                feasible_train_size(asked, counts)


def test_all_sets_shrink_together() -> None:
    found = candidates(60, 15)
    _, training = draw_run(found, design(), 0, feasible_train_size(design(), available(found)))
    assert {name: len(ids_of(drawn)) for name, drawn in training.items()} == {"A": 10, "B": 10, "C": 10}


@pytest.mark.parametrize(
    ("light", "dark", "named"), [(4, 50, "light: needed 7, found 4"), (50, 6, "dark: needed 7, found 6")]
)
def test_a_group_that_cannot_be_filled_is_named(light: int, dark: int, named: str) -> None:
    with pytest.raises(UserError, match=named):
        feasible_train_size(design(), {"light": light, "dark": dark})


def test_runs_differ_and_sets_do_not_interfere() -> None:
    found = candidates(60, 40)
    first, training = draw_run(found, design(), 0, 20)
    assert first != draw_test(found, design(), 1)
    more = design(sets=(TrainSet("Z", mix(0.3)), *PAPER_SETS))
    assert draw_run(found, more, 0, 20)[1]["B"] == training["B"]


def test_a_training_set_needs_the_test_sets_of_its_design() -> None:
    found, asked = candidates(60, 40), design()
    test = draw_test(found, asked, 0)
    strange = test | {"dark": [*test["dark"][:-1], "f" * 32]}
    for wrong in (test | {"light": test["light"][:-1]}, strange, test | {"dark": test["light"]}):
        with pytest.raises(UserError, match="expected a test set of 5 different"):
            draw_train(found, asked, 0, PAPER_SETS[1], 20, wrong)


@given(
    light=st.integers(30, 50),
    dark=st.integers(30, 50),
    sizes=st.lists(st.sampled_from([1, 1, 1, 2, 3]), min_size=103, max_size=103),
    test_size=st.integers(4, 8),
    run=st.integers(0, 99),
    random=st.randoms(use_true_random=False),
)
@settings(max_examples=100, deadline=None)
def test_no_cluster_is_on_both_sides(
    light: int, dark: int, sizes: list[int], test_size: int, run: int, random: Random
) -> None:
    table, asked = images(light, dark), design(test_size=test_size, train_size=8)
    labels = np.repeat(np.arange(len(sizes)), sizes)[: len(table)].astype(str).tolist()
    random.shuffle(labels)  # so that some clusters hold both groups
    cluster_of = {row["id"]: label for row, label in zip(table, labels, strict=True)}
    found = candidates_from(table, GROUPS, [{"id": name, "cluster": label} for name, label in cluster_of.items()])
    groups: dict[str, set[str]] = {}
    for row in table[: light + dark]:
        groups.setdefault(cluster_of[row["id"]], set()).add(row["skin_type"])
    kept = {row["id"] for row in table[: light + dark] if len(groups[cluster_of[row["id"]]]) == 1}
    assert {name for group in NAMES for name in found[group].ids.tolist()} == kept
    # Images without duplicates can complete any test set; with too few of them it may be an error (below).
    alone = [int((np.bincount(found[group].clusters) == 1).sum()) for group in NAMES]
    assume(min(alone) >= asked.test_size + asked.min_train_size)
    test, training = draw_run(found, asked, run, feasible_train_size(asked, available(found)))
    in_test = {cluster_of[name] for name in ids_of(test)}
    assert len(ids_of(test)) == 2 * asked.test_size
    # Whole clusters: every member of a drawn test cluster is in the test set.
    assert {name for name in kept if cluster_of[name] in in_test} == set(ids_of(test))
    for drawn in training.values():
        assert not in_test & {cluster_of[name] for name in ids_of(drawn)}


def test_without_duplicates_isolation_changes_nothing() -> None:
    isolated = candidates_from(images(60, 40), GROUPS, [])
    assert draw_run(candidates(60, 40), design(), 0, 20) == draw_run(isolated, design(), 0, 20)


def test_bootstrap_has_the_expected_number_of_distinct_images() -> None:
    # n draws with replacement from n images hold n (1 - (1 - 1/n)^n) distinct ones: about 632 of 1,000.
    _, training = draw_run(candidates(1005, 1005), design(replacement=True, train_size=1000), 0, 1000)
    dark = training["C"]["dark"]
    assert len(dark) == 1000
    assert abs(len(set(dark)) - 632.3) < 4 * np.sqrt(1000 * (np.exp(-1) - 2 * np.exp(-2)))


def test_sizes_of_the_design() -> None:
    runs = [draw_run(candidates(60, 15), design(), run, 10)[1] for run in range(3)]
    draws = {entry.name: [training[entry.name] for training in runs] for entry in PAPER_SETS}
    sizes = pd.DataFrame(describe_design(design(), 15, draws)).set_index("train_set")
    assert sizes.loc["B", ["requested", "planned", "drawn", "mix"]].tolist() == [20, 15, 10, "light 5, dark 5"]
    pairs = [
        len(set(ids_of(draws["C"][one])) & set(ids_of(draws["C"][other]))) / 10
        for one, other in [(0, 1), (0, 2), (1, 2)]
    ]
    assert sizes.loc["C", "shared"] == pytest.approx(np.mean(pairs))
    assert np.isnan(
        pd.DataFrame(describe_design(design(), 15, {name: drawn[:1] for name, drawn in draws.items()}))["shared"]
    ).all()


def test_a_manifest_holds_its_draw_and_no_other_run_or_role(tmp_path: Path) -> None:
    drawn = draw_test(candidates(60, 40), design(), 0)
    write_draw(drawn, 3, None, tmp_path / "test.csv")
    assert read_draw(tmp_path / "test.csv", 3, None) == drawn
    table = pd.read_csv(tmp_path / "test.csv", dtype=str)
    assert table.columns.tolist() == ["run", "role", "group", "id"]
    assert set(table["role"]) == {"test_light", "test_dark"}
    for run, train_set in ((2, None), (3, "A")):
        with pytest.raises(UserError, match="manifest of something else"):
            read_draw(tmp_path / "test.csv", run, train_set)


def test_the_script_draws_what_the_library_draws(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "workflow_scripts" / "make_splits.py"
    table = pd.DataFrame(images(60, 40))
    table.to_csv(tmp_path / "images.csv", index=False)
    splits = {"groups": LIGHT_DARK, "test_size": 5, "train_size": 20, "min_train_size": 2, "replacement": False}
    config = json.dumps({"seed": 1, "splits": splits, "mix": mix(0.5)})
    (tmp_path / "isolated.csv").write_text("id,cluster\n")
    files = ["--images", str(tmp_path / "images.csv"), "--clusters", str(tmp_path / "isolated.csv")]
    options = [*files, "--config", config, "--run", "3"]
    of_set = ["--train-set", "B", "--test", str(tmp_path / "test.csv")]
    for name, more in (("test.csv", []), ("train_B.csv", of_set)):
        subprocess.run([sys.executable, script, *options, *more, "--output", tmp_path / name], check=True)
    test, training = draw_run(candidates(60, 40), design(), 3, 20)
    assert read_draw(tmp_path / "test.csv", 3, None) == test
    assert read_draw(tmp_path / "train_B.csv", 3, "B") == training["B"]
    # A test set edited by hand is noticed before anything is drawn beside it.
    (tmp_path / "test.csv").write_text((tmp_path / "test.csv").read_text().replace("00000", "11111", 1))
    command = [sys.executable, script, *options, *of_set, "--output", tmp_path / "again.csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "it was changed since it was drawn" in done.stderr
    assert not (tmp_path / "again.csv").exists()
