"""The one exception a user is meant to read, and how a stage script reports it."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can put right: says what was expected, what was found and what to do."""


def run(main: Callable[[], None]) -> None:
    """Run a stage script's `main`; a `UserError` becomes one message and exit status 1, no traceback."""
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
