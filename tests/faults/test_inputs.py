"""Bad inputs: each ends with status 1 and one message that says what was expected, what was found and what to do."""

import copy
import io
import json
import os
import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from training_job import CONFIG, command, write_data
from workflow import ROOT

import evaluate_vae
import fetch_metadata
import prepare_vgg19
import train_vae
from evenhand.models.architecture import Architecture
from evenhand.models.family import save_weights
from evenhand.models.vae import VAE
from evenhand.workflow.config import check_config, evaluation_settings
from evenhand.workflow.errors import UserError, run

HASHES = [f"{i:032x}" for i in range(6)]
GOOD = {
    "md5hash": HASHES,
    "fitzpatrick_scale": ["1", "2", "5", "6", "-1", "3"],
    "label": ["acne"] * 6,
    "nine_partition_label": ["inflammatory"] * 6,
    "three_partition_label": ["benign"] * 6,
}


def message(main: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> str:
    """The one message that a stage ends with; it must be one, and no traceback."""
    with pytest.raises(SystemExit) as ended:
        run(main)
    text = str(ended.value.code)
    assert text.startswith("error: ")
    assert "Traceback" not in capsys.readouterr().err
    return text


def csv(**columns: list[str] | None) -> bytes:
    table = {name: values for name, values in (GOOD | columns).items() if values is not None}
    return pd.DataFrame(table).to_csv(index=False).encode()


GOOD_CSV = csv()
LINES = GOOD_CSV.decode().splitlines()
METADATA: dict[str, tuple[bytes, str | None]] = {
    # content, words of the message; None: a table that is accepted
    "columns in another order": (pd.DataFrame(GOOD)[list(GOOD)[::-1]].to_csv(index=False).encode(), None),
    "another column": (csv(photographer=["x"] * 6), None),
    "quoted cells": (csv(label=['"a, b"'] * 6), None),
    "a byte-order mark": (b"\xef\xbb\xbf" + GOOD_CSV, None),
    "line ends of Windows": (GOOD_CSV.replace(b"\n", b"\r\n"), None),
    **{f"no column {name}": (csv(**{name: None}), f"missing: {name}") for name in GOOD},
    "a column twice": (
        "\n".join([LINES[0] + ",label", *(line + ",other" for line in LINES[1:])]).encode(),
        "found twice: label",
    ),
    "a row twice": ("\n".join([*LINES, LINES[1]]).encode(), "every id once"),
    "two rows of an image": (csv(md5hash=[HASHES[0], *HASHES[:5]]), "every id once"),
    "cells missing": ("\n".join([*LINES, HASHES[0][::-1] + "1"]).encode(), "line 8 has 1 cells and the header 5"),
    "cells too many": ("\n".join([*LINES, "0" * 31 + "f,1,a,b,c,d,e"]).encode(), "line 8 has 7 cells and the header 5"),
    "Latin-1": (csv(label=["acné"] * 6).decode().encode("latin-1"), None),
    "UTF-16": (GOOD_CSV.decode().encode("utf-16"), None),
    "UTF-32": (GOOD_CSV.decode().encode("utf-32"), None),
    "a spreadsheet": (b"PK\x03\x04" + bytes(range(256)), "expected"),
    "a null byte": (GOOD_CSV.replace(b"acne", b"ac\0ne"), "expected"),
    "semicolons": (GOOD_CSV.replace(b",", b";"), None),
    "tabs": (GOOD_CSV.replace(b",", b"\t"), None),
    "no header": ("\n".join(LINES[1:]).encode(), "missing: md5hash"),
    "a web page": (b"<!DOCTYPE html>\n<html><body>404</body></html>", "expected"),
    "nothing": (b"", "the file is empty"),
    "a header only": ((LINES[0] + "\n").encode(), "no rows"),
    "type 0": (csv(fitzpatrick_scale=["0", *["1"] * 5]), "'0' in 1 row .*line 2"),
    "type 7": (csv(fitzpatrick_scale=["7", *["1"] * 5]), "'7' in 1 row .*line 2"),
    "type 1.5": (csv(fitzpatrick_scale=["1.5", *["1"] * 5]), "expected -1, 1, 2, 3, 4, 5, 6 or an empty cell"),
    "type in words": (csv(fitzpatrick_scale=["II", *["1"] * 5]), "expected -1, 1, 2, 3, 4, 5, 6 or an empty cell"),
    "type infinite": (csv(fitzpatrick_scale=["inf", *["1"] * 5]), "expected -1, 1, 2, 3, 4, 5, 6 or an empty cell"),
    "type in Arabic digits": (
        csv(fitzpatrick_scale=["٣", *["1"] * 5]),
        "expected -1, 1, 2, 3, 4, 5, 6 or an empty cell",
    ),
    "a path for a hash": (csv(md5hash=["../../etc/passwd", *HASHES[1:]]), "can be a file name.*line 2"),
    "a command for an id": (csv(md5hash=["$(touch owned)", *HASHES[1:]]), "expected an MD5.*line 2"),
    "a hash with a line end": (csv(md5hash=[HASHES[0] + "\n../x", *HASHES[1:]]), "can be a file name"),
    "an id in full-width digits": (csv(md5hash=["\uff10" * 32, *HASHES[1:]]), "expected an MD5.*line 2"),
    "an id too long": (csv(md5hash=["0" * 101, *HASHES[1:]]), "can be a file name"),
    "a SHA-256 for an id": (csv(md5hash=["0" * 64, *HASHES[1:]]), None),
    "no id": (csv(md5hash=["", *HASHES[1:]]), "can be a file name"),
    "no label": (csv(label=["", *["acne"] * 5]), "condition name.*line 2"),
    "a label of spaces": (csv(three_partition_label=["  ", *["x"] * 5]), "condition name"),
}


def options_of(tmp_path: Path, output: Path) -> list[str]:
    """Of fetch_metadata.py, for the table in a folder."""
    config = {"sha256": [], "dataset": "fitzpatrick17k", "columns": {}, "skin_types": {}, "join": None}
    return ["--tables", str(tmp_path / "table.csv"), "--config", json.dumps(config), "--output", str(output)]


@pytest.mark.parametrize("case", METADATA)
def test_metadata(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, words = METADATA[case]
    (tmp_path / "table.csv").write_bytes(content)
    output = tmp_path / "metadata.csv"
    output.write_text("as it was")
    options = options_of(tmp_path, output)
    if words is None:
        fetch_metadata.main(options)
        assert len(pd.read_csv(output)) == 6
        assert not Path("owned").exists()
        return
    text = message(lambda: fetch_metadata.main(options), capsys)
    assert re.search(words, text, flags=re.DOTALL), text
    assert "table.csv" in text
    assert output.read_text() == "as it was"
    assert not (tmp_path / "owned").exists()


def test_hashes_in_capitals_are_the_same_images(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(csv(md5hash=["ABCDEF" + "0" * 26, *HASHES[1:]]))
    with pytest.warns(UserWarning, match="capitals"):
        fetch_metadata.main(options_of(tmp_path, tmp_path / "o.csv"))
    assert pd.read_csv(tmp_path / "o.csv")["id"][0] == "abcdef" + "0" * 26


SCHEMA = yaml.safe_load((ROOT / "schemas" / "config.schema.yaml").read_text())
PAPER = yaml.safe_load((ROOT / "config.yaml").read_text())


def leaves(block: dict[str, Any], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    return [
        name
        for key, value in block.items()
        for name in (leaves(value, (*prefix, key)) if isinstance(value, dict) and value else [(*prefix, key)])
    ]


def edited(path: tuple[str, ...], edit: Callable[[dict[str, Any], str], None]) -> dict[str, Any]:
    config = copy.deepcopy(PAPER)
    block = config
    for key in path[:-1]:
        block = block[key]
    edit(block, path[-1])
    return config


def test_every_kind_of_mistake_in_every_key_of_the_configuration(
    record_property: Callable[[str, object], None],
) -> None:
    def missing(block: dict[str, Any], key: str) -> None:
        del block[key]

    def misspelt(block: dict[str, Any], key: str) -> None:
        block[f"{key}s"] = block.pop(key)

    def nonsense(block: dict[str, Any], key: str) -> None:
        block[key] = {"an": "object"}

    def no_number(block: dict[str, Any], key: str) -> None:
        block[key] = float("nan")

    def infinite(block: dict[str, Any], key: str) -> None:
        block[key] = float("inf")

    silent = []
    cases = [(path, edit) for path in leaves(PAPER) for edit in (missing, misspelt, nonsense, no_number, infinite)]
    for path, edit in cases:
        try:
            check_config(edited(path, edit), SCHEMA)
        except UserError as error:
            # The key is named, or the block that lacks it.
            if path[-1] not in str(error) and path[-2] not in str(error):
                silent.append((path, edit.__name__, str(error)))
        else:
            silent.append((path, edit.__name__, "accepted"))
    record_property("matrix", "inputs: configuration")
    record_property("tried", len(cases))
    record_property("survived", len(cases) - len(silent))
    assert silent == []


MANIFESTS: dict[str, Callable[[Path], object]] = {
    "a row deleted": lambda path: path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1])),
    "a row twice": lambda path: path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n"),
    "another image": lambda path: path.write_text(path.read_text().replace("0" * 31 + "1", "f" * 32)),
    "another role": lambda path: path.write_text(path.read_text().replace("train_A", "test_light", 1)),
    "another order": lambda path: path.write_text("\n".join(sorted(path.read_text().splitlines()))),
    "other line ends": lambda path: path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n")),
    "one bit": lambda path: path.write_bytes(path.read_bytes()[:-3] + b"x" + path.read_bytes()[-2:]),
    "empty": lambda path: path.write_bytes(b""),
    "not there": lambda path: path.unlink(),
    "no sum": lambda path: path.with_suffix(".sha256").unlink(),
    "an empty sum": lambda path: path.with_suffix(".sha256").write_text(""),
    "a sum that is none": lambda path: path.with_suffix(".sha256").write_bytes(b"\xff\xfe"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_manifest_edited_by_hand_trains_nothing(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_data(tmp_path / "data")
    MANIFESTS[case](data / "manifest.csv")
    output = tmp_path / "output"
    text = message(lambda: train_vae.main(command(data, output, CONFIG)[2:]), capsys)
    assert "manifest.csv: expected" in text
    assert "found" in text
    assert "To have it drawn again, delete it" in text
    assert {path.name for path in output.iterdir()} <= {".lock"}


class Trap:
    """Unpickled it makes a file: then it was executed."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.mark),)


def archive(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", content)
        file.writestr("archive/version", "3\n")
    return buffer.getvalue()


def weights(case: str, tmp_path: Path) -> bytes:
    """The bytes of a file that is no weights of this study's VAE."""
    small = Architecture.from_config(CONFIG["model"])  # type: ignore[arg-type]
    save_weights(tmp_path / "good", VAE(small))
    good = (tmp_path / "good").read_bytes()
    header = struct.unpack("<Q", good[:8])[0]
    trap = pickle.dumps(Trap(tmp_path / "executed"))
    saved = io.BytesIO()
    torch.save({"state": Trap(tmp_path / "executed")}, saved)
    plain = io.BytesIO()
    torch.save({"features.0.weight": torch.zeros(3)}, plain)
    another = json.loads(good[8 : 8 + header])
    another["__metadata__"]["architecture"] = another["__metadata__"]["architecture"].replace("16", "32")
    renamed = json.dumps(another).encode()
    return {
        "a pickle": trap,
        "a pickle in an archive of PyTorch": saved.getvalue(),
        "a pickle in a zip": archive(trap),
        "tensors of something else": plain.getvalue(),
        "nothing": b"",
        "half": good[: len(good) // 2],
        "without the last byte": good[:-1],
        "the header only": good[: 8 + header],
        "a header of 2^62 bytes": struct.pack("<Q", 2**62) + good[8:],
        "zeros": bytes(len(good)),
        "another architecture": struct.pack("<Q", len(renamed)) + renamed + good[8 + header :],
        "a web page": b"<!DOCTYPE html><html>404</html>",
    }[case]


WEIGHTS = [
    *("a pickle", "a pickle in an archive of PyTorch", "a pickle in a zip", "tensors of something else", "nothing"),
    *("half", "without the last byte", "the header only", "a header of 2^62 bytes", "zeros", "another architecture"),
    "a web page",
]


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_are_none_are_refused_and_never_executed(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(weights(case, tmp_path))
    names = ("images", "index", "test", "training", "features", "evaluation", "embeddings", "samples")
    options = [part for name in names for part in (f"--{name}", str(tmp_path / name))]
    options += ["--train-set", "A", "--run", "0", "--model", str(path)]
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    options += ["--config", json.dumps(evaluation_settings(config, "A"))]
    text = message(lambda: evaluate_vae.main(options), capsys)
    assert "does not hold the weights of a trained model" in text
    assert "run its training again" in text
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "evaluation").exists()


@pytest.mark.parametrize("case", WEIGHTS)
def test_perceptual_weights_that_are_none_are_refused_and_never_executed(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "vgg19.pth"
    path.write_bytes(weights(case, tmp_path))
    options = ["--config", json.dumps({"seed": 1, "weights": str(path)})]
    options += ["--downloads", str(tmp_path), "--output", str(tmp_path / "features")]
    text = message(lambda: prepare_vgg19.main(options), capsys)
    assert str(path) in text
    assert "VGG19" in text
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "features").exists()
