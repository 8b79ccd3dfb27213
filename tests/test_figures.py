"""Every figure draws for one run, one set and eleven sets; labels, style and the synthetic mark."""

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawing import FROM_TABLES, PAPER, THREE, design, draw, examples, letters_in_points, train_sets, write_tables
from matplotlib import pyplot as plt
from matplotlib.text import Text
from PIL import Image

from evenhand.figures.common import rows_to_draw
from evenhand.figures.panels import label_points, ordered_sets, set_colours
from evenhand.figures.registry import declared_figures
from evenhand.figures.style import (
    SMALL,
    SYNTHETIC,
    compact,
    group_styles,
    house_style,
    joined,
    mark,
    new_figure,
    percent,
    span,
)
from evenhand.splits.groups import groups_from
from evenhand.workflow.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))
# A layout that does not fit is a warning of matplotlib's.
pytestmark = pytest.mark.filterwarnings("error")
COUNT = r"n = [\d,]*\d|\d (?:(?:\w+|and [\d,]+) ){0,3}(?:test )?(?:images|models|photographs)"  # n, in every caption


@pytest.mark.parametrize(("sets", "runs"), [(1, 1), (11, 5)])
@pytest.mark.parametrize("name", FROM_TABLES)
def test_every_figure_draws(name: str, sets: int, runs: int, tmp_path: Path) -> None:
    write_tables(tmp_path, sets, runs)
    text = draw(name, tmp_path, *(tmp_path / f"{table}.csv" for table in FROM_TABLES[name].files), synthetic=True)
    assert set(text) == {"title", "caption", "alt", "pictures", "marks"}
    shown = text["caption"].partition("\n\n")[0]
    assert len(shown) <= 270  # three lines on the page
    assert all(0 <= x <= 1 and 0 <= y <= 1 and words for x, y, words in text["marks"])
    assert text["pictures"] is False
    assert text["caption"].startswith("Synthetic data.")
    assert "nan" not in f"{text['caption']} {text['alt']}".lower().split()
    assert re.search(COUNT, shown)
    assert "<image" not in (tmp_path / f"{name}.svg").read_text()  # no photograph can hide in it
    sizes = letters_in_points(tmp_path / f"{name}.svg")
    assert sizes
    assert min(sizes) >= SMALL - 1e-6  # readable in print
    with Image.open(tmp_path / f"{name}.png") as image:
        assert image.width <= 60 * 7.01  # the width of the page


def test_letters_are_outlines_or_text_and_files_have_no_date(tmp_path: Path) -> None:
    """Same bytes in every run, in each format; as text, letters can be edited and found. A PDF has its font in it."""
    write_tables(tmp_path, 3, 4)
    drawings = {}
    for text in ("outline", "editable", "outline"):
        draw("overview", tmp_path, tmp_path / "gaps.csv", text=text)
        files = {kind: (tmp_path / f"overview.{kind}").read_bytes() for kind in ("svg", "png", "pdf")}
        assert drawings.setdefault(text, files) == files
    editable, outline = drawings["editable"], drawings["outline"]
    assert b">mean squared error</text>" in editable["svg"]
    assert b"</text>" not in outline["svg"]
    assert editable["png"] == outline["png"]
    for drawing in drawings.values():
        assert b"/FontFile2" in drawing["pdf"]
        assert b"/Type3" not in drawing["pdf"]


def test_a_compact_drawing_shows_the_same(tmp_path: Path) -> None:
    figure, axes = plt.subplots()
    axes.plot([0.1234567, 2], [3, -4.7654321], marker="o")
    axes.set_title("two words")
    figure.savefig(tmp_path / "plain.svg")
    plt.close(figure)
    plain = (tmp_path / "plain.svg").read_text("utf-8")
    found, drawn = compact(plain), []
    for text in (plain, found):
        names = re.findall(r' id="([^"]+)"', text)
        assert len(set(names)) == len(names)
        shapes = dict(re.findall(r'<path id="([^"]+)"\s+d="([^"]*)"', text))
        links = re.findall(r'href="#([^"]+)"', text)
        assert set(links) <= set(names)
        drawn.append([shapes[link].split() for link in links if link in shapes])
    assert len(found) < 0.9 * len(plain)
    # Every glyph and marker in its order; every number as it was, to a hundredth.
    for shape, expected in zip(*reversed(drawn), strict=True):
        assert [part for part in shape if part.isalpha()] == [part for part in expected if part.isalpha()]
        numbers = [[float(part) for part in path if not part.isalpha()] for path in (shape, expected)]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.01)
    paths = [re.findall(r'<path d="([^"]*)"', text) for text in (found, plain)]
    assert len(paths[0]) == len(paths[1]) > 2
    for path, expected in zip(*paths, strict=True):
        assert [float(x) for x in re.findall(r"[-\d.]+", path)] == pytest.approx(
            [float(x) for x in re.findall(r"[-\d.]+", expected)], abs=0.01
        )


def drawn_words(svg: Path) -> str:
    """What is written in a figure: its letters are outlines, but a comment before each group of them has the text."""
    return " ".join(re.findall("<!-- (.*?) -->", svg.read_text(), re.DOTALL))


def fits_any_study(name: str, folder: Path, *files: Path) -> None:
    """Draw for three groups that have nothing to do with skin: each is named, and nothing says light, dark or skin."""
    words = draw(name, folder, *files, groups=THREE)
    drawn = drawn_words(folder / f"{name}.svg")
    text = f"{words['title']} {words['caption']} {words['alt']}"
    assert not re.search("light|dark|skin", f"{text} {drawn}", re.IGNORECASE)
    assert not {*"{}"} & {*text}  # a placeholder that nothing was put in
    assert "nan" not in text.split()


@pytest.mark.parametrize(("sets", "runs"), [(1, 1), (3, 6)])
@pytest.mark.parametrize("name", [name for name, figure in FROM_TABLES.items() if not figure.needs - {"training"}])
def test_figures_of_other_groups(name: str, sets: int, runs: int, tmp_path: Path) -> None:
    write_tables(tmp_path, sets, runs, THREE)
    fits_any_study(name, tmp_path, *(tmp_path / f"{table}.csv" for table in FROM_TABLES[name].files))
    # Whatever is shown of the compared group is shown of the third one, in the picture as well.
    drawn = drawn_words(tmp_path / f"{name}.svg")
    assert "unknown" in drawn
    assert "women" in drawn


@pytest.mark.parametrize("name", [name for name, figure in FROM_TABLES.items() if figure.needs - {"training"}])
def test_figures_of_skin_draw_for_other_groups(name: str, tmp_path: Path) -> None:
    write_tables(tmp_path, 3, 6, THREE)
    text = draw(name, tmp_path, *(tmp_path / f"{table}.csv" for table in FROM_TABLES[name].files), groups=THREE)
    assert not re.search("light skin|dark skin|% dark", f"{text['caption']} {drawn_words(tmp_path / f'{name}.svg')}")


def test_pictures_availability_and_training_of_other_groups(tmp_path: Path) -> None:
    np.savez(tmp_path / "examples.npz", **examples(3, entries=THREE))
    sets = train_sets(tmp_path, design(3), THREE)
    for name in ("mixed", "women", "men", "unknown"):
        fits_any_study(f"reconstructions_{name}", tmp_path, tmp_path / "examples.npz", sets)
    by = {"sex": ["F", "M", ""], "group": ["women", "men", "unknown", "neither"], "condition": ["acne", "lupus"]}
    rows = [{"by": column, "value": value, "n": 4, "ok": 1} for column, values in by.items() for value in values]
    pd.DataFrame(rows).assign(share_ok=0.25, reasons="").to_csv(tmp_path / "availability.csv", index=False)
    sizes = pd.DataFrame(design(3), columns=["train_set", "compared_share"])
    sizes.assign(planned=9, drawn=3).to_csv(tmp_path / "design.csv", index=False)
    fits_any_study("availability", tmp_path, tmp_path / "availability.csv", tmp_path / "design.csv")
    assert "no group" in drawn_words(tmp_path / "availability.svg")
    for name, _ in design(3):
        (tmp_path / name / "run0").mkdir(parents=True)
        history = pd.DataFrame({"epoch": [1, 2], "mse": 1.0, "kl": 1.0, "perceptual": np.nan, "loss": 2.0})
        history.to_csv(tmp_path / name / "run0" / "history.csv", index=False)
    fits_any_study("training_curves", tmp_path, sets)


@pytest.mark.parametrize("entries", [PAPER, THREE])
def test_declared_figures_of_any_groups(entries: list[dict]) -> None:
    figures = declared_figures(groups_from(entries))
    names = [figure.name for figure in figures]
    assert len(names) == len(set(names))
    of_groups = [
        figure for figure in figures if figure.name in [f"reconstructions_{entry['name']}" for entry in entries]
    ]
    assert [figure.label for figure in of_groups] == [f"reconstructions of {entry['title']}" for entry in entries]
    assert [figure.paper for figure in of_groups] == [4, 5, None][: len(entries)]
    assert sorted(figure.paper for figure in figures if figure.paper) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert f"error against the {entries[1]['name']} share" in [figure.label for figure in figures]
    skin = {"fst_counts", "tone_by_type", "tone_curves", "colour_shift", "samples"}
    assert {figure.name for figure in figures if "skin" in figure.needs} == skin


def test_a_group_named_like_another_figure_is_refused() -> None:
    with pytest.raises(UserError, match=r"two figures reconstructions_mixed\. Give the group another name"):
        declared_figures(groups_from([*PAPER, THREE[0] | {"name": "mixed"}]))


def test_an_unknown_figure_names_those_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        draw("reconstructions_women", tmp_path)
    assert "reconstructions_light, reconstructions_dark" in capsys.readouterr().err


def test_groups_differ_in_every_way_they_are_drawn() -> None:
    styles = group_styles([str(place) for place in range(7)])
    assert styles["0"] == ("#E69F00", "o", "")  # the reference
    assert (styles["1"].colour, styles["1"].marker) == ("#0072B2", "s")
    assert len({style.marker for style in styles.values()}) == len({style.hatch for style in styles.values()}) == 7
    assert len({style.colour for style in [*styles.values()][:6]}) == 6
    assert len(set(group_styles([str(place) for place in range(42)]).values())) == 42


@pytest.mark.parametrize("name", ["mse_boxes", "condition_mse", "prevalence"])
def test_equal_figures_are_equal_bytes(name: str, tmp_path: Path) -> None:
    files = [f"{table}.csv" for table in FROM_TABLES[name].files]
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        write_tables(folder, 3, 6)
        if folder.name == "second":  # the order of rows means nothing
            for table in files:
                pd.read_csv(folder / table).sample(frac=1, random_state=1).to_csv(folder / table, index=False)
        draw(name, folder, *(folder / table for table in files))
    for kind in ("svg", "png", "json"):
        assert (tmp_path / f"first/{name}.{kind}").read_bytes() == (tmp_path / f"second/{name}.{kind}").read_bytes()


@pytest.mark.parametrize("sets", [1, 3, 11])
def test_reconstructions_draw(sets: int, tmp_path: Path) -> None:
    np.savez(tmp_path / "examples.npz", **examples(sets))
    files = [tmp_path / "examples.npz", train_sets(tmp_path, design(sets))]
    for name in ("reconstructions_mixed", "reconstructions_light", "reconstructions_dark"):
        text = draw(name, tmp_path, *files)
        assert text["pictures"] is True
        assert "photographs of patients" in text["caption"]
        assert ("training sets " in text["caption"]) == (name != "reconstructions_mixed" and sets > 1)
    assert "photographs of patients" not in draw("reconstructions_mixed", tmp_path, *files, synthetic=True)["caption"]


@pytest.mark.parametrize(("linked", "others"), [(0, 0), (6, 6), (1, 0)])
def test_pairs_near_the_threshold_draw(linked: int, others: int, tmp_path: Path) -> None:
    n = linked + others
    pictures = np.full((n, 16, 16, 3), 90, np.uint8)
    words = np.array(["38 features\nscale 0.96, -120°\nspread 32 px\nlikeness 0.80\nmirrored"] * n, str)
    arrays = {"first": pictures, "second": pictures, "counts": np.arange(n) < linked, "words": words}
    np.savez(tmp_path / "duplicate_pairs.npz", **arrays)
    text = draw("duplicate_pairs", tmp_path, tmp_path / "duplicate_pairs.npz")
    assert text["pictures"] is True
    assert f"{linked} that are linked and {others} that are not" in text["caption"]
    assert min(letters_in_points(tmp_path / "duplicate_pairs.svg")) >= SMALL - 1e-6


def test_training_curves_draw(tmp_path: Path) -> None:
    files = train_sets(tmp_path, [("A", 0.5)])
    for epochs, verdict in ((3, "Too few epochs to tell"), (4, "fell by 25.0 % an epoch on average (0.0 to 50.0 %")):
        for run, factor in enumerate((0.5, 1.0)):  # one that halves every epoch, one that stays
            folder = tmp_path / "A" / f"run{run}"
            folder.mkdir(parents=True, exist_ok=True)
            history = pd.DataFrame({"epoch": range(1, epochs + 1), "mse": 1.0, "kl": 1.0, "perceptual": np.nan})
            history.assign(loss=2 * factor ** history["epoch"]).to_csv(folder / "history.csv", index=False)
        text = draw("training_curves", tmp_path, files, runs=2)
        assert "2 models" in text["caption"]
        assert verdict in text["caption"]
    assert "1 of 2 models have converged by epoch 4" in text["caption"]
    (tmp_path / "A" / "run1").rename(tmp_path / "A" / "run0.start1")
    of_starts = draw("training_curves", tmp_path, files, runs=1, starts=2)
    assert of_starts["caption"] == text["caption"]
    assert any("run 0, start 1: 2 after epoch 4" in words for *_, words in of_starts["marks"])
    assert re.search(COUNT, text["caption"])
    assert "<image" not in (tmp_path / "training_curves.svg").read_text()


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
    assert rows_to_draw(path, ["train_set"])["train_set"].tolist() == ["01"]  # a name, not a number
    with pytest.raises(UserError, match="missing: compared_share; found: train_set, mse"):
        rows_to_draw(path, ["train_set", "compared_share"])
    path.write_text("train_set,mse\n")
    with pytest.raises(UserError, match="at least one row"):
        rows_to_draw(path, ["train_set"])


def test_words() -> None:
    assert (joined(["a"]), joined(["a", "b"], "or"), joined(["a", "b", "c"])) == ("a", "a or b", "a, b and c")
    assert (percent(0.5), percent(0.125), percent(0)) == ("50 %", "12.5 %", "0 %")
    assert (span([500, 500]), span([1200, 480])) == ("500", "480 to 1,200")
    assert len(set(set_colours(11))) == 11
    sets = ordered_sets(pd.DataFrame({"train_set": ["b", "a", "b"], "compared_share": [0.5, 0.5, 0.5]}))
    assert sets["train_set"].tolist() == ["a", "b"]


def test_the_synthetic_mark_covers_nothing() -> None:
    for outside in (False, True):
        with house_style():
            figure = new_figure(6, 3)
            axes = figure.add_subplot(title="title")
            axes.plot([0, 1], label="line")
            if outside:
                figure.legend(loc="outside upper center")
            mark(figure, SYNTHETIC)
            figure.draw_without_rendering()
            words = [text for text in figure.findobj(Text) if "SYNTHETIC DATA" in text.get_text()]
            assert len(words) == 1
            box = words[0].get_window_extent()
            assert box.y1 <= figure.bbox.y1
            assert box.y0 >= axes.title.get_window_extent().y1
