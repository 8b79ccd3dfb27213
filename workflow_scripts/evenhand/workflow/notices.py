"""What a job's log says that a user should know now: shown on the terminal once, however many jobs say it.

Only the job can say it, since it may run on another machine; its output goes into its log, which is read from here.
"""

import logging
import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from snakemake_interface_logger_plugins.common import LogEvent

# Such as "warning: training on cpu: ...". What stands after the kind of work is the same for jobs of all kinds.
NOTICE = re.compile(r"^(?:note: \w+ (?=on )|warning: (?:\w+ (?=on ))?)(.*)$", re.MULTILINE)
BEGINNING = 1 << 16  # characters of a log; the device is chosen before anything long is said
FIRST_LOOK = 2.0  # seconds after the start of a job; then after twice the time again and again, and at its end


class Running(NamedTuple):
    """A job, when it started and when its logs are to be looked at next."""

    logs: Sequence[str]
    start: float
    due: float


class Notices(logging.Handler):
    """Hears of jobs from Snakemake's logger, and tells it what their logs say."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self.logger = logger
        self.running: dict[int, Running] = {}
        self.said: set[str] = set()
        self.turn = threading.Lock()
        threading.Thread(target=self.keep, daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Note a job that starts; look into the logs of one that ends."""
        event, now = getattr(record, "event", None), time.monotonic()
        if event == LogEvent.JOB_INFO:
            logs = [str(log) for log in record.__dict__.get("log") or ()]
            self.running[record.__dict__["jobid"]] = Running(logs, now, now + FIRST_LOOK)
        elif event in (LogEvent.JOB_FINISHED, LogEvent.JOB_ERROR):
            job = self.running.pop(record.__dict__["job_id" if event == LogEvent.JOB_FINISHED else "jobid"], None)
            if job:
                self.look(job.logs)

    def keep(self) -> None:
        """Look into the logs of jobs that take long."""
        while True:
            time.sleep(FIRST_LOOK / 2)
            now = time.monotonic()
            for number, job in list(self.running.items()):
                if job.due <= now:
                    self.look(job.logs)
                    if number in self.running:
                        self.running[number] = job._replace(due=now + (now - job.start))

    def look(self, logs: Sequence[str]) -> None:
        """Tell what these logs say and none before them said."""
        for log in logs:
            text = ""
            with suppress(OSError), Path(log).open(errors="replace") as file:  # not there yet, or not any more
                text = file.read(BEGINNING)
            for notice in NOTICE.finditer(text):
                with self.turn:
                    new = notice[1] not in self.said
                    self.said.add(notice[1])
                if new:
                    self.logger.warning(f"{notice[0]} ({log}; other jobs may say the same)")


def follow_notices(logger: logging.Logger) -> None:
    """From now on show what jobs that `logger` tells of have to say."""
    logger.addHandler(Notices(logger))
