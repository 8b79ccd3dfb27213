"""Figures: the numbers behind them are known answers; every figure draws for one run, one set and eleven sets."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawing import NAMES, SCRIPTS, design, draw, examples, letters_in_points, write_tables
from matplotlib.text import Text
from PIL import Image

from fairgen.errors import UserError
from fairgen.figures.adjusted import adjusted_data
from fairgen.figures.common import read_table
from fairgen.figures.condition_mse import condition_mse_data, condition_mse_text
from fairgen.figures.fst_counts import fst_count_data, fst_count_text
from fairgen.figures.gaps import gap_data, gap_text
from fairgen.figures.group_boxes import group_box_data, group_box_text
from fairgen.figures.intervals import ordered_sets, set_colours
from fairgen.figures.labels import label_points
from fairgen.figures.prevalence import prevalence_data, total_variation
from fairgen.figures.reconstructions import reconstruction_data
from fairgen.figures.sweep import sweep_data, sweep_text
from fairgen.figures.tone import tone_data, tone_text
from fairgen.figures.uncertainty import uncertainty_data
from fairgen.style import SMALL, fst_range, house_style, mark_synthetic, new_figure, percent, span

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))
# A layout that does not fit is a warning of matplotlib's.
pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize(("sets", "runs"), [(1, 1), (11, 5)])
@pytest.mark.parametrize("name", SCRIPTS)
def test_every_figure_draws(name: str, sets: int, runs: int, tmp_path: Path) -> None:
    write_tables(tmp_path, sets, runs)
    script, table, options = SCRIPTS[name]
    options = [str(tmp_path / option) if option.endswith(".csv") else option for option in options]
    text = draw(script, tmp_path, name, "--table", str(tmp_path / table), "--synthetic", *options)
    assert set(text) == {"title", "caption", "alt", "pictures"}
    assert text["pictures"] is False
    assert text["caption"].startswith("Synthetic data.")
    assert "nan" not in f"{text['caption']} {text['alt']}".lower().split()
    assert "<image" not in (tmp_path / f"{name}.svg").read_text()  # no photograph can hide in it
    sizes = letters_in_points(tmp_path / f"{name}.svg")
    assert sizes
    assert min(sizes) >= SMALL - 1e-6  # readable in print
    with Image.open(tmp_path / f"{name}.png") as image:
        assert image.width <= 60 * 7.01  # the width of the page


@pytest.mark.parametrize("name", ["mse_boxes", "condition_mse", "prevalence"])
def test_equal_figures_are_equal_bytes(name: str, tmp_path: Path) -> None:
    script, table, options = SCRIPTS[name]
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        write_tables(folder, 3, 6)
        if folder.name == "second":  # the order of rows means nothing
            shuffled = pd.read_csv(folder / table).sample(frac=1, random_state=1)
            shuffled.to_csv(folder / table, index=False)
        draw(script, folder, name, "--table", str(folder / table), *options)
    for kind in ("svg", "png", "json"):
        assert (tmp_path / f"first/{name}.{kind}").read_bytes() == (tmp_path / f"second/{name}.{kind}").read_bytes()


@pytest.mark.parametrize("sets", [1, 3, 11])
def test_reconstructions_draw(sets: int, tmp_path: Path) -> None:
    np.savez(tmp_path / "examples.npz", **examples(sets))
    shares = [f"{name}={share}" for name, share in design(sets)]
    options = ["--examples", str(tmp_path / "examples.npz"), "--groups", "light", "dark", "--sets", *shares]
    text = draw("plot_reconstructions", tmp_path, "pictures", *options)
    assert text["pictures"] is True
    assert "photographs of patients" in text["caption"]
    assert (
        "photographs of patients" not in draw("plot_reconstructions", tmp_path, "x", *options, "--synthetic")["caption"]
    )


def test_training_curves_draw(tmp_path: Path) -> None:
    options = ["--models", str(tmp_path), "--sets", "A=0.5", "--runs", "2"]
    for epochs, verdict in ((3, "Too few epochs to tell"), (4, "fell by 25.0 % an epoch on average (0.0 to 50.0 %")):
        for run, factor in enumerate((0.5, 1.0)):  # one that halves every epoch, one that stays
            folder = tmp_path / "A" / f"run{run}"
            folder.mkdir(parents=True, exist_ok=True)
            history = pd.DataFrame({"epoch": range(1, epochs + 1), "mse": 1.0, "kl": 1.0, "perceptual": np.nan})
            history.assign(loss=2 * factor ** history["epoch"]).to_csv(folder / "history.csv", index=False)
        text = draw("plot_training_curves", tmp_path, "x", *options)
        assert "2 models" in text["caption"]
        assert verdict in text["caption"]
    assert "1 of 2 models have converged by epoch 4" in text["caption"]
    assert "<image" not in (tmp_path / "x.svg").read_text()


def test_fst_counts_fill_gaps_and_sum() -> None:
    table = pd.DataFrame({"fitzpatrick_scale": [6, 1, -1], "group": ["dark", "light", np.nan], "n": [2, 7, 3]})
    data = fst_count_data(table)
    assert data["n"].tolist() == [3, 7, 0, 0, 0, 0, 2]
    assert data["group"].tolist() == ["", "light", "", "", "", "", "dark"]
    assert "3.5 light images for every dark one" in fst_count_text(data, NAMES).caption


def test_boxes_are_ordered_by_share_and_their_ratio_is_in_the_caption() -> None:
    rows = [
        {"train_set": name, "dark_share": share, "run": run, "group": group, "n_images": 500, "mse": value}
        for name, share in (("Z", 0.0), ("M", 1.0), ("A", 0.5))
        for run in (1, 0)
        for group, value in (("light", 0.02), ("dark", 0.02 * (2 - share)))
    ]
    data = group_box_data(pd.DataFrame(rows), "mse")
    assert data.groupby("position")["train_set"].first().tolist() == ["Z", "A", "M"]
    assert data["run"].tolist()[:2] == [0, 1]
    caption = group_box_text(data, "mse", NAMES).caption
    assert "2.00 under Z (0 % dark), 1.50 under A (50 % dark), 1.00 under M (100 % dark)" in caption
    assert "2 runs" in caption
    assert "500 images" in caption


def test_total_variation_is_half_the_summed_difference() -> None:
    table = pd.DataFrame(
        {
            "level": "three",
            "condition": ["a", "b", "c"],
            "n_light": [5, 3, 2],
            "n_dark": [1, 3, 6],
            "share_light": [0.5, 0.3, 0.2],
            "share_dark": [0.1, 0.3, 0.6],
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
    table = pd.DataFrame(rows, columns=["label", "group", "n_images", "raw", "estimate"])
    table = table.assign(train_set="A", dark_share=0.0, ci_low=np.nan, ci_high=np.nan)
    data = condition_mse_data(table, rare_below=10)
    assert data["label"].tolist() == ["acne", "lupus"]
    assert data["rare"].tolist() == [False, True]
    assert data["estimate_light"].tolist() == [0.03, 0.05]  # where nothing could be pooled, the raw mean
    caption = condition_mse_text(data, NAMES, 10, 1).caption
    assert "A (0 % dark): 1 of 1" in caption
    assert "1 conditions occur in the test sets of one group only" in caption


def test_gap_rows_are_those_of_the_figure() -> None:
    common = {"n_runs": 3, "n_test": 9, "ratio": 1.0, "naive_low": 0.0, "naive_high": 0.0, "margin": np.nan}
    rows = [
        {"train_set": name, "dark_share": share, "metric": metric, "gap": gap, "ci_low": -1.0, "ci_high": 1.0} | common
        for name, share, gap in (("C", 1.0, -0.5), ("A", 0.0, 0.25))
        for metric in ("kl", "latent_std", "mse")
    ]
    data = gap_data(pd.DataFrame(rows))
    assert data[["metric", "train_set"]].to_numpy().tolist() == [
        *(["mse", "A"], ["mse", "C"], ["latent_std", "A"], ["latent_std", "C"])
    ]
    assert "A (0 % dark) +0.25 (-1 to 1); C (100 % dark) -0.5 (-1 to 1)" in gap_text(data, NAMES).caption


def test_adjustments_keep_the_order_of_the_table() -> None:
    rows = [
        {"train_set": name, "dark_share": share, "adjustment": kind, "gap": 0.0}
        for name, share in (("B", 0.5), ("A", 0.0))
        for kind in ("none", "condition", "atlas")
    ]
    data = adjusted_data(pd.DataFrame(rows))
    assert data["train_set"].tolist() == ["A"] * 3 + ["B"] * 3
    assert data["adjustment"].tolist() == ["none", "condition", "atlas"] * 2


def test_sweep_means_and_crossing() -> None:
    runs = pd.DataFrame(
        {
            "train_set": ["A", "A2", "C"] * 2,
            "dark_share": [0.0, 0.0, 1.0] * 2,
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
            "quantity": ["slope of light", "slope of dark", "crossing"],
            "estimate": [2.0, -4.0, 2 / 3],
            "ci_low": [1.0, -5.0, 0.6],
            "ci_high": [3.0, -3.0, 0.75],
            "note": ["", "", np.nan],
        }
    )
    caption = sweep_text(data, trends, NAMES).caption
    assert "do equally well at a dark share of 67 %; the gap is not told from 0 between 60 % and 75 %." in caption
    assert "light skin +0.2 (0.1 to 0.3); dark skin -0.4 (-0.5 to -0.3)" in caption
    trends.loc[2, ["estimate", "ci_low", "ci_high", "note"]] = [np.nan, np.nan, np.nan, "light is better throughout"]
    assert "do not cross within the design (light is better throughout)" in sweep_text(data, trends, NAMES).caption


def test_uncertainty_keeps_the_two_questions_and_cuts_intervals() -> None:
    common = {"train_set": "A", "dark_share": 0.0, "score": "kl", "estimate": 0.6, "ci_low": -2.0, "ci_high": 3.0}
    common["n_images"] = 40
    rows = [
        common | {"statistic": "auroc", "target": "worst decile", "n_runs": 2},
        common | {"statistic": "auroc", "target": "worst decile of dark images", "n_runs": 2},
        common | {"statistic": "spearman", "target": "worst decile", "n_runs": 2},
        common | {"statistic": "auroc", "target": "group not in the training set", "n_runs": 2},
    ]
    data = uncertainty_data(pd.DataFrame(rows))
    assert data["panel"].tolist() == [0, 1]
    assert data[["ci_low", "ci_high"]].to_numpy().tolist() == [[0, 1], [0, 1]]


def test_tone_compares_the_ends_of_the_curve() -> None:
    table = pd.DataFrame(
        {"train_set": "A", "dark_share": 0.0, "ita": [50.0, -20.0], "mse": [0.1, 0.3], "n_images": 9, "n_no_skin": 0}
    )
    assert "A (0 % dark): 3.00 times" in tone_text(tone_data(table)).caption
    assert "Too few" in tone_text(tone_data(table.head(0))).caption


def test_reconstructions_are_chosen_and_ordered() -> None:
    stored = examples(3)
    panel = reconstruction_data(stored, ["dark"], {"C": 1.0, "A": 0.0})
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
        reconstruction_data(change(examples(3)), ["dark"], {"A": 0.0, "C": 1.0})


def test_labels_stay_inside_and_apart() -> None:
    with house_style():
        figure = new_figure(3, 3)
        axes = figure.add_subplot()
        axes.set(xlim=(0, 1), ylim=(0, 1))
        points = np.array([[0.98, 0.5], [0.5, 0.5], [0.5, 0.51], [0.02, 0.02]])
        names = ["at the right edge", "one", "two", "x" * 200]
        assert label_points(axes, points, names) == names[:3]  # the last fits nowhere
        boxes = [text.get_window_extent() for text in axes.texts]
        frame = axes.get_window_extent()
        assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)
        assert axes.texts[0].get_position()[0] < 0  # to the left of its point


def test_a_missing_column_or_an_empty_table_is_the_users_to_mend(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("train_set,mse\n01,2\n")
    assert read_table(path, ["train_set"])["train_set"].tolist() == ["01"]  # a name, not a number
    with pytest.raises(UserError, match="dark_share not found"):
        read_table(path, ["train_set", "dark_share"])
    path.write_text("train_set,mse\n")
    with pytest.raises(UserError, match="at least one row"):
        read_table(path, ["train_set"])
    assert read_table(path, ["train_set"], may_be_empty=True).empty


def test_words() -> None:
    assert fst_range([2, 1]) == "FST 1–2"  # noqa: RUF001
    assert fst_range([1, 3]) == "FST 1, 3"
    assert fst_range([4]) == "FST 4"
    assert (percent(0.5), percent(0.125), percent(0)) == ("50 %", "12.5 %", "0 %")
    assert (span([500, 500]), span([1200, 480])) == ("500", "480 to 1,200")
    assert len(set(set_colours(11))) == 11
    sets = ordered_sets(pd.DataFrame({"train_set": ["b", "a", "b"], "dark_share": [0.5, 0.5, 0.5]}))
    assert sets["train_set"].tolist() == ["a", "b"]


def test_the_synthetic_mark_covers_nothing() -> None:
    for outside in (False, True):
        with house_style():
            figure = new_figure(6, 3)
            axes = figure.add_subplot(title="title")
            axes.plot([0, 1], label="line")
            if outside:
                figure.legend(loc="outside upper center")
            mark_synthetic(figure)
            figure.draw_without_rendering()
            words = [text for text in figure.findobj(Text) if "SYNTHETIC DATA" in text.get_text()]
            assert len(words) == 1
            mark = words[0].get_window_extent()
            assert mark.y1 <= figure.bbox.y1
            assert mark.y0 >= axes.title.get_window_extent().y1
