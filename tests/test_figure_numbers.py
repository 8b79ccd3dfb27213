"""The numbers behind the figures and in their captions are known answers."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from drawing import GROUPS, THREE, examples

from evenhand.figures.condition_mse import condition_mse_data, condition_mse_text
from evenhand.figures.gaps import adjusted_data, gap_data, gap_text
from evenhand.figures.group_boxes import group_box_data, group_box_text
from evenhand.figures.metadata import fst_count_data, fst_count_text, prevalence_data, total_variation
from evenhand.figures.reconstructions import balanced, reconstruction_data
from evenhand.figures.sweep import sweep_data, sweep_text
from evenhand.figures.tone import tone_data, tone_text
from evenhand.figures.uncertainty import bars_to_clear, uncertainty_data
from evenhand.splits.groups import TrainSet, groups_from, pairs_of
from evenhand.workflow.errors import UserError

SETS = (TrainSet("A", {"light": 1.0}), TrainSet("C", {"dark": 1.0}))


def test_fst_counts_fill_gaps_and_sum() -> None:
    table = pd.DataFrame({"skin_type": [6, 1, -1], "group": ["dark", "light", np.nan], "n": [2, 7, 3]})
    data = fst_count_data(table, GROUPS)
    assert data["n"].tolist() == [3, 7, 0, 0, 0, 0, 2]
    assert data["group"].tolist() == ["", "light", "", "", "", "", "dark"]
    assert "3.5 light images for every dark one" in fst_count_text(data, GROUPS).caption


def test_boxes_are_ordered_by_share_and_their_ratio_is_in_the_caption() -> None:
    rows = [
        {"train_set": name, "compared_share": share, "run": run, "group": group, "n_images": 500, "mse": value}
        for name, share in (("Z", 0.0), ("M", 1.0), ("A", 0.5))
        for run in (1, 0)
        for group, value in (("light", 0.02), ("dark", 0.02 * (2 - share)))
    ]
    data = group_box_data(pd.DataFrame(rows), "mse")
    assert data.groupby("position")["train_set"].first().tolist() == ["Z", "A", "M"]
    assert data["run"].tolist()[:2] == [0, 1]
    caption = group_box_text(data, "mse", GROUPS).caption
    assert "2.00 under Z (0 % dark), 1.50 under A (50 % dark), 1.00 under M (100 % dark)" in caption
    assert "2 runs" in caption
    assert "500 images" in caption


def test_total_variation_is_half_the_summed_difference() -> None:
    table = pd.DataFrame(
        {
            "compared": "dark",
            "level": "three",
            "condition": ["a", "b", "c"],
            "n_reference": [5, 3, 2],
            "n_compared": [1, 3, 6],
            "share_reference": [0.5, 0.3, 0.2],
            "share_compared": [0.1, 0.3, 0.6],
        }
    )
    data = prevalence_data(table)
    assert total_variation(data) == pytest.approx(0.4)
    assert data["condition"].tolist() == ["a", "c", "b"]  # the largest difference first, ties by name


def test_conditions_of_one_group_are_left_out_and_rare_ones_marked() -> None:
    rows = [
        ("acne", "light", 40, 0.02, 0.03),
        ("acne", "dark", 10, 0.06, 0.05),
        ("lupus", "light", 40, 0.05, np.nan),
        ("lupus", "dark", 9, 0.04, np.nan),
        ("vitiligo", "dark", 50, 0.04, 0.04),
    ]
    table = pd.DataFrame(rows, columns=["condition", "group", "n_images", "raw", "estimate"])
    table = table.assign(train_set="A", compared_share=0.0, ci_low=np.nan, ci_high=np.nan)
    data = condition_mse_data(table, pairs_of(GROUPS), rare_below=10)
    assert data["condition"].tolist() == ["acne", "lupus"]
    assert data["rare"].tolist() == [False, True]
    assert data["estimate_reference"].tolist() == [0.03, 0.05]  # where nothing could be pooled, the raw mean
    caption = condition_mse_text(data, GROUPS, 10, {"dark": 1}).caption
    assert "A (0 % dark): 1 of 1" in caption
    assert "1 conditions occur in the test sets of one group only" in caption


def test_gap_rows_are_those_of_the_figure() -> None:
    common = {"n_runs": 3, "n_test": 9, "ratio": 1.0, "naive_low": 0.0, "naive_high": 0.0, "margin": np.nan}
    common |= {"compared": "dark", "shared": 0.25, "shared_low": -2.0, "shared_high": 2.0}
    rows = [
        {"train_set": name, "compared_share": share, "metric": metric, "gap": gap, "ci_low": -1.0, "ci_high": 1.0}
        | common
        for name, share, gap in (("C", 1.0, -0.5), ("A", 0.0, 0.25))
        for metric in ("kl", "latent_std", "mse")
    ]
    data = gap_data(pd.DataFrame(rows))
    assert data[["metric", "train_set"]].to_numpy().tolist() == [
        *(["mse", "A"], ["mse", "C"], ["latent_std", "A"], ["latent_std", "C"])
    ]
    assert "A (0 % dark) +0.25 (-1 to 1); C (100 % dark) -0.5 (-1 to 1)" in gap_text(data, GROUPS).caption
    assert "(25 % under A, 25 % under C)" in gap_text(data, GROUPS).caption


def test_adjustments_keep_the_order_of_the_table() -> None:
    rows = [
        {"train_set": name, "compared_share": share, "adjustment": kind, "gap": 0.0}
        for name, share in (("B", 0.5), ("A", 0.0))
        for kind in ("none", "condition", "source")
    ]
    data = adjusted_data(pd.DataFrame(rows))
    assert data["train_set"].tolist() == ["A"] * 3 + ["B"] * 3
    assert data["adjustment"].tolist() == ["none", "condition", "source"] * 2


def test_sweep_means_and_crossing() -> None:
    runs = pd.DataFrame(
        {
            "train_set": ["A", "A2", "C"] * 2,
            "compared_share": [0.0, 0.0, 1.0] * 2,
            "run": 0,
            "group": ["light"] * 3 + ["dark"] * 3,
            "n_images": 500,
            "mse": [1.0, 3.0, 4.0, 5.0, 7.0, 2.0],
        }
    )
    data = sweep_data(runs)
    assert data["mean"].tolist() == [6.0, 2.0, 2.0, 4.0]  # dark first; sets of equal share are averaged
    trends = pd.DataFrame(
        {
            "compared": "dark",
            "quantity": ["slope of light", "slope of dark", "crossing"],
            "estimate": [2.0, -4.0, 2 / 3],
            "ci_low": [1.0, -5.0, 0.6],
            "ci_high": [3.0, -3.0, 0.75],
            "note": ["", "", np.nan],
        }
    )
    caption = sweep_text(data, trends, GROUPS).caption
    assert "do equally well at a dark share of 67 %; the gap is not told from 0 between 60 % and 75 %." in caption
    light, dark = (group.title for group in GROUPS)
    assert f"{light} +0.2 (0.1 to 0.3); {dark} -0.4 (-0.5 to -0.3)" in caption
    trends.loc[2, ["estimate", "ci_low", "ci_high", "note"]] = [np.nan, np.nan, np.nan, "light is better throughout"]
    caption = sweep_text(data, trends, GROUPS).caption
    assert "The groups do not cross within the design (light is better throughout)." in caption


def test_uncertainty_keeps_its_questions_and_cuts_intervals() -> None:
    common = {"train_set": "A", "compared_share": 0.0, "score": "kl", "estimate": 0.6, "ci_low": -2.0, "ci_high": 3.0}
    common |= {"n_images": 40, "compared": "dark"}
    rows = [
        common | {"statistic": "auroc", "target": "worst decile", "n_runs": 2},
        common | {"statistic": "auroc", "target": "worst decile of dark images", "n_runs": 2},
        common | {"statistic": "spearman", "target": "worst decile", "n_runs": 2},
        common | {"statistic": "auroc", "target": "group not in the training set", "n_runs": 2},
        common | {"statistic": "alarm", "target": "group not in the training set", "n_runs": 2},
        common
        | {"statistic": "auroc", "target": "group not in the training set", "n_runs": 2, "score": "luma"}
        | {"estimate": 0.2},
    ]
    data = uncertainty_data(pd.DataFrame(rows))
    assert data[["panel", "score"]].to_numpy().tolist() == [[0, "kl"], [1, "luma"], [1, "kl"], [3, "kl"]]
    assert data[["ci_low", "ci_high"]].to_numpy().tolist() == [[0, 1]] * 4
    assert bars_to_clear(data).tolist() == [0.8]


def test_tone_compares_the_ends_of_the_curve() -> None:
    table = pd.DataFrame(
        {
            "train_set": "A",
            "compared_share": 0.0,
            "ita": [50.0, -20.0],
            "mse": [0.1, 0.3],
            "n_images": 9,
            "n_no_skin": 0,
        }
    )
    assert "A (0 % dark): 3.00 times" in tone_text(tone_data(table), GROUPS).caption
    assert "Too few" in tone_text(tone_data(table.head(0)), GROUPS).caption


def test_every_pair_has_its_numbers_under_its_name() -> None:
    groups = groups_from(THREE)
    runs = [
        {"train_set": "A", "compared_share": 0.5, "run": 0, "group": group, "n_images": 9, "mse": mse}
        for group, mse in (("unknown", 0.06), ("women", 0.02), ("men", 0.03))
    ]
    caption = group_box_text(group_box_data(pd.DataFrame(runs), "mse"), "mse", groups).caption
    assert (
        "Men divided by women: 1.50 under A (50 % men). Unknown divided by women: 3.00 under A (50 % men)." in caption
    )
    shared = {"train_set": "A", "compared_share": 0.5, "metric": "mse", "n_runs": 3, "n_test": 9, "ratio": 1.0}
    shared |= dict.fromkeys(("ci_low", "ci_high", "naive_low", "naive_high", "margin", "shared"), np.nan)
    rows = [shared | {"compared": name, "gap": gap} for name, gap in (("unknown", 0.04), ("men", 0.01))]
    table = pd.DataFrame(rows).assign(shared_low=np.nan, shared_high=np.nan)
    caption = gap_text(gap_data(table), groups).caption
    assert "Error gap, men: A (50 % men) +0.01. Error gap, unknown: A (50 % men) +0.04." in caption
    conditions = [("acne", "women", 0.02), ("acne", "men", 0.03), ("acne", "unknown", 0.01), ("lupus", "men", 0.05)]
    means = pd.DataFrame(conditions, columns=["condition", "group", "estimate"])
    means = means.assign(train_set="A", compared_share=0.5, n_images=20, raw=0.1, ci_low=np.nan, ci_high=np.nan)
    data = condition_mse_data(means, pairs_of(groups), rare_below=10)
    assert data["compared"].tolist() == ["men", "unknown"]
    caption = condition_mse_text(data, groups, 10, {"men": 1, "unknown": 0}).caption
    assert "enough images, men: A (50 % men): 1 of 1. Conditions" in caption
    assert "enough images, unknown: A (50 % men): 0 of 1." in caption
    assert "1 (men) and 0 (unknown) conditions occur in the test sets of one group only" in caption


def test_the_balanced_set_holds_little_else() -> None:
    sets = [
        TrainSet("mostly men", {"women": 0.4, "men": 0.6}),
        TrainSet("a third each", {"women": 0.3, "men": 0.3, "unknown": 0.4}),
        TrainSet("half women", {"women": 0.5, "unknown": 0.5}),
    ]
    assert balanced(sets, groups_from(THREE)).name == "mostly men"


def test_reconstructions_are_chosen_and_ordered() -> None:
    stored = examples(3)
    panel = reconstruction_data(stored, GROUPS[1:], SETS[::-1], "dark")
    assert [row.label for row in panel.rows] == ["input", "A\n0 % dark", "C\n100 % dark"]
    assert panel.quantiles == {"dark": [0.1, 0.9]}
    np.testing.assert_array_equal(panel.rows[0].pictures, stored["input"][[3, 1]])
    np.testing.assert_array_equal(panel.rows[2].pictures, stored["reconstruction_C"][[3, 1]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda stored: stored | {"group": np.array(["light"] * 4)}, "holds none"),
        (lambda stored: {name: array for name, array in stored.items() if not name.endswith("_C")}, "none of C"),
    ],
)
def test_missing_reconstructions_are_named(change: Callable[[dict], dict], message: str) -> None:
    with pytest.raises(UserError, match=message):
        reconstruction_data(change(examples(3)), GROUPS[1:], SETS, "dark")
