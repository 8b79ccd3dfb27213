"""Out of memory in packing: said so, nothing lost, and no photograph is called damaged for it."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from packing_study import PHOTOGRAPHS, Study, folder_of, md5
from PIL import Image
from workflow import ROOT

# Runs what follows with so many MiB more than Python and the libraries take.
LIMITED = """
import resource, sys
from pathlib import Path
def limit(mib):
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + mib * 2**20, resource.RLIM_INFINITY))
"""
FORMATS = {
    **{"JPEG": {}, "progressive JPEG": {"progressive": True}, "PNG": {}, "WEBP": {"method": 0}},
    **{"GIF": {}, "BMP": {}, "TIFF": {"compression": "tiff_lzw"}},
}


def limited(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "workflow_scripts")}
    command = [sys.executable, "-c", LIMITED + code, *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def photograph(kind: str, width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    picture = Image.radial_gradient("L").convert("RGB").resize((width, height))
    picture.save(buffer, kind.removeprefix("progressive "), **FORMATS[kind])
    return buffer.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_photograph_is_not_called_damaged_when_memory_is_short(kind: str, tmp_path: Path) -> None:
    for name, size in (("small", (64, 64)), ("large", (6000, 5000))):
        (tmp_path / name).write_bytes(photograph(kind, *size))
    done = limited(
        """
from evenhand.data.decoding import decode_square
small, large = (Path(name).read_bytes() for name in sys.argv[1:])
decode_square(small, 16)  # what is loaded on first use
for mib in (1, 10, 40, 100, 300):
    limit(mib)
    try:
        decode_square(large, 16)
        print("decoded")
    except MemoryError:
        print("out of memory")
""",
        str(tmp_path / "small"),
        str(tmp_path / "large"),
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.splitlines()) <= {"decoded", "out of memory"}


def test_packing_without_memory_says_so_and_goes_on_when_there_is_some(tmp_path: Path) -> None:
    large = photograph("progressive JPEG", 7000, 8000)
    files = {**PHOTOGRAPHS, md5(large): large}
    source = {"folder": str(folder_of(tmp_path / "files", files))}
    undisturbed, short = (Study(tmp_path / name, list(files), [source]) for name in ("undisturbed", "short"))
    undisturbed.pack()
    assert (undisturbed.availability["status"] == "ok").all()
    done = limited(
        """
import pack_images
from evenhand.workflow.errors import run
from PIL import Image
limit(64)
run(pack_images.main)
""",
        *short.arguments(),
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: out of memory")
    assert "mem_mb" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [name for name in ("images.npy", "images.csv", "availability.csv") if (short.path / name).exists()]
    short.pack()
    assert short.bytes() == undisturbed.bytes()
