"""The one exception a user is meant to read, and how a stage script reports it and everything else that can fail."""

import errno
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

# What the machine lacks, and what its owner can do.
_REMEDIES = {
    errno.ENOSPC: "Free space on that disk, or move the results folder to a larger one",
    errno.EDQUOT: "Free some of your quota, or move the results folder",
    errno.EROFS: "The results folder has to be writable: mount it so, or work in a copy",
    errno.EACCES: "Check who owns the file and its folder, and whether you may read and write them",
    errno.EPERM: "Check who owns the file and its folder, and whether you may read and write them",
    errno.EIO: "The disk or its connection fails: look at the system's log before you go on",
    errno.ENOMEM: "Give the job more memory (mem_mb of its rule) or fewer threads",
}
_GO_ON = "then run the same command again: finished work is kept."


class UserError(Exception):
    """Something the user can put right: says what was expected, what was found and what to do."""


def refuse(mistakes: Sequence[str], what: str) -> None:
    """Raise a `UserError` that lists all mistakes, if there are any."""
    if mistakes:
        raise UserError("\n  ".join([f"{what}:", *mistakes]))


def run(main: Callable[[], None]) -> None:
    """Run a stage script's `main`; whatever fails, exit status 1 and a last line that a user can act on.

    A `UserError` and a failing disk or memory become that one message. Anything else is a mistake of ours or a file
    that nobody foresaw: its traceback comes first, for the report of it.
    """
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except MemoryError as error:
        sys.exit(f"error: out of memory ({error or 'an allocation failed'}). {_REMEDIES[errno.ENOMEM]}, {_GO_ON}")
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0)
        if remedy is None:
            _unforeseen(error)
        sys.exit(f"error: {error}. {remedy}, {_GO_ON}")
    except Exception as error:
        _unforeseen(error)


def _unforeseen(error: Exception) -> NoReturn:
    traceback.print_exc()
    sys.exit(
        f"error: {type(error).__name__}: {error}. Nobody foresaw this: expected were the files of the stages before, "
        "as this version of the code writes them. Please report it with the lines above."
    )
