"""Small tables and pictures in the layout of public data sets, with their quirks; nothing in them is of a patient.

Each function writes what its data set is made of into a folder, as studies/NAME.yaml expects it there, the same every
time. About sixty pictures a group: enough for test sets of 20 and training sets of 24.
"""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

LEVELS = {1: 215, 2: 200, 3: 175, 4: 150, 5: 110, 6: 90}  # brightness of a skin type
FINDINGS = (
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema"),
    *("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture"),
    "Support Devices",
)


def write_ddi(folder: Path) -> None:
    """One table with an unnamed column of row numbers, codes 12, 34 and 56, PNG files beside it."""
    rng = np.random.default_rng(1)
    rows = []
    for number in range(1, 181):
        kind, file = (12, 34, 56)[number % 3], f"{number:06d}.png"
        disease = ("melanoma-in-situ", "melanocytic-nevi", "eczema-spongiotic-dermatitis", "basal-cell-carcinoma")[
            number % 4
        ]
        rows.append((number - 1, number, file, kind, disease.startswith(("melanoma", "basal")), disease))
        _save(folder / file, _skin(rng, kind // 10), "PNG")
    _table(rows, ["", "DDI_ID", "DDI_file", "skin_tone", "malignant", "disease"]).to_csv(
        folder / "ddi_metadata.csv", index=False
    )


def write_scin(folder: Path) -> None:
    """Two tables of cases; one to three pictures each.

    Quirks: ids below zero, one or two votes of three, ties, dicts as text, cases without labels or pictures, a case
    twice, two cases that share a file, a file that is not there, and JPEG in files called .png.
    """
    rng = np.random.default_rng(2)
    cases, labels = [], []
    for number in range(120):
        case = str(int(rng.integers(-(2**62), 2**62)))
        kind = (1, 2, 5, 6, 3)[number % 5]
        files = [f"dataset/images/{int(rng.integers(-(2**62), 2**62))}.png" for _ in range(1 + number % 3)]
        if number == 7:
            files[0] = cases[6][-3]
        elif number == 9:
            files = []
        for place, file in enumerate(files):
            if (number, place) != (12, 0):
                _save(folder / file, _skin(rng, kind), "JPEG" if number % 10 == 0 else "PNG")
        about = (case, "SCIN", "1.0.0", 2023, "AGE_30_TO_39", ("FEMALE", "MALE", "OTHER_OR_UNSPECIFIED")[number % 3])
        cases.append((*about, f"FST{kind}", *[*files, "", "", ""][:3]))
        if number == 14:
            continue
        votes = [f"FST{kind}"] * 3
        if number % 6 == 1:
            votes[1] = f"FST{kind % 6 + 1}"  # two of three
        elif number % 6 == 3:
            votes[1:] = ["", ""]
        elif number == 20:
            votes = ["FST1", "FST2", ""]  # a tie
        elif number == 25:
            votes = ["", "", ""]
        weights = {
            0: "{'Eczema': 0.41, 'Urticaria': 0.22, \"Shingles\": 0.37}",
            1: "{'Insect Bite': 1.0}",
            2: "{'Tinea': 0.5, 'Acne': 0.5}",
            3: "{}",
        }[number % 4]
        labels.append((case, *votes, weights, rng.integers(1, 11), rng.integers(1, 11)))
    cases.append(cases[3])
    columns = ["case_id", "source", "release", "year", "age_group", "sex_at_birth", "fitzpatrick_skin_type"]
    pictures = [f"image_{number}_path" for number in (1, 2, 3)]
    _write(cases, [*columns, *pictures], folder / "dataset" / "scin_cases.csv")
    votes = [f"dermatologist_fitzpatrick_skin_type_label_{number}" for number in (1, 2, 3)]
    monk = ["monk_skin_tone_label_india", "monk_skin_tone_label_us"]
    names = ["case_id", *votes, "weighted_skin_condition_label", *monk]
    _write(labels, names, folder / "dataset" / "scin_labels.csv")


def write_passion(folder: Path) -> None:
    """One row per subject, several files each, and the list of files as `ls` makes it.

    Quirks: skin types 3 to 6 alone, a file without a subject, a file that is no image, a subject without a file, and
    one id that begins like another.
    """
    rng = np.random.default_rng(3)
    subjects, files = [], []
    for number in range(80):
        subject = f"AA{970059 + number:08d}" if number else "AA0097005"  # of which the next ones are longer
        kind = 3 + number % 4
        condition = ("Eczema", "Fungal", "Others", "Scabies")[number // 4 % 4]
        about = (subject, ("Malawi", "Guinea", "Tanzania", "Madagascar")[number % 4], 1 + number % 17, "fm"[number % 2])
        subjects.append((*about, kind, "arm;leg", number % 5 // 4, condition))
        for picture in range(1 + number % 3 if number != 5 else 0):
            name = f"{subject}_{picture + 1:02d}.{('jpg', 'JPG', 'jpeg')[number % 3]}"
            _save(folder / "images" / name, _skin(rng, kind), "JPEG")
            files.append(name)
    _save(folder / "images" / "ZZ00000001_01.jpg", _skin(rng, 4), "JPEG")
    names = ["subject_id", "country", "age", "sex", "fitzpatrick", "body_loc", "impetig", "conditions_PASSION"]
    _write(subjects, names, folder / "label.csv")
    splits = [(subject[0], "TRAIN" if number % 5 else "TEST") for number, subject in enumerate(subjects)]
    _write(splits, ["subject_id", "Split"], folder / "PASSION_split.csv")
    listed = sorted([*files, "ZZ00000001_01.jpg", "Thumbs.db"])
    (folder / "files.csv").write_text("\n".join(["file", *listed]) + "\n")


def write_pad_ufes_20(folder: Path) -> None:
    """One table; patients with one to three pictures in three folders; `fitspatrick` as a float with gaps."""
    rng = np.random.default_rng(4)
    rows = []
    for patient in range(1, 111):
        kind = (1, 2, 2, 5, 6, 5, 3, None)[patient % 8]
        for lesion in range(1 + patient % 3):
            name = f"PAT_{patient}_{1000 + patient}_{10 * patient + lesion}.png"
            diagnostic = ("BCC", "ACK", "NEV", "SEK", "SCC", "MEL")[(patient + lesion) % 6]
            _save(folder / f"imgs_part_{1 + patient % 3}" / name, _skin(rng, kind or 2), "PNG")
            told = (float(kind), ("FEMALE", "MALE")[patient % 2], "False") if kind else ("", "", "")
            rows.append((f"PAT_{patient}", 1000 + patient, 30 + patient % 50, *told, "ARM", diagnostic, name, "True"))
    names = ["patient_id", "lesion_id", "age", "fitspatrick", "gender", "smoke", "region", "diagnostic", "img_id"]
    _write(rows, [*names, "biopsed"], folder / "metadata.csv")


def write_midas(folder: Path) -> None:
    """One workbook; three or four distances a lesion, files beside it.

    Quirks: an unnamed first column, Roman skin types with words behind, controls without pathology, files with another
    ending than the table says, rows without a file name, a file twice in the table, files that are not there, PNG in
    files called .jpg.
    """
    rng = np.random.default_rng(5)
    rows: list[tuple[object, ...]] = []
    words = {1: "i pale white", 2: "ii white", 3: "iii light brown", 5: "v brown", 6: "vi dark brown", None: None}
    for record in range(1, 81):
        kind = (1, 2, 2, 5, 6, 5, 3, None)[record % 8]
        control = record % 9 == 0
        path = (
            *("malignant- bcc", "benign-melanocytic nevus", "malignant- melanoma", "benign-seborrheic keratosis"),
            "melanocytic tumor, possible re-excision (severe, spitz, aimp)",
        )[record % 5]
        distances = ("6in", "1ft", "dscope") if record % 10 else ("6in", "1ft", "dscope", "n/a - virtual")
        for distance in distances:
            number = len(rows)
            name = f"s-prd-{400000000 + 37 * number}.{'jpg' if number % 4 else 'jpeg'}"
            stored = name
            if number % 19 == 3:  # another ending
                stored = name.replace(".jpeg", ".tmp").replace(".jpg", ".jpeg").replace(".tmp", ".jpg")
            if number % 50 != 7:  # else not there
                _save(folder / stored, _skin(rng, kind or 2), "PNG" if number % 11 == 5 else "JPEG")
            about = (number, record, None if number in (30, 31) else name, "yes" if control else "no", distance)
            told = ("female" if record % 2 else "male", 40 + record % 45, words[kind], "no", "white")
            rows.append((*about, "left arm", None if control else path, *told))
    rows.append((len(rows), *rows[0][1:]))  # the file twice
    names = ["midas_record_id", "midas_file_name", "midas_iscontrol", "midas_distance", "midas_location", "midas_path"]
    people = ["midas_gender", "midas_age", "midas_fitzpatrick", "midas_melanoma", "midas_race"]
    table = pd.DataFrame(rows, columns=["", *names, *people])
    table.to_excel(folder / "release_midas.xlsx", index=False)


def write_chexpert(folder: Path) -> None:
    """train.csv of pictures and a workbook of patients; grey pictures in a folder per patient and study.

    Quirks: 1.0, 0.0, -1.0 and empty labels, lateral views, a patient of unknown sex, one whose sex and several whose
    ages disagree, a patient twice with different races, one who is in one of the tables alone.
    """
    rng = np.random.default_rng(6)
    pictures, people = [], []
    for patient in range(1, 101):
        name, sex = f"patient{patient:05d}", ("Female", "Male")[patient % 2]
        age, study = 20 + patient % 70, 0
        for study in range(1, 2 + patient % 2):
            views = [("view1_frontal", "Frontal", "AP"), ("view2_lateral", "Lateral", "")][: 1 + (patient % 4 == 0)]
            for view, side, projection in views:
                path = f"CheXpert-v1.0-small/train/{name}/study{study}/{view}.jpg"
                _save(folder / path, _chest(rng, 120 + 20 * (sex == "Male")), "JPEG")
                told = "Unknown" if patient == 60 else sex
                pictures.append((path, told, age + study - 1, side, projection, *_labels(rng, "1.0", "0.0", "-1.0")))
        race = ("White", "Black or African American", "Asian", "White, non-Hispanic", "Unknown", "Other")[patient % 6]
        if patient != 50:
            said = "Male" if patient == 40 else sex
            people.append((name, said, age + 5 * (patient % 10 == 3), race, "Non-Hispanic/Non-Latino"))
    people.append((*people[1][:3], "White", "Unknown"))
    people.append(("patient64541", "Female", 44, "White", "Unknown"))
    columns = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS]
    _write(pictures, columns, folder / "CheXpert-v1.0-small" / "train.csv")
    table = pd.DataFrame(people, columns=["PATIENT", "GENDER", "AGE_AT_CXR", "PRIMARY_RACE", "ETHNICITY"])
    table.to_excel(folder / "CHEXPERT DEMO.xlsx", index=False)


def write_mimic_cxr(folder: Path) -> None:
    """Four compressed tables; grey pictures in folders by patient and study.

    Quirks: race in many words, several admissions of which some disagree, patients without an admission, studies
    without labels, rows of patients who have no picture, lateral views.
    """
    rng = np.random.default_rng(7)
    pictures, people, admissions, labels = [], [], [], []
    races = ("WHITE", "WHITE - RUSSIAN", "BLACK/AFRICAN AMERICAN", "ASIAN - CHINESE", "HISPANIC OR LATINO", "UNKNOWN")
    for number in range(110):
        subject, sex = 10000032 + 17 * number, "FM"[number % 2]
        for study in range(50000000 + 10 * number, 50000000 + 10 * number + 1 + number % 2):
            for view in ("PA", "LATERAL") if number % 4 == 0 else ("AP",):
                dicom = "-".join(f"{int(rng.integers(2**32)):08x}" for _ in range(5))
                path = folder / "files" / f"p{str(subject)[:2]}" / f"p{subject}" / f"s{study}" / f"{dicom}.jpg"
                _save(path, _chest(rng, 120 + 20 * (sex == "M")), "JPEG")
                pictures.append((dicom, subject, study, "CHEST (PORTABLE AP)", view, 3056, 2544, 21800506 + number))
            if number != 8:
                labels.append((subject, study, *_labels(rng, "1.0", "0.0", "-1.0")))
        people.append((subject, sex, 20 + number % 70, 2180, "2014 - 2016", ""))
        for admission in range(number % 4 % 3):
            race = races[(number + (admission if number % 10 == 0 else 0)) % 6]
            insurance = ("Medicare", "Other", "Medicaid")[(number + (admission if number % 10 == 8 else 0)) % 3]
            admissions.append((subject, 20000000 + 10 * number + admission, "URGENT", insurance, "ENGLISH", race))
    people.append((19999999, "F", 50, 2150, "2011 - 2013", ""))
    admissions.append((19999999, 29999999, "URGENT", "Other", "ENGLISH", "WHITE"))
    columns = ["dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows"]
    _write(pictures, [*columns, "Columns", "StudyDate"], folder / "mimic-cxr-2.0.0-metadata.csv.gz")
    names = ["subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod"]
    _write(people, names, folder / "patients.csv.gz")
    names = ["subject_id", "hadm_id", "admission_type", "insurance", "language", "race"]
    _write(admissions, names, folder / "admissions.csv.gz")
    table = _table(labels, ["subject_id", "study_id", *FINDINGS])[["subject_id", "study_id", *sorted(FINDINGS)]]
    _write(table.values.tolist(), table.columns.tolist(), folder / "mimic-cxr-2.0.0-chexpert.csv.gz")


# By the name of the study, which is that of the folder as well.
LOOKALIKES: dict[str, Callable[[Path], None]] = {
    "ddi": write_ddi,
    "scin": write_scin,
    "passion": write_passion,
    "pad_ufes_20": write_pad_ufes_20,
    "midas": write_midas,
    "chexpert": write_chexpert,
    "mimic_cxr": write_mimic_cxr,
}


def write_lookalike(study: str, folder: Path) -> None:
    """The data of a study in the folder that it names, below `folder`."""
    (folder / study).mkdir(parents=True)
    LOOKALIKES[study](folder / study)


def _labels(rng: np.random.Generator, yes: str, no: str, unsure: str) -> list[str]:
    """Fourteen labels: No Finding is 1 or empty, the others any of four; nothing at all now and then."""
    if rng.random() < 0.3:
        return [yes, *[""] * 13]
    return ["", *rng.choice([yes, no, unsure, ""], 13, p=[0.2, 0.15, 0.05, 0.6]).tolist()]


def _skin(rng: np.random.Generator, kind: int) -> Image.Image:
    """Skin of a type under some light, with texture."""
    colour = LEVELS[kind] + np.array([20, 0, -20]) + rng.normal(0, 10, 3)
    return _image(colour + rng.normal(0, 18, (20, 24, 3)))


def _chest(rng: np.random.Generator, level: int) -> Image.Image:
    return _image(level + rng.normal(0, 25, (24, 20)) + rng.normal(0, 10))


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _save(path: Path, image: Image.Image, form: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, format=form)


def _table(rows: Sequence[Sequence[object]], names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(names))


def _write(rows: Sequence[Sequence[object]], names: Sequence[str], path: Path) -> None:
    """A CSV, compressed where the name says so; the same bytes every time."""
    text = _table(rows, names).to_csv(index=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else text.encode())
