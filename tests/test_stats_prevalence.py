"""Counts, prevalence and condition mix from the metadata, by hand and on the real table."""

import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper import read_fitzpatrick17k
from simulated import GROUPS, PAIR

from evenhand.data.metadata import assign_group
from evenhand.splits.groups import groups_from
from evenhand.stats.prevalence import condition_mix, fst_counts, mix_claim, prevalence_table, total_variation
from evenhand.workflow.errors import UserError


def small_metadata() -> pd.DataFrame:
    """Five light rows (3 acne, 2 eczema), four dark rows (1 acne, 3 nevus), one of type 3, one without a type."""
    labels = ["acne"] * 3 + ["eczema"] * 2 + ["acne"] + ["nevus"] * 3 + ["wart", "acne"]
    nine = ["inflammatory"] * 6 + ["benign dermal"] * 3 + ["viral", "inflammatory"]
    three = ["non-neoplastic"] * 6 + ["benign"] * 3 + ["non-neoplastic"] * 2
    return pd.DataFrame(
        {
            "skin_type": [1, 1, 2, 2, 2, 5, 5, 6, 6, 3, -1],
            "condition": labels,
            "condition_2": nine,
            "condition_3": three,
        }
    )


def grouped(metadata: pd.DataFrame) -> pd.Series:
    return assign_group(metadata, GROUPS)


def prevalence_of(metadata: pd.DataFrame) -> pd.DataFrame:
    return prevalence_table(metadata, grouped(metadata), [PAIR])


def test_counts_by_skin_type() -> None:
    metadata = small_metadata()
    table = fst_counts(metadata, grouped(metadata))
    assert table["skin_type"].tolist() == [-1, 1, 2, 3, 4, 5, 6]
    assert table["n"].tolist() == [1, 2, 3, 1, 0, 2, 2]
    assert table["group"].tolist() == ["", "light", "light", "", "", "dark", "dark"]


def test_a_type_with_rows_of_two_groups_is_in_neither() -> None:
    metadata = small_metadata()
    by_label = groups_from(
        [
            {"name": name, "title": name, "where": {"condition": [label]}}
            for name, label in (("a", "acne"), ("b", "eczema"))
        ]
    )
    # Of type 1 both rows have acne, of type 2 one has acne and two have eczema; of 5 one has acne, the other nevus.
    table = fst_counts(metadata, assign_group(metadata, by_label)).set_index("skin_type")
    assert table.loc[[1, 2, 5], "group"].tolist() == ["a", "", "a"]


def test_prevalence_and_distance_by_hand() -> None:
    """Fine level: light (0.6, 0.4, 0), dark (0.25, 0, 0.75) over acne, eczema, nevus; half the sum of differences."""
    metadata = small_metadata()
    table = prevalence_of(metadata)
    fine = table[table["level"] == "fine"].set_index("condition")
    assert fine["share_reference"].to_dict() == {"acne": 0.6, "eczema": 0.4, "nevus": 0.0, "wart": 0.0}
    assert fine["share_compared"].to_dict() == {"acne": 0.25, "eczema": 0.0, "nevus": 0.75, "wart": 0.0}
    mix = condition_mix(table, 0, 200, 0.95).set_index("level")
    assert mix["total_variation"].to_dict() == pytest.approx({"three": 0.75, "nine": 0.75, "fine": 0.75})
    assert mix["n_conditions"].tolist() == [2, 3, 4]
    assert mix.loc["fine", "absent_compared"] == 2


def test_a_condition_called_none_is_a_condition() -> None:
    metadata = small_metadata().replace({"condition": {"wart": "none"}})
    assert "none" in set(prevalence_of(metadata)["condition"])


def test_a_study_without_dark_rows_is_refused() -> None:
    metadata = small_metadata().query("skin_type < 4")
    with pytest.raises(UserError, match="none of dark"):
        prevalence_of(metadata)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=20))
def test_total_variation_is_a_distance(counts: list[tuple[int, int]]) -> None:
    table = np.array(counts) + 1
    distance = total_variation(table)
    assert 0 <= distance <= 1
    assert total_variation(table[:, ::-1]) == pytest.approx(distance)
    assert total_variation(table * [1, 7]) == pytest.approx(distance)  # shares count, not numbers
    assert total_variation(np.c_[table[:, 0], 3 * table[:, 0]]) == pytest.approx(0)


def test_permutation_of_two_samples_from_one_mix_is_no_evidence() -> None:
    rng = np.random.default_rng(0)
    p_values = []
    for seed in range(60):
        counts = np.stack([rng.multinomial(300, np.full(20, 0.05)), rng.multinomial(80, np.full(20, 0.05))], axis=1)
        table = pd.DataFrame(counts, columns=["n_reference", "n_compared"])
        table = table.assign(compared="dark", level="fine", condition=range(20))
        table["share_reference"], table["share_compared"] = table["n_reference"] / 300, table["n_compared"] / 80
        row = condition_mix(table, seed, 200, 0.95).iloc[0]
        p_values.append(row["p_permutation"])
        # half of 20 times the mean absolute value of a normal: sqrt(2/pi 0.05 0.95 (1/300 + 1/80)) = 0.0219
        assert row["tv_chance"] == pytest.approx(0.219, abs=0.02)
    assert 0.0 < np.mean(np.array(p_values) <= 0.1) < 0.25
    assert 0.35 < np.mean(p_values) < 0.65


@pytest.mark.skipif("FITZ_METADATA" not in os.environ, reason="FITZ_METADATA (the real annotation table) is not set")
def test_real_table_is_exact() -> None:
    """Recomputed here with plain counting; the three-class shares can be checked on paper."""
    metadata = read_fitzpatrick17k(os.environ["FITZ_METADATA"])
    group = grouped(metadata)
    counts = fst_counts(metadata, group).set_index("skin_type")["n"].to_dict()
    assert counts == {-1: 565, 1: 2947, 2: 4808, 3: 3308, 4: 2781, 5: 1533, 6: 635}
    mix = condition_mix(prevalence_of(metadata), 0, 200, 0.95).set_index("level")
    assert mix["n_conditions"].tolist() == [3, 9, 114]
    for level, column in [("three", "condition_3"), ("nine", "condition_2"), ("fine", "condition")]:
        tally = {}
        for condition, name in zip(metadata[column], group, strict=True):
            if name:
                tally.setdefault(condition, {"light": 0, "dark": 0})[name] += 1
        light = np.array([tally.get(c, {"light": 0})["light"] / 7755 for c in sorted(set(metadata[column]))])
        dark = np.array([tally.get(c, {"dark": 0})["dark"] / 2168 for c in sorted(set(metadata[column]))])
        assert mix.loc[level, "total_variation"] == pytest.approx(sum(abs(light - dark)) / 2, abs=1e-12)
        centred = (light - light.mean(), dark - dark.mean())
        pearson = centred[0] @ centred[1] / np.sqrt((centred[0] @ centred[0]) * (centred[1] @ centred[1]))
        assert mix.loc[level, "pearson_r"] == pytest.approx(pearson, abs=1e-12)
    assert mix["total_variation"].round(4).tolist() == [0.1083, 0.1192, 0.3808]
    assert mix_claim(mix.reset_index(), PAIR, 0.05, 0.2, 0.3)["verdict"] == "supported"
