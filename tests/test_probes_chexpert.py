"""The probes on tables as CheXpert and MIMIC-CXR publish them: invented patients, the real columns and spellings."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from workflow import ROOT

from evenhand.probes.configuration import with_text_cells
from probe_embeddings import main as probe_embeddings
from summarise_probes import main as summarise_probes

SEX = {"name": "Sex", "kind": "binary", "columns": ["Sex"], "values": {"Female": "female", "Male": "male"}}
RACE = {"name": "Eth. B.", "kind": "binary", "columns": ["race"], "values": {"WHITE": "white", "ASIAN": "other"}}
UNCERTAIN_POSITIVE = {1: 1, 0: 0, -1: 1, "": 0}


def disease(**changes: object) -> dict[str, Any]:
    return {"name": "Disease", "kind": "multilabel", "columns": ["No Finding", "Edema"], **changes}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """80 patients of two images; the embedding holds the sex and the finding of each, in another order of rows."""
    rng = np.random.default_rng(0)
    n = 160
    patient = np.arange(n) // 2
    sex, edema = np.arange(80)[patient] % 2, rng.integers(0, 2, n)
    matrix = rng.normal(size=(n, 6)).astype(np.float32)
    matrix[:, 0] += 4 * sex
    matrix[:, 1] += 4 * edema
    table = pd.DataFrame(
        {
            "Path": [f"CheXpert-v1.0/train/patient{patient[i]:05d}/study1/view{i % 2}_frontal.jpg" for i in range(n)],
            "Sex": np.where(sex, "Male", "Female"),
            "race": rng.choice(["WHITE", "ASIAN", "WHITE - RUSSIAN"], n, p=[0.4, 0.4, 0.2]),
            "No Finding": np.where(edema, "", "1.0"),
            "Edema": np.where(edema, np.where(np.arange(n) % 10 == 0, "-1.0", "1.0"), "0.0"),
        }
    )
    table.to_csv(tmp_path / "train.csv", sep=";", index=False, encoding="utf-8-sig")
    order = rng.permutation(n)
    np.savez(tmp_path / "x.npz", image_path=table["Path"].to_numpy(dtype=str)[order], embeddings=matrix[order])
    return tmp_path


def run(files: Path, attributes: list[Any], diseases: list[Any], group: object) -> pd.DataFrame:
    """The poster's table, by what is predicted."""
    probe = yaml.safe_load((ROOT / "config.yaml").read_text())["probe"] | {"folds": 4, "fractions": [0, 0.5]}
    probe |= {"random_draws": 1, "leace": False, "shuffled": False, "device": "cpu"}
    probe["mlp"] |= {"hidden_small": [8], "learning_rate": 0.02, "batch_size": 16, "max_epochs": 10}
    roles = {"attributes": attributes, "diseases": diseases}
    entry = {"id": "Path", "group": group} | {role: list(map(with_text_cells, roles[role])) for role in roles}
    folder = files / "probes" / "e"
    probe_embeddings(
        [
            *("--name", "e", "--embeddings", str(files / "x.npz"), "--metadata", str(files / "train.csv"), "--config"),
            json.dumps({"seed": 1, "probe": probe, "source": entry}, sort_keys=True),
            *("--folds", str(folder / "folds.csv"), "--counts", str(folder / "counts.csv")),
            *("--left-out", str(folder / "left_out.csv")),
        ]
    )
    source = {"member": "e", "source": "e", "dataset": "D", "model": "M", "train_set": "", "run": 0, "unseen": False}
    rules = {"fractions": [0, 0.5], "margin": 0.01, "controls": [], "alpha": 0.05, "min_runs": 3}
    (files / "probes.json").write_text(json.dumps({"embeddings": [source], "rules": rules}))
    names = ("folds", "counts", "left-out", "poster", "curves", "tests", "sets", "claims")
    outputs = [part for name in names for part in (f"--{name}", str(files / f"probe_{name}.csv"))]
    options = ["--folder", str(files / "probes"), "--settings", str(files / "probes.json")]
    summarise_probes([*options, *outputs])
    return pd.read_csv(files / "probe_poster.csv", dtype=str, keep_default_na=False).set_index("Task")


def test_published_spellings_are_read_and_policies_decide(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    group = {"column": "Path", "pattern": r"patient(\d+)"}
    poster = run(files, [SEX], [disease(values=UNCERTAIN_POSITIVE)], group)
    assert float(poster.loc["Sex", "0%"].split()[0]) > 95  # by ids, and not by position
    assert float(poster.loc["Disease*", "0%"].split()[0]) > 95
    assert poster.loc["Disease*", ["Images", "Left out", "Not scored"]].tolist() == ["160", "0 of 160", ""]
    assert poster.loc["Sex", "Kept together"] == (
        "images of one Path, of which 'patient(\\\\d+)' takes a part (80 groups)"
    )
    log = capsys.readouterr().out
    assert "separated by semicolon, UTF-8, 160 rows" in log
    assert "ids from 'image_path'" in log


def test_what_is_not_known_or_not_scored_is_shown(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv(files / "train.csv", sep=";", dtype=str, keep_default_na=False)
    unlisted, unsure = int((table["race"] == "WHITE - RUSSIAN").sum()), int((table["Edema"] == "-1.0").sum())
    poster = run(files, [RACE], [disease(missing=[-1])], None)
    assert poster.loc["Eth. B.", "Left out"] == f"{unlisted} of 160 (race WHITE - RUSSIAN: {unlisted})"
    positive = int((table["No Finding"] == "1.0").sum())
    assert poster.loc["Disease*", "Not scored"] == (
        f"No Finding (all {positive} rows with a label are 1, none is 0, in 4 of 4 folds)"
    )
    assert f"Edema -1.0: {unsure}" in poster.loc["Disease*", "Left out"]
    assert poster.loc["Eth. B.", "Kept together"].startswith("nothing; images of one patient may be in training and")
    curves = pd.read_csv(files / "probe_curves.csv")
    assert set(curves[curves["target"] == "Disease"]["classes_scored"]) == {1}
    assert re.search("race +WHITE - RUSSIAN +not listed in values", capsys.readouterr().out)
    warnings = pd.read_csv(files / "probe_counts.csv")["warnings"].dropna().tolist()
    assert len(warnings) == 3  # no group, unlisted cells, a label that is not scored
