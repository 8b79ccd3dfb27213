"""How far a study is and how long it will take, from the events that Snakemake logs about its jobs.

Snakemake counts jobs, but a training and a plot are one job each: the time left comes from how long the jobs of each
rule took. On a terminal one line is kept up to date below Snakemake's own; a log gets a line every few minutes.
"""

import atexit
import logging
import shutil
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from snakemake_interface_logger_plugins.common import LogEvent

from evenhand.workflow.files import read_rows

CLEAR = "\r\x1b[K"  # to the start of the line, and empty it
SECONDS_BETWEEN_LINES = 300  # in a log
SECONDS_BETWEEN_UPDATES = 1.0  # on a terminal


def seconds_by_rule(benchmarks: Path) -> dict[str, float]:
    """Mean seconds of a job by rule, from the benchmark files of earlier runs: <rule>.tsv or <rule>/<wildcards>.tsv."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for path in benchmarks.rglob("*.tsv"):
        rule = path.relative_to(benchmarks).parts[0].removesuffix(".tsv")
        seconds[rule] += [float(row["s"]) for row in read_rows(path, delimiter="\t")]
    return {rule: sum(values) / len(values) for rule, values in seconds.items() if values}


def duration(seconds: float) -> str:
    """Seconds as a person says them: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class Estimate:
    """What the jobs done so far tell about those that are left."""

    def __init__(self, planned: Mapping[str, int], known: Mapping[str, float], start: float) -> None:
        """Jobs planned by rule; mean seconds by rule from earlier runs; the time of the start."""
        self.waiting = Counter(planned)
        self.total = sum(planned.values())
        self.known = known
        self.start = start
        self.running: dict[int, tuple[str, float]] = {}
        self.took: dict[str, list[float]] = defaultdict(list)

    def started(self, job: int, rule: str, now: float) -> None:
        """A job starts, for the first time or again; those of other rules do not count."""
        if rule not in self.waiting:
            return
        if job not in self.running:
            self.waiting[rule] -= 1
        self.running[job] = (rule, now)

    def failed(self, job: int) -> None:
        """A job has failed; it may be tried again."""
        if job in self.running:
            rule, _ = self.running.pop(job)
            self.waiting[rule] += 1

    def finished(self, job: int, now: float) -> None:
        """A job has ended."""
        if job in self.running:
            rule, since = self.running.pop(job)
            self.took[rule].append(now - since)

    @property
    def done(self) -> int:
        """Number of jobs that have ended."""
        return sum(map(len, self.took.values()))

    def left(self, now: float) -> tuple[float, bool]:
        """Seconds left, and whether that is all: False where a rule still to come has never been timed.

        The work left is shared by as many jobs at a time as there are now, or were on average if that is more.
        """
        mean = dict(self.known) | {rule: sum(took) / len(took) for rule, took in self.took.items()}
        spent = [now - since for _, since in self.running.values()]
        work = sum(count * mean.get(rule, 0.0) for rule, count in self.waiting.items())
        work += sum(max(mean.get(rule, 0.0) - (now - since), 0.0) for rule, since in self.running.values())
        so_far = (sum(map(sum, self.took.values())) + sum(spent)) / max(now - self.start, 1e-9)
        to_come = {rule for rule, count in self.waiting.items() if count > 0}
        to_come |= {rule for rule, _ in self.running.values()}
        return work / max(so_far, len(self.running), 1.0), to_come <= mean.keys()

    def line(self, now: float) -> str:
        """Such as "23 of 71 jobs, 2 min; about 4 min left; running: train_vae (2)"."""
        text = f"{self.done} of {self.total} jobs, {duration(now - self.start)}"
        seconds, all_known = self.left(now)
        if self.done < self.total and seconds >= 1:
            text += f"; {'about' if all_known else 'more than'} {duration(seconds)} left"
        rules = Counter(rule for rule, _ in self.running.values())
        return text + (f"; running: {', '.join(f'{rule} ({n})' for rule, n in sorted(rules.items()))}" if rules else "")


class StudyProgress(logging.Handler):
    """Hears what Snakemake logs, and keeps the line.

    On a terminal the handlers that write there are called from here, so that nothing is written between the moment the
    line makes room and the moment it is back, and the line is there from the first job on, however short that is.
    """

    def __init__(
        self, estimate: Estimate, stream: TextIO, writers: Sequence[logging.Handler], seconds_between_lines: float
    ) -> None:
        """`writers` write to the same terminal; `seconds_between_lines`: in a log, a terminal has one a second."""
        super().__init__()
        self.estimate = estimate
        self.stream = stream
        self.writers = writers
        self.terminal = stream.isatty()
        self.pause = SECONDS_BETWEEN_UPDATES if self.terminal else seconds_between_lines
        self.ended = threading.Event()
        atexit.register(self.close)
        threading.Thread(target=self.keep, daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Let the record be written, and note what it tells of a job. Called with the handler's lock held."""
        if self.terminal:
            self.stream.write(CLEAR)
        for writer in self.writers:
            if record.levelno >= writer.level:
                writer.handle(record)
        event, now = getattr(record, "event", None), time.monotonic()
        if event == LogEvent.JOB_INFO:
            self.estimate.started(record.__dict__["jobid"], record.__dict__["rule_name"], now)
        elif event == LogEvent.JOB_FINISHED:
            self.estimate.finished(record.__dict__["job_id"], now)
        elif event == LogEvent.JOB_ERROR:
            self.estimate.failed(record.__dict__["jobid"])
        if self.terminal and not self.ended.is_set():
            self.show()

    def keep(self) -> None:
        """Write the line again and again, until the end."""
        while not self.ended.wait(self.pause):
            self.acquire()
            try:
                if not self.ended.is_set():
                    self.show()
            finally:
                self.release()

    def show(self) -> None:
        """Write the line as it is now."""
        line = self.estimate.line(time.monotonic())
        if self.terminal:
            self.stream.write(CLEAR + line[: shutil.get_terminal_size().columns - 1])
        else:
            self.stream.write(line + "\n")
        self.stream.flush()

    def close(self) -> None:
        """Leave the terminal with an empty line."""
        self.acquire()
        try:
            if self.terminal and not self.ended.is_set():
                self.stream.write(CLEAR)
            self.ended.set()
        finally:
            self.release()
        super().close()


def follow_study(
    logger: logging.Logger,
    planned: Mapping[str, int],
    benchmarks: Path,
    seconds_between_lines: float = SECONDS_BETWEEN_LINES,
) -> None:
    """Show from now on, on stderr, how far the jobs are that `logger` tells of.

    Args:
        logger: Snakemake's.
        planned: number of jobs by rule.
        benchmarks: folder of benchmark files of earlier runs, if there were any.
        seconds_between_lines: where stderr is a log.
    """
    estimate = Estimate(planned, seconds_by_rule(benchmarks), time.monotonic())
    writers = [
        handler
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler) and sys.stderr.isatty() and handler.stream.isatty()
    ]
    for writer in writers:
        logger.removeHandler(writer)
    logger.addHandler(StudyProgress(estimate, sys.stderr, writers, seconds_between_lines))
