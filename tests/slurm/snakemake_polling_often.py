"""Snakemake, asking Slurm for finished jobs every two seconds: its own pauses grow to minutes and have no option."""

import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

RemoteExecutor.next_seconds_between_status_checks = property(lambda self: 2, lambda self, value: None)

if __name__ == "__main__":
    main(["--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1", *sys.argv[1:]])
