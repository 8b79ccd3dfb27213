"""How far a job is: a bar with the time left on a terminal, a plain line a minute in a log."""

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NoReturn, TypeVar

from tqdm import tqdm

if TYPE_CHECKING:
    Bar = tqdm[NoReturn]
else:
    Bar = tqdm  # takes no type arguments when run

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 60.0


class Lines(Bar):
    """A bar that writes lines: none in the first minute, then one a minute at most."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write a line where a bar would be drawn, and nothing where one would be wiped out."""
        if msg is None:
            print(self, file=self.fp, flush=True)


def progress(total: int, what: str, units: str, before: int = 0) -> Bar:
    """Tells on stderr how many of `total` are done: call its `update`.

    Args:
        what: is being done, such as "packing".
        units: what is counted, such as "images".
        before: how many were done by an earlier run.
    """
    if sys.stderr.isatty():
        return tqdm(total=total, desc=what, unit=f" {units}", initial=before)
    return Lines(
        total=total,
        desc=what,
        unit=units,
        initial=before,
        leave=False,
        mininterval=SECONDS_BETWEEN_LINES,
        maxinterval=SECONDS_BETWEEN_LINES,
        delay=SECONDS_BETWEEN_LINES,
        bar_format="{desc}: {n_fmt} of {total_fmt} {unit} after {elapsed}, about {remaining} left",
    )


def track(items: Iterable[Item], total: int, what: str, units: str) -> Iterator[Item]:
    """The items, one after the other, with `progress`."""
    with progress(total, what, units) as bar:
        for item in items:
            yield item
            bar.update()
