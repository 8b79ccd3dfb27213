"""Faults at chosen points of a stage: Python imports this module first when its folder is on PYTHONPATH.

A point is a rename into a results folder. FAULT_KILL="before 2": kill -9 of the process group when the data of the
second is written and its name is not there; "after 2": when the name is there and its folder is not flushed.
FAULT_LOG: a file that takes one line for each file opened for writing, flushed, and renamed.
"""

import os
import signal
import sys

WRITES = os.O_WRONLY | os.O_RDWR
point = os.environ.get("FAULT_KILL")
log = os.open(os.environ["FAULT_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND) if "FAULT_LOG" in os.environ else None
renamed = []


def note(*words: str) -> None:
    if log is not None:
        os.write(log, ("\t".join(words) + "\n").encode())


def follow(event: str, arguments: tuple[object, ...]) -> None:
    if point == f"after {len(renamed)}" and event != "os.killpg":
        os.killpg(os.getpgrp(), signal.SIGKILL)
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, str | bytes | os.PathLike) and isinstance(flags, int) and flags & WRITES:
            note("open", os.path.relpath(os.fsdecode(path)))
    elif event == "os.rename":
        source, target = (os.path.relpath(os.fsdecode(name)) for name in arguments[:2])  # type: ignore[arg-type]
        note("rename", source, target)
        if target.startswith("results/"):
            renamed.append(target)
        if point == f"before {len(renamed)}":
            os.killpg(os.getpgrp(), signal.SIGKILL)


def fsync(descriptor: int) -> None:
    flush(descriptor)
    note("flush", os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}")))


if point or log is not None:
    flush, os.fsync = os.fsync, fsync  # flushing is no event that an audit sees
    sys.addaudithook(follow)
