"""Every statistics script on a small simulated study on disk: the tables and what they promise."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from simulated import DARK, LIGHT, PAIR, ROOT, TRAIN_SETS, run_stages, write_study

import compare_samples
import estimate_gaps
import measure_colour
import summarise_runs
from evenhand.report.claims import VERDICTS
from evenhand.report.page import read_dictionary
from evenhand.splits.groups import TrainSet
from evenhand.stats.rows import of_groups
from evenhand.workflow.tables import read_parquet, write_parquet

MEDIUM = {"name": "medium", "title": "medium skin (FST 3-4)", "where": {"skin_type": [3, 4]}}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("study")
    write_study(folder)
    return run_stages(folder)


def test_row_order_changes_no_byte(tables: dict[str, Path], tmp_path: Path) -> None:
    write_study(tmp_path, 7)
    shuffled = run_stages(tmp_path, [TRAIN_SETS[number] for number in (2, 0, 1)])
    assert shuffled.keys() == tables.keys()
    assert [name for name in tables if tables[name].read_bytes() != shuffled[name].read_bytes()] == []


def test_names_of_groups_are_names(tables: dict[str, Path], tmp_path: Path) -> None:
    """Groups called women and men give the same tables, text for text, with these names in place of light and dark."""
    named = {"light": "women", "dark": "men"}
    write_study(tmp_path, None, lambda rows: rows.assign(group=rows["group"].map(named)))
    train_sets = [TrainSet(name, {named[group]: share for group, share in mix.items()}) for name, mix in TRAIN_SETS]
    renamed = run_stages(
        tmp_path, train_sets, groups=[group | {"name": named[group["name"]]} for group in (LIGHT, DARK)]
    )
    for name, path in tables.items():
        expected = re.sub(r"\b(light|dark)\b", lambda word: named[word[0]], path.read_text())
        assert renamed[name].read_text() == re.sub(r"\bDark\b", "Men", expected), name
    assert "men share" in renamed["claims"].read_text()


def with_medium(rows: pd.DataFrame) -> pd.DataFrame:
    """A third group is tested beside the two, as large as the light one and with errors a fifth higher."""
    medium = rows[rows["group"] == PAIR.reference]
    medium = medium.assign(group="medium", id="m" + medium["id"].str[1:], mse=1.2 * medium["mse"])
    medium[["skin_type", "second_skin_type"]] = 3
    return pd.concat([rows, medium], ignore_index=True)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], dict[str, Path]]:
    """The tables of a study of three groups, and those of the same study of the first two."""
    folder = tmp_path_factory.mktemp("three")
    write_study(folder, None, with_medium)
    two = tmp_path_factory.mktemp("two")
    write_study(two, None, with_medium)
    for path in two.glob("runs/*/*/evaluation.parquet"):
        write_parquet(of_groups(read_parquet(path), PAIR), path)
    return run_stages(folder, groups=[LIGHT, DARK, MEDIUM]), run_stages(two)


def test_a_third_group_leaves_the_rows_of_the_first_pair(three: tuple[dict[str, Path], dict[str, Path]]) -> None:
    with_third, without = three
    for name, path in with_third.items():
        lines, before = path.read_text().splitlines(), without[name].read_text().splitlines()
        columns = lines[0].split(",")
        table = pd.read_csv(path, keep_default_na=False)
        if "compared" in columns:
            kept = (table["compared"] == PAIR.compared).tolist()
        elif "group" in columns:
            kept = table["group"].isin([*PAIR, ""]).tolist()
            if name == "tone_slopes":  # "all" are the images of all groups
                before = [line for line in before if ",all," not in line]
            if name == "fst_counts":  # type 3 is in no group there
                before = [line for line in before if not line.startswith("3,")]
        elif name == "tone_curves":
            continue
        else:
            kept = [True] * len(table)
        assert [lines[0], *(line for line, keep in zip(lines[1:], kept, strict=True) if keep)] == before, name


def test_every_group_and_pair_has_its_rows(three: tuple[dict[str, Path], dict[str, Path]]) -> None:
    tables = {name: pd.read_csv(path) for name, path in three[0].items()}
    for name, table in tables.items():
        if "compared" in table:
            assert list(dict.fromkeys(table["compared"])) == [PAIR.compared, "medium"], name
    for name in ("headline", "runs", "conditions", "pooled_conditions", "colour", "colour_runs"):
        assert set(tables[name]["group"]) == {*PAIR, "medium"}, name
    assert set(tables["tone_slopes"]["group"]) == {"all", *PAIR, "medium"}
    assert tables["fst_counts"].set_index("skin_type").loc[3, "group"] == "medium"
    gaps = tables["gaps"][tables["gaps"]["metric"] == "mse"].set_index(["compared", "train_set"])
    # Images of the third group are those of the light one, with errors a fifth higher.
    assert gaps.loc["medium", "ratio"].tolist() == pytest.approx([1.2] * 3)
    assert gaps["mean_reference"].unstack(level=0).nunique(axis=1).tolist() == [1] * 3
    # No training set has images of it: it cannot be told from the trends.
    sweep = tables["sweep"][tables["sweep"]["compared"] == "medium"]
    assert sweep["note"].str.contains("left out for images of other groups: B, C; a sweep needs").all()
    targets = tables["uncertainty"][tables["uncertainty"]["compared"] == "medium"].groupby("train_set")["target"]
    # Under C the reference is missing as well: there is no one group that the training set lacks.
    assert {name: "group not in the training set" in set(part) for name, part in targets} == {
        "A": True, "B": True, "C": False,
    }  # fmt: skip


def test_one_run_gives_every_table_and_no_verdict_over_runs(tmp_path: Path) -> None:
    write_study(tmp_path, None, lambda rows: rows[rows["run"] == 0])
    tables = run_stages(tmp_path, runs=1)
    claims = pd.read_csv(tables["claims"]).set_index("claim")
    assert set(claims.drop("C8")["verdict"]) == {"not testable"}
    assert claims.drop("C8")["ci_low"].isna().all()
    assert claims.loc["C2", "sentence"].endswith("at least 3 (stats.min_runs).")
    gaps = pd.read_csv(tables["gaps"])
    assert gaps[["gap", "ci_low", "ci_high"]].notna().all().all()
    assert gaps[["nb_low", "p_nb", "p_naive", "sd"]].isna().all().all()
    assert (gaps["se_models"] == 0).all()
    assert set(gaps["covers"]) == {"images"}
    assert gaps["note"].str.contains("does not know how models differ").all()


def test_groups_without_a_common_condition_have_no_adjusted_gap(tmp_path: Path) -> None:
    write_study(tmp_path, None, lambda rows: rows.assign(condition=rows["group"] + " " + rows["condition"]))
    tables = run_stages(tmp_path)
    adjusted = pd.read_csv(tables["adjusted"]).set_index("adjustment")
    assert adjusted.loc["condition", ["gap", "ci_low", "p"]].isna().all().all()
    assert (adjusted.loc["condition", "coverage"] == 0).all()
    assert adjusted.loc["none", "gap"].notna().all()
    claim = pd.read_csv(tables["claims"]).set_index("claim").loc["C11"]
    assert claim["verdict"] == "not testable"
    assert "no condition has enough test images of both groups" in claim["sentence"]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], dict[str, Path]]:
    """Tables of a study of one start, and of the same where every model was trained once more and came out the same."""
    folder = tmp_path_factory.mktemp("starts")
    stages = (summarise_runs, measure_colour, estimate_gaps, compare_samples)
    write_study(folder / "one")
    for path in shutil.copytree(folder / "one", folder / "two").glob("runs/*/run?"):
        shutil.copytree(path, path.with_name(f"{path.name}.start1"))
    return run_stages(folder / "one", stages=stages), run_stages(folder / "two", starts=2, stages=stages)


def test_starts_that_agree_leave_every_estimate_and_tell_of_training_images(
    started: tuple[dict[str, Path], dict[str, Path]],
) -> None:
    one, two = started
    assert two.keys() - one.keys() == {"start_covariances", "starts"}
    for name in one.keys() - {"gaps", "equivalents"}:  # whose intervals allow for shared training images
        assert two[name].read_bytes() == one[name].read_bytes(), name
    gaps, before = pd.read_csv(two["gaps"]), pd.read_csv(one["gaps"])
    same = ["mean_reference", "mean_compared", "ratio", "gap", "se_images", "se_models", "df", "nb_low", "p_wilcoxon"]
    pd.testing.assert_frame_equal(gaps[same], before[same])
    assert (gaps["se"] > before["se"])[before["se_models"] > 0].all()
    assert set(gaps["covers"]) == {"images, runs and shared training images"}
    starts = pd.read_csv(two["starts"])
    assert (starts["sd_starts"] == 0).all()
    row = starts[starts["metric"] == "mse"].set_index(["train_set", "group"]).loc[("B", PAIR.compared)]
    assert row["se_shared"] > 0
    assert row["n_starts"] == 2
    of_gap = gaps[(gaps["metric"] == "mse") & (gaps["train_set"] == "B")].iloc[0]
    assert row["mean"] == of_gap["mean_compared"]


def test_every_table_matches_the_dictionary(
    tables: dict[str, Path], started: tuple[dict[str, Path], dict[str, Path]]
) -> None:
    dictionary = read_dictionary(ROOT / "schemas" / "tables.yaml")
    for name, path in (tables | started[1]).items():
        columns = [column for column in dictionary[name] if not column.startswith("$")]
        assert "$about" in dictionary[name]
        assert pd.read_csv(path).columns.tolist() == columns, name
        meanings = [dictionary[name][column] or dictionary["$common"][column] for column in columns]
        assert min(map(len, meanings)) > 3, name


def test_all_claims_have_a_row_in_order(tables: dict[str, Path]) -> None:
    claims = pd.read_csv(tables["claims"])
    assert claims["claim"].tolist() == [*(f"C{number}" for number in range(1, 12)), "K1", "R1", "U1", "U2"]
    assert claims["verdict"].isin(VERDICTS).all()
    assert claims[["sentence", "rule", "table", "figure", "statement", "source"]].notna().all().all()
    tested = claims[(claims["verdict"] != "not testable") & (claims["claim"] != "C8")]
    found = tested["verdict"].isin(VERDICTS[:3])
    assert ((tested["p"] <= 0.05) == tested["verdict"].isin(VERDICTS[:2])).all()
    assert (tested["survives"] == (found & (tested["p_holm"] <= 0.05))).all()
    tested = tested[tested["claim"] != "U1"]  # the best of several scores: what it would take depends on which is best
    assert (tested["verdict"] == "inconclusive").eq(tested["sentence"].str.contains("80 % power would take")).all()
    assert (tested["ci_low"] <= tested["estimate"]).all()
    assert (tested["estimate"] <= tested["ci_high"]).all()
