"""The content of files that the user gives, however large, remembered by size and date. The rule files import this."""

import hashlib
import json
import os
from pathlib import Path


def content_sum(path: str | Path, memory: Path) -> str:
    """The SHA-256 of a file, or of all files in a folder; empty where there is none.

    A file is read again only when its size or date is another than the file `memory` says, so planning a study
    costs no time, and a touched file costs one reading and no job.
    """
    path = Path(path)
    if path.is_dir():
        inside = sorted(entry for entry in path.rglob("*") if entry.is_file())
        sums = "\n".join(f"{content_sum(entry, memory)}  {entry.relative_to(path)}" for entry in inside)
        return hashlib.sha256(sums.encode(errors="surrogateescape")).hexdigest()
    if not path.is_file():
        return ""
    status = path.stat()
    stamp = [status.st_size, status.st_mtime_ns]
    try:
        known = json.loads(memory.read_text("utf-8"))
    except (OSError, ValueError):  # none yet, or another process writes it
        known = {}
    name = os.path.abspath(path)
    if known.get(name, {}).get("stamp") != stamp:
        from fairgen.files import sha256_of, write_json  # noqa: PLC0415 (its NumPy would delay planning)

        known[name] = {"stamp": stamp, "sha256": sha256_of(path)}
        write_json(known, memory)
    return str(known[name]["sha256"])
