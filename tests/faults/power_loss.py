"""What a power loss could leave: read from a stage's system calls, or from what Python saw of them."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

STRACE = ["strace", "--follow-forks", "--seccomp-bpf", "--string-limit=300"]
CALLS = "--trace=openat,open,creat,rename,renameat,renameat2,fsync,fdatasync"

# open PATH (for writing), flush PATH, rename FROM TO
Event = tuple[str, ...]


def seen_by_python(log: Path) -> Iterator[Event]:
    """The events in the log that inject/sitecustomize.py writes; none where no Python ran."""
    for line in log.read_text().splitlines() if log.exists() else []:
        yield tuple(line.split("\t"))


def seen_by_strace(log: Path) -> Iterator[Event]:
    """The events in a trace of `CALLS`."""
    opened: dict[str, str] = {}  # descriptors are those of one process, which has the files of a stage
    begun: dict[str, str] = {}
    for line in log.read_text().splitlines():
        thread, call = line.split(maxsplit=1)
        if call.endswith("<unfinished ...>"):  # another thread's call is told in between
            begun[thread] = call.removesuffix("<unfinished ...>").rstrip()
            continue
        if match := re.match(r"<\.\.\. \w+ resumed>(.*)", call):
            call = begun.pop(thread) + match[1]
        if match := re.match(r'(?:open(?:at)?|creat)\((?:AT_FDCWD, )?"([^"]*)"(.*)\) += (\d+)', call):
            opened[match[3]] = os.path.normpath(match[1])
            if call.startswith("creat") or re.search("O_WRONLY|O_RDWR", match[2]):
                yield "open", opened[match[3]]
        elif match := re.match(r"f(?:data)?sync\((\d+)\) += 0", call):
            yield "flush", opened.get(match[1], "?")
        elif match := re.match(r'rename(?:at2?)?\((?:AT_FDCWD, )?"([^"]*)", (?:AT_FDCWD, )?"([^"]*)".*= 0', call):
            yield "rename", os.path.normpath(match[1]), os.path.normpath(match[2])


def unsafe_writes(events: Iterator[Event], products: Sequence[str]) -> list[str]:
    """Where something had its name before its bytes were on disk, or a product a name that was not on disk."""
    flushed: set[str] = set()
    named: dict[str, bool] = {}  # whether the folder was flushed after the rename
    problems = []
    for kind, *paths in events:
        path = paths[-1]
        if kind == "open":
            flushed.discard(path)
            if path in products:
                problems.append(f"{path} is written under its own name")
        elif kind == "flush":
            flushed.add(path)
            named.update({name: True for name in named if os.path.dirname(name) == path})
        elif path.startswith("results/"):
            named[path] = False
            if paths[0] not in flushed:
                problems.append(f"{path} has its name before its bytes are on disk")
    problems += [f"{name} does not get its name by a rename" for name in products if name not in named]
    problems += [f"the folder of {name} is not flushed after the rename" for name in named if not named[name]]
    return problems
