"""Hostile photographs and embeddings: named with what is wrong, none of the good ones lost, nothing hangs."""

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from packing_study import PHOTOGRAPHS, Study, md5, photograph
from PIL import Image
from workflow import ROOT, environment

GOOD = list(PHOTOGRAPHS.items())[:4]


def png(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def gif_of_many_frames() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new("P", (8, 8), number) for number in range(200)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


JPEG = photograph(100)
HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "one byte": b"\xff",
    "half a JPEG": JPEG[: len(JPEG) // 2],
    "a JPEG's header": JPEG[:20],
    "a decompression bomb": png(60_000, 60_000, bytes(1000)),
    "a size of 2^31": png(2**31 - 1, 2**31 - 1),
    "no width": png(0, 10),
    "a PNG with false sums": png(8, 8, bytes(200)).replace(b"IDAT", b"IDAS"),
    "a web page": b"<!DOCTYPE html><html><body>404</body></html>",
    "a picture that is a script": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
    "a PDF": b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n",
    "a zip": b"PK\x03\x04" + bytes(100),
    "a program": b"\x7fELF" + bytes(200),
    "a shell script": b"#!/bin/sh\ntouch owned\n",
    "an XBM": b"#define x_width 9\n#define x_height 9\nstatic char x_bits[] = {0x00};\n",
    "a list of pictures": b"#EXTM3U\n/etc/passwd\n",
    "random bytes": np.random.default_rng(0).bytes(5000),
}


def kinds() -> list[str]:
    return [*HOSTILE, "a folder", "a link to nothing", "a link to itself", "a link to /dev/zero", "a pipe"]


@pytest.mark.parametrize("kind", kinds())
def test_a_hostile_photograph_is_named_and_costs_no_other(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, data in GOOD:
        (folder / f"{name}.jpg").write_bytes(data)
    data = HOSTILE.get(kind, b"x")
    path = folder / f"{md5(data)}.jpg"
    if kind in HOSTILE:
        path.write_bytes(data)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"a link to nothing": "absent", "a link to itself": path.name}.get(kind, "/dev/zero"))
    sources: list[dict[str, object]] = [{"folder": str(folder), "verify": kind in HOSTILE}]
    study = Study(tmp_path / "study", [*(name for name, _ in GOOD), md5(data)], sources)
    # In a process of its own: one that hangs can be ended.
    done = subprocess.run(
        [sys.executable, ROOT / "workflow_scripts" / "pack_images.py", *study.arguments()],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,  # of a machine that does much else
    )
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(study.path / "availability.csv", keep_default_na=False).set_index("id")
    assert list(table["status"][:-1]) == ["ok"] * len(GOOD)
    assert table["status"].iloc[-1] not in ("ok", "")
    assert not (tmp_path / "owned").exists()
    assert np.load(study.path / "images.npy").shape[0] == len(GOOD)


def test_a_film_gives_its_first_picture(tmp_path: Path) -> None:
    data = gif_of_many_frames()
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / f"{md5(data)}.jpg").write_bytes(data)
    study = Study(tmp_path / "study", [md5(data)], [{"folder": str(tmp_path / "photographs")}])
    study.pack()
    assert study.images.shape[0] == 1


@pytest.mark.parametrize("name", ["../{}.jpg", "/{}.jpg", "a/../../{}.jpg", "C:\\{}.jpg", "{}.jpg/../../x"])
def test_a_name_in_an_archive_leads_nowhere(name: str, tmp_path: Path) -> None:
    data = photograph(0)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr(name.format(md5(data)), data)
        for good, content in GOOD:
            archive.writestr(f"{good}.jpg", content)
    before = set(tmp_path.parent.rglob("*.jpg"))
    study = Study(tmp_path / "study", [good for good, _ in GOOD], [{"archive": str(tmp_path / "images.zip")}])
    study.pack()
    assert set(tmp_path.parent.rglob("*.jpg")) == before
    assert study.images.shape[0] == len(GOOD)


def saved(write: Callable[[io.BytesIO], None]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


ROWS = 12
EMBEDDINGS: dict[str, tuple[str, bytes, str]] = {
    # suffix, content, words of the message
    "fewer rows": (".npy", saved(lambda f: np.save(f, np.ones((5, 3)))), "has 5 rows and"),
    "one dimension": (".npy", saved(lambda f: np.save(f, np.ones(ROWS))), "expected images x features"),
    "no features": (".npy", saved(lambda f: np.save(f, np.ones((ROWS, 0)))), "expected images x features"),
    "no rows": (".npy", saved(lambda f: np.save(f, np.ones((0, 3)))), "expected images x features"),
    "one number": (".npy", saved(lambda f: np.save(f, np.float32(1))), "expected"),
    "text": (".npy", saved(lambda f: np.save(f, np.full((ROWS, 3), "x"))), "expected numbers"),
    "complex numbers": (".npy", saved(lambda f: np.save(f, np.ones((ROWS, 3), complex))), "expected numbers"),
    "Python objects": (
        ".npy",
        saved(lambda f: np.save(f, np.array([[{}]] * ROWS, object), allow_pickle=True)),
        "cannot be read",
    ),
    "NaN": (".npy", saved(lambda f: np.save(f, np.full((ROWS, 3), np.nan))), "NaN or infinity"),
    "constants": (".npy", saved(lambda f: np.save(f, np.ones((ROWS, 3)))), "the same for all images"),
    "nothing": (".npy", b"", "cannot be read"),
    "half": (".npy", saved(lambda f: np.save(f, np.ones((ROWS, 3))))[:100], "cannot be read"),
    "no archive": (".npz", b"PK no archive", "cannot be read"),
    "two matrices": (".npz", saved(lambda f: np.savez(f, a=np.ones((ROWS, 3)), b=np.ones((ROWS, 3)))), "name one"),
    "ids that are others": (
        ".npz",
        saved(lambda f: np.savez(f, id=np.arange(ROWS) + 100, a=np.ones((ROWS, 3)))),
        "have no embedding",
    ),
    "no Parquet": (".parquet", b"PAR1", "cannot be read"),
    "another format": (".csv", b"a,b\n1,2\n", "is not .npy, .npz, .parquet or .tfrecord"),
}


@pytest.mark.parametrize("case", EMBEDDINGS)
def test_embeddings_that_do_not_fit_are_refused(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import probe_embeddings
    from evenhand.workflow.errors import run

    suffix, content, words = EMBEDDINGS[case]
    embeddings, metadata = tmp_path / f"embeddings{suffix}", tmp_path / "metadata.csv"
    embeddings.write_bytes(content)
    pd.DataFrame({"id": range(ROWS), "sex": ["F", "M"] * (ROWS // 2)}).to_csv(metadata, index=False)
    sex = {"name": "sex", "kind": "binary", "columns": ["sex"]}
    source = {"id": None if suffix == ".npy" else "id", "group": None, "attributes": [sex], "diseases": []}
    options = ["--name", "given", "--embeddings", str(embeddings), "--metadata", str(metadata)]
    options += ["--config", json.dumps({"seed": 1, "source": source, "probe": PROBE})]
    options += ["--folds", str(tmp_path / "folds.csv"), "--counts", str(tmp_path / "counts.csv")]
    options += ["--left-out", str(tmp_path / "left_out.csv")]
    with pytest.raises(SystemExit) as ended:
        run(lambda: probe_embeddings.main(options))
    text = str(ended.value.code)
    assert text.startswith("error: given: ")
    assert words in text
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "folds.csv").exists()


PROBE = {"device": "cpu", "threads": 1}
