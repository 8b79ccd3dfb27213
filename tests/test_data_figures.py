"""The figures on the data: what they draw are the numbers of their tables, also where there is little to draw."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawing import GROUPS, PAPER, design, draw, letters_in_points
from PIL import Image

from evenhand.data.availability import count_available
from evenhand.data.metadata import assign_group
from evenhand.data.tone import summarise_tone
from evenhand.figures.availability import availability_data, availability_text, draw_availability
from evenhand.figures.style import SMALL, group_styles, house_style
from evenhand.figures.tone import draw_tone_by_type, tone_by_type_data, tone_by_type_text
from evenhand.splits.groups import groups_from
from evenhand.workflow.tables import write_csv

STYLES = group_styles([group.name for group in GROUPS])

pytestmark = pytest.mark.filterwarnings("error")  # a layout that does not fit is a warning of matplotlib's


def by_column(label: str) -> list[dict]:
    """The groups of the paper by that column of skin types."""
    return [entry | {"where": {label: list(*entry["where"].values())}} for entry in PAPER]


def counts(found: int = 7, label: str = "skin_type") -> pd.DataFrame:
    """tables/availability.csv of twelve rows, of which the first `found` have a photograph."""
    rows = pd.DataFrame({label: [1, 1, 1, 2, 2, 2, 5, 5, 6, 6, 3, -1]})
    rows["group"] = assign_group(rows, groups_from(by_column(label))).replace("", "neither")
    rows["source"] = ["dermaamin"] * 8 + ["unknown"] * 4
    rows["condition_3"] = rows["condition_2"] = "benign"
    rows["condition"] = ["acne"] * 7 + ["lupus"] * 4 + ["zoster"]
    rows["status"] = ["ok"] * found + ["http-404"] * (12 - found)
    columns = [label, "group", "source", "condition_3", "condition_2", "condition"]
    return pd.concat([count_available(rows, column) for column in columns])


def sizes(sets: int = 3, drawn: int = 900) -> pd.DataFrame:
    table = pd.DataFrame(design(sets), columns=["train_set", "compared_share"])
    return table.assign(planned=1668, drawn=drawn)


def tones() -> pd.DataFrame:
    """One row per photograph: the lighter the type, the larger the angle; some with few skin pixels."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"skin_type": np.repeat([-1, 1, 3, 5, 6], [10, 40, 40, 40, 8])})
    table["ita"] = 60 - 18 * table["skin_type"].clip(1) + rng.normal(0, 5, len(table))
    table["skin_share"] = 0.5
    table["few_skin"] = [i % 10 == 0 or scale == 6 for i, scale in enumerate(table["skin_type"])]
    return table


def test_bars_are_as_long_as_the_shares_and_sizes_stand_side_by_side() -> None:
    bars, conditions = availability_data(counts(), GROUPS)
    assert "condition_2" not in set(bars["section"])
    with house_style():
        left, points, design_axes = draw_availability(bars, conditions, sizes(), GROUPS).axes
    widths = [patch.get_width() for patch in left.patches]
    assert widths[::2] == [1] * len(bars)  # the frame behind each bar
    assert widths[1::2] == bars["share_ok"].tolist()
    names = [label.get_text() for label in left.get_yticklabels()]
    assert names[:6] == ["missing", "1", "2", "3", "5", "6"]
    assert {text.get_text() for text in left.texts} >= {"6 of 6", "1 of 4", "7 of 12"}
    colours = dict(zip(names, [patch.get_facecolor() for patch in left.patches[1::2]], strict=True))
    assert colours["light"] != colours["dark"] != colours["1"]
    assert points.lines[0].get_xydata().tolist() == [[7, 1], [4, 0], [1, 0]]
    heights = [patch.get_height() for patch in design_axes.patches]
    assert heights == [1668] * 3 + [900] * 3


def test_the_words_on_availability_count_what_is_there() -> None:
    bars, conditions = availability_data(counts(), GROUPS)
    text = availability_text(bars, conditions, sizes(), GROUPS)
    for expected in (
        *("7 of 12", "6 of 6 of light skin", "1 of 4 of dark skin", "3 conditions", "no photograph was found of 2"),
        "900 images instead of 1,668",
    ):
        assert expected in text.caption
    assert "group dark: 25" in text.alt
    unchanged = availability_text(bars, conditions, sizes(drawn=1668), GROUPS)
    assert "instead of" not in unchanged.caption


@pytest.mark.parametrize(("sets", "found"), [(1, 12), (11, 0), (3, 1)])
@pytest.mark.parametrize("label", ["skin_type", "second_skin_type"])
def test_availability_draws(sets: int, found: int, label: str, tmp_path: Path) -> None:
    write_csv(counts(found, label), tmp_path / "availability.csv")
    write_csv(sizes(sets), tmp_path / "design.csv")
    files = tmp_path / "availability.csv", tmp_path / "design.csv"
    text = draw("availability", tmp_path, *files, synthetic=True, groups=by_column(label))
    assert str(text["caption"]).startswith("Synthetic data.")
    assert min(letters_in_points(tmp_path / "availability.svg")) >= SMALL - 1e-6
    with Image.open(tmp_path / "availability.png") as image:
        assert image.width <= 60 * 7.01


def test_boxes_of_tone_are_the_quantiles_of_images_with_skin() -> None:
    data = tone_by_type_data(summarise_tone(tones(), "skin_type"), GROUPS)
    assert data["skin_type"].tolist() == [-1, 1, 3, 5, 6]
    assert data["group"].tolist() == ["", "light", "", "dark", "dark"]
    with house_style():
        (axes,) = draw_tone_by_type(data, GROUPS).axes
    assert len(axes.patches) == 4  # of type 6 no image has enough skin
    boxes = [patch.get_path().get_extents() for patch in axes.patches]
    measured = tones()[~tones()["few_skin"]].groupby("skin_type")["ita"]
    np.testing.assert_allclose([box.y0 for box in boxes], measured.quantile(0.25), rtol=1e-9)
    np.testing.assert_allclose([box.y1 for box in boxes], measured.quantile(0.75), rtol=1e-9)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["missing\nn = 9", "1\nn = 36", "3\nn = 36", "5\nn = 36", "6\nn = 0"]
    hatches = [patch.get_hatch() or "" for patch in axes.patches]
    assert hatches[3] == STYLES["dark"].hatch  # told apart without colour
    assert hatches[1] == STYLES["light"].hatch
    assert STYLES["dark"].hatch != STYLES["light"].hatch


def test_the_words_on_tone_count_what_was_left_out() -> None:
    table = summarise_tone(tones(), "skin_type")
    text = tone_by_type_text(tone_by_type_data(table, GROUPS), GROUPS)
    assert "skin pixels of 117 photographs" in text.caption
    assert "21 photographs with less than 5 % skin" in text.caption
    assert f"5: {round(table.set_index('skin_type')['ita_50'][5])}" in text.alt


@pytest.mark.parametrize("few", [False, True])
def test_tone_draws_with_and_without_any_skin(few: bool, tmp_path: Path) -> None:
    table = tones()
    table["few_skin"] |= few
    write_csv(summarise_tone(table, "skin_type"), tmp_path / "tone_by_type.csv")
    text = draw("tone_by_type", tmp_path, tmp_path / "tone_by_type.csv")
    assert ("of 0 photographs" in str(text["caption"])) == few
    assert min(letters_in_points(tmp_path / "tone_by_type.svg")) >= SMALL - 1e-6
