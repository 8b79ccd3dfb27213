"""Peak memory of this process, for records and benchmarks; imports next to nothing, so that it adds nothing to it."""

import resource
from pathlib import Path


def peak_resident_mb() -> float:
    """Highest resident memory of this process so far, in MiB."""
    try:
        # Not ru_maxrss first: a process inherits it from the one that started it, be it Snakemake or a benchmark.
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(status["VmHWM"].split()[0]) / 2**10
    except (OSError, KeyError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
