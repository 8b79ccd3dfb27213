"""What the rule files ask while a study is planned; standard library only.

The content of the user's files, the modules that a script imports, regular expressions for wildcards.
"""

import ast
import functools
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from evenhand.data.folders import image_files


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
    """The sum of each file by its name; empty where nothing can be read: a link to nothing, a pipe, no permission."""
    try:
        known = json.loads(memory.read_text("utf-8"))
    except (OSError, ValueError):  # none yet, or another process writes it
        known = {}
    stamps = {file: _stamp(file) for file in files}
    changed = {file: stamp for file, stamp in stamps.items() if stamp and known.get(file, {}).get("stamp") != stamp}
    if changed:
        from evenhand.workflow.files import sha256_of, write_json  # noqa: PLC0415 (its NumPy would delay planning)

        for file, stamp in changed.items():
            try:
                known[file] = {"stamp": stamp, "sha256": sha256_of(file)}
            except OSError:
                known.pop(file, None)
        write_json(known, memory)
    return {file: known[file]["sha256"] if stamp and file in known else "" for file, stamp in stamps.items()}


def _stamp(file: str) -> list[int] | None:
    """Size and date of a regular file; None: it is no such file."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns] if stat.S_ISREG(status.st_mode) else None


@functools.cache
def imported_modules(path: Path, root: Path) -> set[Path]:
    """The files below `root` that the import statements of the file at `path` name, those inside functions as well."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    files: set[Path] = set()
    for name in names:
        parts = name.split(".")
        # Importing a.b.c runs the __init__.py of a and of a.b as well.
        for depth in range(1, len(parts) + 1):
            stem = root.joinpath(*parts[:depth])
            files.update((stem / "__init__.py", stem.with_suffix(".py")))
    return {file for file in files if file.is_file()}


def numbers_below(count: int) -> str:
    """A regular expression for 0, 1, ... `count` - 1, as long as the number and not as the list.

    Snakemake writes constraints into the name of every output: with a thousand names in them, planning is slow.
    """
    top = str(count - 1)
    patterns = ["[1-9]" * (length > 1) + "[0-9]" * (length - (length > 1)) for length in range(1, len(top))]
    for place, digit in enumerate(top):
        first = 1 if place == 0 and len(top) > 1 else 0
        if int(digit) > first:
            rest = "[0-9]" * (len(top) - place - 1)
            patterns.append(f"{top[:place]}[{first}-{int(digit) - 1}]{rest}")
    return "|".join([*patterns, top])
