"""The design: disjoint, sized, shared and seeded as the study says."""

import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fairgen.errors import UserError
from fairgen.splits import (
    Design,
    TrainSet,
    describe_design,
    draw_manifest,
    feasible_train_size,
    group_counts,
    isolate_clusters,
)

PAPER_SETS = (TrainSet("A", 0.0), TrainSet("B", 0.5), TrainSet("C", 1.0))


def images(light: int, dark: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "md5hash": [f"{index:032x}" for index in range(light + dark)],
            "group": ["light"] * light + ["dark"] * dark,
        }
    )


def design(
    *, test_size: int = 5, train_size: int = 20, replacement: bool = False, sets: tuple[TrainSet, ...] = PAPER_SETS
) -> Design:
    return Design(
        seed=1, test_size=test_size, train_size=train_size, min_train_size=2, replacement=replacement, train_sets=sets
    )


designs = st.builds(
    lambda light, dark, test_size, train_size, share, run: (
        images(light, dark),
        design(test_size=test_size, train_size=train_size, sets=(*PAPER_SETS, TrainSet("D", share))),
        run,
    ),
    light=st.integers(10, 60),
    dark=st.integers(10, 60),
    test_size=st.integers(2, 8),
    train_size=st.integers(2, 80),
    share=st.floats(0, 1),
    run=st.integers(0, 99),
)


def available(table: pd.DataFrame) -> dict[str, int]:
    return {group: int((table["group"] == group).sum()) for group in ("light", "dark")}


@given(designs)
@settings(max_examples=150, deadline=None)
def test_manifest_invariants(case: tuple[pd.DataFrame, Design, int]) -> None:
    table, asked, run = case
    size = feasible_train_size(asked, available(table))
    manifest = draw_manifest(table, asked, run, size)
    group_of = table.set_index("md5hash")["group"]
    assert (group_of.loc[manifest["md5hash"]].to_numpy() == manifest["group"].to_numpy()).all()
    test = manifest[manifest["role"].str.startswith("test_")]
    assert test.groupby("role").size().to_dict() == {"test_dark": asked.test_size, "test_light": asked.test_size}
    assert (test["role"] == "test_" + test["group"]).all()
    train = manifest[manifest["role"].str.startswith("train_")]
    assert not set(test["md5hash"]) & set(train["md5hash"])
    for train_set in asked.train_sets:
        drawn = train[train["role"] == f"train_{train_set.name}"]
        assert len(drawn) == size
        assert drawn["md5hash"].is_unique
        assert abs((drawn["group"] == "dark").sum() - train_set.dark_share * size) <= 0.5
    assert set(manifest["run"]) == {run}


@given(designs, st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_order_of_the_images_does_not_matter(case: tuple[pd.DataFrame, Design, int], order: int) -> None:
    table, asked, run = case
    size = feasible_train_size(asked, available(table))
    shuffled = table.sample(frac=1, random_state=order)
    pd.testing.assert_frame_equal(draw_manifest(table, asked, run, size), draw_manifest(shuffled, asked, run, size))


def test_the_papers_sizes() -> None:
    # 7,755 light and 2,168 dark images; 2,168 - 500 = 1,668 (study, section 1).
    asked = design(test_size=500, train_size=1668)
    assert feasible_train_size(asked, {"light": 7755, "dark": 2168}) == 1668
    assert group_counts(TrainSet("B", 0.5), 1668) == {"light": 834, "dark": 834}
    assert group_counts(TrainSet("B", 0.5), 5) == {"light": 2, "dark": 3}


def test_all_sets_shrink_together() -> None:
    manifest = draw_manifest(images(60, 15), design(), 0, feasible_train_size(design(), {"light": 60, "dark": 15}))
    sizes = manifest[manifest["role"].str.startswith("train_")].groupby("role").size()
    assert sizes.to_dict() == {"train_A": 10, "train_B": 10, "train_C": 10}


@pytest.mark.parametrize(
    ("light", "dark", "named"), [(4, 50, "light: needed 7, found 4"), (50, 6, "dark: needed 7, found 6")]
)
def test_a_group_that_cannot_be_filled_is_named(light: int, dark: int, named: str) -> None:
    with pytest.raises(UserError, match=named):
        feasible_train_size(design(), {"light": light, "dark": dark})


def test_runs_differ_and_other_sets_and_runs_do_not_interfere() -> None:
    table = images(60, 40)
    first = draw_manifest(table, design(), 0, 20)
    assert set(first["md5hash"]) != set(draw_manifest(table, design(), 1, 20)["md5hash"])
    more = draw_manifest(table, design(sets=(TrainSet("Z", 0.3), *PAPER_SETS)), 0, 20)
    pd.testing.assert_frame_equal(first, more[more["role"] != "train_Z"].reset_index(drop=True))


clustered = st.builds(
    lambda light, dark, sizes, test_size, run: (
        images(light, dark).assign(cluster=np.repeat(np.arange(len(sizes)), sizes)[: light + dark].astype(str)),
        design(test_size=test_size, train_size=8),
        run,
    ),
    light=st.integers(30, 50),
    dark=st.integers(30, 50),
    sizes=st.lists(st.sampled_from([1, 1, 1, 2, 3]), min_size=100, max_size=100),
    test_size=st.integers(4, 8),
    run=st.integers(0, 99),
)


@given(clustered, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_no_cluster_is_on_both_sides(case: tuple[pd.DataFrame, Design, int], random: Random) -> None:
    table, asked, run = case
    labels = table["cluster"].tolist()
    random.shuffle(labels)  # so that some clusters hold both groups
    clusters = table[["md5hash"]].assign(cluster=labels)
    kept = isolate_clusters(table.drop(columns="cluster"), clusters)
    mixed = table.assign(cluster=labels).groupby("cluster")["group"].nunique().loc[lambda n: n > 1].index
    assert set(kept["md5hash"]) == set(clusters.loc[~clusters["cluster"].isin(mixed), "md5hash"])
    alone = kept[kept.groupby("cluster")["group"].transform("size") == 1]
    # Images without duplicates can complete any test set; with too few of them it may be an error (below).
    assume(min(available(alone).values()) >= asked.test_size + asked.min_train_size)
    manifest = draw_manifest(kept, asked, run, feasible_train_size(asked, available(kept)))
    cluster_of = kept.set_index("md5hash")["cluster"]
    side = manifest["role"].str.startswith("test_")
    in_test, in_training = (set(cluster_of[manifest.loc[part, "md5hash"]]) for part in (side, ~side))
    assert not in_test & in_training
    assert side.sum() == 2 * asked.test_size
    # Whole clusters: every member of a drawn test cluster is in the test set.
    assert set(cluster_of.index[cluster_of.isin(in_test)]) == set(manifest.loc[side, "md5hash"])


def test_without_duplicates_isolation_changes_nothing() -> None:
    table = images(60, 40)
    isolated = isolate_clusters(table, pd.DataFrame({"md5hash": [], "cluster": []}))
    pd.testing.assert_frame_equal(draw_manifest(table, design(), 0, 20), draw_manifest(isolated, design(), 0, 20))


def test_clusters_too_large_for_a_test_set_are_an_error() -> None:
    table = images(60, 60).assign(cluster=lambda frame: frame["group"] + (frame.index // 6).astype(str))
    with pytest.raises(UserError, match="5 of 5 images are missing after the largest clusters that fit"):
        draw_manifest(table, design(), 0, 20)


def test_bootstrap_has_the_expected_number_of_distinct_images() -> None:
    # n draws with replacement from n images hold n (1 - (1 - 1/n)^n) distinct ones: about 632 of 1,000.
    table = images(1005, 1005)
    manifest = draw_manifest(table, design(replacement=True, train_size=1000), 0, 1000)
    dark = manifest[manifest["role"] == "train_C"]["md5hash"]
    assert len(dark) == 1000
    assert abs(dark.nunique() - 632.3) < 4 * np.sqrt(1000 * (np.exp(-1) - 2 * np.exp(-2)))


def test_sizes_of_the_design() -> None:
    table = images(60, 15)
    manifests = [draw_manifest(table, design(), run, 10) for run in range(3)]
    sizes = describe_design(design(), 15, manifests).set_index("train_set")
    assert sizes.loc["B", ["requested", "planned", "drawn", "light", "dark"]].tolist() == [20, 15, 10, 5, 5]
    pairs = [
        len(set(a["md5hash"]) & set(b["md5hash"])) / 10
        for one, other in [(0, 1), (0, 2), (1, 2)]
        for a, b in [[manifests[run].query("role == 'train_C'") for run in (one, other)]]
    ]
    assert sizes.loc["C", "shared"] == pytest.approx(np.mean(pairs))
    assert np.isnan(describe_design(design(), 15, manifests[:1])["shared"]).all()


def test_same_bytes_in_another_process(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    table = images(60, 40).assign(fitzpatrick_scale=lambda frame: frame["group"].map({"light": 1, "dark": 6}))
    table.to_csv(tmp_path / "images.csv", index=False)
    config = (
        '{"seed": 1, "splits": {"label": "fitzpatrick_scale", "light": [1, 2], "dark": [5, 6], "test_size": 5,'
        ' "train_size": 20, "min_train_size": 2, "replacement": false, "train_sets": [{"name": "A", "dark_share": 0}]}}'
    )
    for name in ("first", "second"):
        subprocess.run(
            [
                *(sys.executable, root / "workflow_scripts" / "make_splits.py", "--images", tmp_path / "images.csv"),
                *("--config", config, "--run", "3", "--output", tmp_path / name),
            ],
            check=True,
        )
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    drawn = pd.read_csv(tmp_path / "first", dtype={"md5hash": str})
    pd.testing.assert_frame_equal(drawn, draw_manifest(table, design(sets=PAPER_SETS[:1]), 3, 20))
