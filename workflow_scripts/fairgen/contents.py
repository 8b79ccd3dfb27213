"""The content of files that the user gives, however many and large. The rule files import this.

A file is read again only when its size or date is another than the file `memory` says, so planning a study costs no
time, and a touched file costs one reading and no job.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from fairgen.folders import image_files


def content_sums(paths: Sequence[str | Path], memory: Path) -> list[str]:
    """The SHA-256 of each file, or of all files in each folder; empty where there is none."""
    inside = [sorted(_files_of(Path(path))) for path in paths]
    sums = _file_sums([file for files in inside for file in files], memory)
    return [
        _joined(files, path, sums) if os.path.isdir(path) else "".join(sums[file] for file in files)
        for path, files in zip(paths, inside, strict=True)
    ]


def images_sum(folder: str | Path, memory: Path) -> str:
    """A hash of the names and bytes of the image files under `folder`: changes when images come, go or are replaced."""
    files = sorted(image_files(folder))
    return _joined(files, folder, _file_sums(files, memory))


def _files_of(path: Path) -> list[str]:
    if path.is_dir():
        return [str(entry) for entry in path.rglob("*") if entry.is_file()]
    return [str(path)] if path.is_file() else []


def _joined(files: Iterable[str], folder: str | Path, sums: dict[str, str]) -> str:
    lines = "\n".join(f"{sums[file]}  {os.path.relpath(file, folder)}" for file in files)
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()


def _file_sums(files: Iterable[str], memory: Path) -> dict[str, str]:
    try:
        known = json.loads(memory.read_text("utf-8"))
    except (OSError, ValueError):  # none yet, or another process writes it
        known = {}
    found = {}
    learned = False
    for file in files:
        status = os.stat(file)
        stamp, name = [status.st_size, status.st_mtime_ns], os.path.abspath(file)
        if known.get(name, {}).get("stamp") != stamp:
            from fairgen.files import sha256_of  # noqa: PLC0415 (its NumPy would delay planning)

            known[name] = {"stamp": stamp, "sha256": sha256_of(file)}
            learned = True
        found[file] = known[name]["sha256"]
    if learned:
        from fairgen.files import write_json  # noqa: PLC0415

        write_json(known, memory)
    return found
