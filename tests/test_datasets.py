"""Public data sets: what their adapters make of known tables, and that no row is lost without a word.

The whole tables and pictures are look-alikes (tests/lookalikes.py): in the layout of the real sets, and of nobody.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from lookalikes import FINDINGS, LOOKALIKES, write_lookalike
from workflow import ROOT, TINY, copy_workflow, snakemake

import fetch_metadata
import isolate_images
import make_splits
import pack_images
from evenhand.data.datasets import chexpert, midas, mimic_cxr, passion, scin
from evenhand.data.datasets.chexpert import race_of, with_findings
from evenhand.data.tables import load_adapter, read_images
from evenhand.probes.sources import SourceSpec, read_source
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import read_rows

SMALL = {"runs": 2, "test_size": 20, "train_size": 24, "min_train_size": 8}
CHEST = ("chexpert", "mimic_cxr")


def cells(columns: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Cells of a table as an adapter gets them."""
    table = pd.DataFrame(columns, dtype="str")
    return table.set_axis(pd.RangeIndex(2, len(table) + 2, name="line"))


def study_data(study: str) -> dict[str, Any]:
    """The block `data` of a study, with what config.yaml has beside it."""
    both = [yaml.safe_load(path.read_text()) for path in (ROOT / "config.yaml", ROOT / "studies" / f"{study}.yaml")]
    data: dict[str, Any] = both[0]["data"] | both[1]["data"]
    return data | {"skin_types": {str(cell): kind for cell, kind in data["skin_types"].items()}}


@pytest.fixture(scope="module")
def lookalikes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every look-alike."""
    folder = tmp_path_factory.mktemp("lookalikes")
    for study in LOOKALIKES:
        write_lookalike(study, folder)
    return folder


def tables_of(study: str, folder: Path) -> list[Path]:
    given = study_data(study)["metadata"]
    return [folder / path for path in ([given] if isinstance(given, str) else given)]


def read(study: str, folder: Path) -> pd.DataFrame:
    return read_images(tables_of(study, folder), study_data(study))


def said(output: str, what: str) -> int:
    """The number that a line of the log begins with, summed over the lines that say this of it."""
    return sum(int(number.replace(",", "")) for number in re.findall(rf"^([\d,]+) {what}", output, flags=re.MULTILINE))


def scin_tables(votes: Sequence[Sequence[str]], weights: Sequence[str] = ()) -> dict[str, pd.DataFrame]:
    """Cases of one picture each, called a, b, c ..., with these votes and weighted conditions."""
    names = [chr(ord("a") + number) for number in range(len(votes))]
    empty = [""] * len(names)
    pictures = dict(zip(scin.PICTURES, ([f"dataset/images/{name}.png" for name in names], empty, empty), strict=True))
    labels = dict(zip(scin.VOTES, zip(*votes, strict=True), strict=True))
    conditions = list(weights) or ["{'Eczema': 1.0}"] * len(names)
    return {
        "cases": cells({"case_id": names, **pictures}),
        "labels": cells({"case_id": names, **labels, scin.WEIGHTS: conditions}),
    }


def test_scin_takes_the_majority_of_the_votes(capsys: pytest.CaptureFixture[str]) -> None:
    votes = [
        ("FST1", "FST1", "FST1"),
        ("FST5", "FST6", "FST5"),
        ("FST4", "", ""),
        ("FST1", "FST2", ""),
        ("FST1", "FST3", "FST5"),
        ("", "", ""),
        ("", "FST2", "FST2"),
        ("unsure", "FST6", ""),
    ]
    found = scin.prepare(scin_tables(votes))
    assert found["skin_type"].tolist() == ["1", "5", "4", "", "", "", "2", "6"]
    output = capsys.readouterr().out
    how = "skin types by the votes of dermatologists, in cases: a single vote 2, no majority 2, unanimous 2, majority 1"
    assert how in output
    assert "2 cases whose dermatologists have no majority: no skin type: 'd' in line 5, 'e' in line 6" in output
    assert "1 cells of dermatologist_fitzpatrick_skin_type_label_1 are no vote: 'unsure' in line 9" in output


def test_scin_takes_the_condition_of_highest_weight(capsys: pytest.CaptureFixture[str]) -> None:
    weights = [
        "{'Eczema': 0.3, \"Stevens' rash\": 0.7}",
        "{'Tinea': 0.5, 'Acne': 0.5}",
        "{}",
        "",
        "[broken",
        "{'A': 'x'}",
    ]
    found = scin.prepare(scin_tables([("FST1", "", "")] * 6, weights))
    assert found["condition"].tolist() == ["Stevens' rash", "Acne", *["not given"] * 4]
    output = capsys.readouterr().out
    assert "1 cells of weighted_skin_condition_label with equal highest weights: the first by name is taken" in output
    assert "2 cells of weighted_skin_condition_label are no conditions with weights: '[broken' in line 6" in output
    assert "4 rows without condition: their condition is called 'not given'" in output


def test_scin_has_a_row_per_picture_and_a_patient_per_case(capsys: pytest.CaptureFixture[str]) -> None:
    tables = scin_tables([("FST1", "", "")] * 5)
    tables["cases"]["image_2_path"] = ["dataset/images/-7.png", "dataset/images/c.png", "", "", ""]  # b has one of c
    tables["cases"].loc[5, "image_1_path"] = ""
    tables["cases"] = pd.concat([tables["cases"], tables["cases"].tail(1).set_axis([7])]).rename_axis("line")
    tables["labels"] = tables["labels"].drop(index=6)  # of e
    found = scin.prepare(tables)
    assert found["id"].tolist() == ["a", "-7", "b", "c", "e"]
    assert found["file"].tolist()[1] == "dataset/images/-7.png"
    assert found["patient"].tolist() == ["a", "a", "b", "b", "e"]
    assert found["skin_type"].tolist() == ["1", "1", "1", "1", ""]
    output = capsys.readouterr().out
    assert "1 rows left out, as an earlier row has the same cells (case_id): 'e' in line 7" in output
    assert "1 cases without a picture: 'd' in line 5" in output
    assert "1 rows left out, as an earlier row has that file: 'dataset/images/c.png' in line 4 (image_1_path)" in output
    assert "1 cases share a picture with another one and are taken for the same patient: 'c' in line 4" in output
    assert "1 cells of case_id (1 rows) are not in the table of labels: nothing from there: 'e' in line 6" in output


@pytest.mark.parametrize(
    ("name", "subject"),
    [("AA1_01.jpg", "AA1"), ("AA12_01.jpg", "AA12"), ("AA1.jpg", "AA1"), ("AA1_2_3.jpg", "AA1_2"), ("AA13_1.jpg", "")],
)
def test_passion_finds_the_subject_in_the_name(name: str, subject: str) -> None:
    assert passion.subject_in(name, {"AA1", "AA12", "AA1_2"}) == subject


def test_passion_has_a_row_per_file(capsys: pytest.CaptureFixture[str]) -> None:
    subjects = {
        "subject_id": ["AA1", "AA2", "AA3", "AA1"],
        "fitzpatrick": ["3", "6", "4", "5"],
        "conditions_PASSION": ["Eczema", "", "Scabies", "Fungal"],
    }
    files = ["AA1_01.jpg", "./images/AA2_01.JPG", "images", "AA9_01.jpg", "AA1_02.jpg"]
    found = passion.prepare({"subjects": cells(subjects), "files": cells({"file": files})})
    assert found["id"].tolist() == ["AA1_01", "AA2_01", "AA1_02"]
    assert found["subject_id"].tolist() == ["AA1", "AA2", "AA1"]
    assert found["fitzpatrick"].tolist() == ["3", "6", "3"]
    assert found["conditions_PASSION"].tolist() == ["Eczema", "not given", "Eczema"]
    output = capsys.readouterr().out
    assert "1 rows left out, as an earlier row, with other cells, has the subject_id: 'AA1' in line 5" in output
    assert "1 rows left out, as they are not called like an image: 'images' in line 4" in output
    assert "1 rows left out, as their names begin with no subject_id of the table: 'AA9_01.jpg' in line 5" in output
    assert "1 subjects without a file: 'AA3' in line 4" in output


def test_midas_seeks_files_without_their_ending(capsys: pytest.CaptureFixture[str]) -> None:
    table = {
        "midas_record_id": ["1", "1", "2", "3", "3", "4"],
        "midas_file_name": ["a.jpg", "b.jpeg", "", "c.jpg", "c.png", "a.jpg"],
        "midas_iscontrol": ["no", "yes", "no", "Yes", "no", "no"],
        "midas_distance": ["6in", "dscope", "1ft", "6in", "n/a - virtual", "6in"],
        "midas_fitzpatrick": ["iii medium", "VI", "i", "4", "n/a", "iii medium"],
        "midas_path": ["malignant- bcc ", "", "benign-other", "benign-other", "melanocytic tumor, possible", ""],
    }
    found = midas.prepare({"release": cells(table)})
    assert found["file"].tolist() == ["a", "b", "c.jpg", "c.png"]
    assert found["id"].tolist() == ["a", "b", "c.jpg", "c.png"]
    assert found["skin_type"].tolist() == ["3", "6", "4", ""]
    assert found["midas_path"].tolist() == ["malignant- bcc", "control", "benign-other", "melanocytic tumor, possible"]
    assert found["pathology"].tolist() == ["malignant", "control", "benign", "other"]
    output = capsys.readouterr().out
    assert "1 rows left out, as they name no file: '2' in line 4" in output
    assert "1 rows left out, as an earlier row, with other cells, has the midas_file_name: 'a.jpg' in line 7" in output
    assert "2 files differ in their ending alone: sought with it: 'c.jpg' in line 5, 'c.png' in line 6" in output
    assert "1 cells of midas_fitzpatrick begin with no number from i to vi: no skin type: 'n/a' in line 6" in output
    assert "1 controls without pathology: condition 'control': 'b.jpeg' in line 3" in output
    assert "1 cells of midas_path with blanks at their ends, removed: 'malignant- bcc ' in line 2" in output


def chest_labels(rows: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    return {name: [row.get(name, "") for row in rows] for name in FINDINGS}


def test_the_condition_of_a_chest_x_ray_is_its_first_finding(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"Fracture": "1.0", "Edema": "1.0", "No Finding": ""},
        {"No Finding": "1.0", "Support Devices": "1.0"},
        {"Support Devices": "1", "Edema": "-1.0"},
        {"Edema": "-1.0", "Fracture": "0.0"},
        {"Edema": "0.0"},
        {"Edema": "2", "Fracture": "1"},
    ]
    found = with_findings(cells(chest_labels(rows)))
    assert found["condition"].tolist() == [
        "Edema",
        "No Finding",
        "Support Devices",
        "uncertain",
        "not given",
        "Fracture",
    ]
    assert found["any_finding"].tolist() == ["finding", "no finding", *["not given"] * 3, "finding"]
    output = capsys.readouterr().out
    assert "1 rows have several findings" in output
    assert "1 cells of Edema are none of 1, 0 and -1: not used: '2' in line 7" in output


def test_races_are_read_by_their_beginning_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    stated = ["WHITE - RUSSIAN", "White", "BLACK/CAPE VERDEAN", "Asian - Indian", "HISPANIC OR LATINO", "PORTUGUESE"]
    race = race_of(cells({"race": [*stated, "", "UNABLE TO OBTAIN", "Patient Refused"]})["race"])
    assert race.tolist() == [
        *("WHITE", "WHITE", "BLACK/AFRICAN AMERICAN", "ASIAN", "HISPANIC/LATINO", "OTHER"),
        *("", "", ""),
    ]
    output = capsys.readouterr().out
    assert "race read as WHITE, in rows: WHITE - RUSSIAN 1, White 1" in output
    assert "race read as OTHER, in rows: PORTUGUESE 1" in output
    assert "race read as not stated, in rows: (empty) 1, Patient Refused 1, UNABLE TO OBTAIN 1" in output


def test_chexpert_joins_by_the_patient_in_the_path(capsys: pytest.CaptureFixture[str]) -> None:
    folder = "CheXpert-v1.0-small/train"
    pictures = {
        "Path": [
            f"{folder}/patient00001/study1/view1_frontal.jpg",
            f"{folder}/patient00001/study2/view1_frontal.jpg",
            f"{folder}/patient00002/study1/view1_frontal.jpg",
            f"{folder}/patient00003/study1/view2_lateral.jpg",
            "patient00004.jpg",
        ],
        "Sex": ["Male", "Male", "Female", "Female", "Female"],
        "Age": ["50", "52", "60", "70", "1"],
        "Frontal/Lateral": ["Frontal", "Frontal", "Frontal", "Lateral", "Frontal"],
        **chest_labels([{"Edema": "1.0"}] * 5),
    }
    people = {
        "PATIENT": ["patient00001", "patient00002", "patient00002", "patient00009"],
        "GENDER": ["Male", "Male", "Male", "Male"],
        "AGE_AT_CXR": ["52", "61", "61", "5"],
        "PRIMARY_RACE": ["White, non-Hispanic", "Asian", "Other", "Asian"],
        "ETHNICITY": ["Unknown"] * 4,
    }
    found = chexpert.prepare({"pictures": cells(pictures), "patients": cells(people)})
    assert found["patient"].tolist() == ["patient00001", "patient00001", "patient00002", "patient00003"]
    assert found["id"].tolist()[3] == "patient00003_study1_view2_lateral"
    assert found["Sex"].tolist() == ["Male", "Male", "", "Female"]
    assert found["Age"].tolist() == ["50", "52", "60", "70"]
    assert found["race"].tolist() == ["WHITE", "WHITE", "", ""]
    output = capsys.readouterr().out
    assert "1 rows left out, as their Path has no patient in its third part: 'patient00004.jpg' in line 6" in output
    assert "1 patients with conflicting cells of race, which are left empty: 'ASIAN and OTHER' in PATIENT" in output
    assert "1 rows whose Sex and GENDER differ: their Sex is left empty: 'patient00002' in line 4" in output
    assert "1 patients with an AGE_AT_CXR that none of their rows has as Age" in output
    assert "1 cells of patient (1 rows) are not in the table of patients: nothing from there: 'patient00003'" in output
    assert "1 rows of the table of patients are not used, as no row here has their PATIENT: 'patient00009'" in output


def mimic_tables(race: str) -> dict[str, pd.DataFrame]:
    labels = chest_labels([{"Edema": "1.0"}, {"No Finding": "1.0"}])
    admissions = {
        "subject_id": ["1", "1", "2", "2", "3", "3"],
        "insurance": ["Medicare", "Medicare", "Other", "Medicaid", "Other", ""],
        race: ["WHITE", "WHITE - RUSSIAN", "WHITE", "UNKNOWN", "ASIAN", "BLACK/AFRICAN"],
    }
    return {
        "pictures": cells(
            {
                "dicom_id": ["a", "b", "c", "d"],
                "subject_id": ["1", "2", "3", "4"],
                "study_id": ["10", "20", "30", "40"],
                "ViewPosition": ["PA", "AP", "LATERAL", ""],
            }
        ),
        "patients": cells({"subject_id": ["1", "2", "3"], "gender": ["F", "M", "F"], "anchor_age": ["50", "60", "70"]}),
        "admissions": cells(admissions),
        "labels": cells({"subject_id": ["1", "2"], "study_id": ["10", "20"], **labels}),
    }


@pytest.mark.parametrize("column", ["race", "ethnicity"])
def test_mimic_joins_four_tables(column: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = mimic_cxr.prepare(mimic_tables(column))
    assert found["gender"].tolist() == ["F", "M", "F", ""]
    assert found["race"].tolist() == ["WHITE", "WHITE", "", ""]
    assert found["insurance"].tolist() == ["Medicare", "", "Other", ""]
    assert found["condition"].tolist() == ["Edema", "No Finding", "not given", "not given"]
    assert found["ViewPosition"].tolist() == ["PA", "AP", "LATERAL", ""]
    output = capsys.readouterr().out
    assert "1 patients with conflicting cells of race, which are left empty: 'ASIAN and BLACK/AFRICAN" in output
    assert "1 patients with conflicting cells of insurance, which are left empty: 'Medicaid and Other' in" in output
    assert (
        "1 cells of subject_id (1 rows) are not in the table of patients: nothing from there: '4' in line 5" in output
    )
    assert "2 cells of study (2 rows) are not in the table of labels: nothing from there: '3/30' in line 4" in output


def test_mimic_needs_a_column_of_race() -> None:
    with pytest.raises(UserError, match="expected a column race or ethnicity"):
        mimic_cxr.prepare(mimic_tables("marital_status"))


@pytest.mark.parametrize("study", LOOKALIKES)
def test_no_row_is_lost_without_a_word(study: str, lookalikes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pictures in the tables are rows of the result or of a line in the log."""
    table = read(study, lookalikes)
    output = capsys.readouterr().out
    rows = [int(number.replace(",", "")) for number in re.findall(r", ([\d,]+) rows$", output, flags=re.MULTILINE)]
    before = rows[1] if study == "passion" else rows[0]
    if study == "scin":
        cases = pd.read_csv(tables_of(study, lookalikes)[0], dtype=str).drop_duplicates()
        before = int(cases[scin.PICTURES].notna().sum().sum()) + rows[0] - len(cases)
    assert len(table) == before - said(output, "rows left out")
    assert table["id"].is_unique
    assert set(table["skin_type"]) <= {-1, *range(1, 7)}


@pytest.mark.parametrize("study", CHEST)
def test_embeddings_take_the_tables_as_they_are_distributed(
    study: str, lookalikes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables, images = tables_of(study, lookalikes), read(study, lookalikes).set_index("id")
    vectors = np.random.default_rng(0).normal(size=(len(images), 4)).astype(np.float32)
    np.savez(tmp_path / "vectors.npz", id=images.index.to_numpy(str), vectors=vectors)
    capsys.readouterr()
    columns = ["race", "Edema", "Sex" if study == "chexpert" else "insurance"]
    found = read_source("mine", tmp_path / "vectors.npz", tables, SourceSpec("id", "patient", adapter=study), columns)
    ids = found.table["id"]
    assert set(ids) == set(images.index)
    assert found.matrix.tolist() == vectors[images.index.get_indexer(ids)].tolist()
    pd.testing.assert_frame_equal(found.table.set_index("id")[columns], images.loc[ids, columns], check_dtype=False)
    assert len(set(zip(found.groups, found.table["patient"], strict=True))) == images["patient"].nunique()
    assert "patients with conflicting cells of race" in capsys.readouterr().out
    with pytest.raises(UserError, match=f"expected the columns height in the tables joined as {study}"):
        read_source("mine", tmp_path / "vectors.npz", tables, SourceSpec("id", adapter=study), ["height"])


@pytest.mark.parametrize("study", [study for study in LOOKALIKES if study != "ddi"])
def test_patients_are_known(study: str, lookalikes: Path) -> None:
    table = read(study, lookalikes)
    assert (table["patient"] != "").all()
    assert 1 < table["patient"].nunique() < len(table)


def test_a_look_alike_is_the_same_every_time(lookalikes: Path, tmp_path: Path) -> None:
    write_lookalike("scin", tmp_path)
    for path in (lookalikes / "scin").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / path.relative_to(lookalikes)).read_bytes()


def test_every_adapter_says_what_it_does_and_names_patients() -> None:
    for name in ("scin", "passion", "midas", "chexpert", "mimic_cxr"):
        adapter = load_adapter(name)
        assert (adapter.__doc__ or "").strip()
        assert adapter.FORMAT.conditions
        assert adapter.FORMAT.patient


@pytest.mark.parametrize("study", LOOKALIKES)
def test_the_stages_up_to_the_manifests_run(
    study: str, lookalikes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every picture is found, however it is called, and patients stay on one side; without Snakemake, in seconds."""
    monkeypatch.chdir(lookalikes)
    data = study_data(study)
    overlay = yaml.safe_load((ROOT / "studies" / f"{study}.yaml").read_text())
    base = yaml.safe_load((ROOT / "config.yaml").read_text())
    splits = base["splits"] | overlay["splits"] | SMALL
    out = tmp_path / study
    (out / "data").mkdir(parents=True)
    config = {"sha256": [], **{key: data[key] for key in ("dataset", "columns", "skin_types", "join")}}
    tables = map(str, tables_of(study, Path()))
    metadata, index = str(out / "data" / "metadata.csv"), str(out / "data" / "images.csv")
    fetch_metadata.main(["--tables", *tables, "--config", json.dumps(config), "--output", metadata])
    availability, work = str(out / "data" / "availability.csv"), out / "work"
    pack_images.main([
        *("--metadata", metadata, "--sources", json.dumps(data["sources"]), "--downloads", str(out / "none")),
        *("--side", "16", "--icc", "convert", "--workers", "1", "--work", str(work), "--index", index),
        *("--images", str(out / "data" / "images.npy"), "--availability", availability),
    ])  # fmt: skip
    missing = [row["id"] for row in read_rows(availability) if row["status"] != "ok"]
    assert len(missing) == {"scin": 1, "midas": 5}.get(study, 0)

    clusters = str(out / "clusters.csv")
    patients = {"duplicates": "apart", "both": "together"}.get(splits["leakage"], "together")
    isolate_images.main(["--images", index, "--patients", patients, "--output", clusters])
    drawn = [*("--images", index, "--clusters", clusters, "--run", "0")]
    design = {"seed": 1, "splits": {key: value for key, value in splits.items() if key != "train_sets"}}
    test = out / "splits" / "run0" / "test.csv"
    test.parent.mkdir(parents=True)
    make_splits.main([*drawn, "--config", json.dumps(design), "--output", str(test)])
    counts = pd.read_csv(test)["group"].value_counts().to_dict()
    assert counts == {group["name"]: SMALL["test_size"] for group in splits["groups"]}
    for entry in splits["train_sets"]:
        name, manifest = entry["name"], test.with_name(f"train_{entry['name']}.csv")
        own = [*("--config", json.dumps(design | {"mix": entry["mix"]}), "--train-set", name, "--test", str(test))]
        make_splits.main([*drawn, *own, "--output", str(manifest)])
        assert len(list(read_rows(manifest))) == SMALL["train_size"]
    assert_patients_apart(out)


def tiny_study(study: str, folder: Path) -> list[str]:
    """A copy of the workflow with the look-alike of a study; the options that run it at the smallest size."""
    copy_workflow(folder)
    write_lookalike(study, folder)
    tiny = yaml.safe_load(TINY.read_text())
    config = {block: tiny[block] for block in ("model", "loss", "train", "evaluate")}
    config["train"]["epochs"] = 1
    config["data"] = {"image_size": 16, "duplicates": {"method": "hash"}}
    config["report"] = {"ruler": False}
    config["splits"] = SMALL
    config["probe"] = {"folds": 3, "fractions": [0, 0.5], "random_draws": 1, "mlp": {"max_epochs": 2}}
    (folder / "small.yaml").write_text(yaml.safe_dump(config))
    return ["--cores", "1", "--configfile", f"studies/{study}.yaml", "small.yaml"]


def assert_patients_apart(results: Path) -> None:
    """No patient is on both sides of a run, and every image is where its manifest says."""
    images = {row["id"]: row for row in read_rows(results / "data" / "images.csv")}
    for run in results.glob("splits/run*"):
        tested = {images[row["id"]]["patient"] or row["id"] for row in read_rows(run / "test.csv")}
        assert len(tested) > 1
        for manifest in run.glob("train_*.csv"):
            trained = {images[row["id"]]["patient"] or row["id"] for row in read_rows(manifest)}
            assert trained
            assert not tested & trained, manifest


# After the manifests data sets differ in their groups alone: one has groups by two columns, one shows no skin.
@pytest.mark.slow
@pytest.mark.parametrize("study", ["midas", "chexpert"])
def test_the_whole_line_ends_in_a_report(study: str, tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    snakemake(folder, *tiny_study(study, folder))
    results = folder / "results" / study
    page = (results / "report.html").read_text()
    if study in CHEST:
        # Beside what is printed of the configuration, one sentence says what is left out, and why.
        sentence = "The images are not of skin (data.skin is false): 5 figures"
        told = re.sub("<pre.*?</pre>", "", page, flags=re.DOTALL)
        assert sentence in told
        assert not re.search(r"\bskin\b", told.replace(sentence, ""), re.IGNORECASE)
    assert_patients_apart(results)
