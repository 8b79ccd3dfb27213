"""No two processes hold one slot, whatever happens to them."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest
from device_job import DeviceJob

from evenhand.training.devices import lease, visible_devices
from evenhand.workflow.errors import UserError

LIBRARY = str(Path(__file__).parents[1] / "workflow_scripts")
JOB = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from evenhand.training import devices
    devices.SECONDS_BETWEEN_TRIES = 0.01
    folder, names, slots, seconds = Path(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3]), float(sys.argv[4])
    with devices.lease(names, slots, folder / "locks") as position:
        start = time.monotonic()
        print(f"leased {position}", flush=True)
        time.sleep(seconds)
        with open(folder / "log", "a") as log:
            log.write(f"{position} {start} {time.monotonic()}\\n")
""")


def job(folder: Path, names: str, slots: int, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", JOB, str(folder), names, str(slots), str(seconds)],
        env={**os.environ, "PYTHONPATH": LIBRARY},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("names", "slots"), [("0,1,2", 1), ("0,1", 2), ("GPU-a", 1)])
def test_many_jobs_share_few_slots(tmp_path: Path, names: str, slots: int) -> None:
    jobs = [job(tmp_path, names, slots, 0.15) for _ in range(10)]
    assert [process.wait() for process in jobs] == [0] * 10
    spans = [tuple(map(float, line.split())) for line in (tmp_path / "log").read_text().splitlines()]
    assert len(spans) == 10
    for position in range(len(names.split(","))):
        on_device = [(start, end) for where, start, end in spans if where == position]
        # At the start of each job, no more than `slots` jobs (itself included) run on its device.
        for start, _ in on_device:
            assert sum(other <= start < end for other, end in on_device) <= slots


def test_a_second_job_goes_to_the_second_device(tmp_path: Path) -> None:
    with lease(["0", "1"], 2, tmp_path) as first, lease(["0", "1"], 2, tmp_path) as second:
        assert Counter([first, second]) == {0: 1, 1: 1}
        with lease(["0", "1"], 2, tmp_path) as third:
            assert third == 0


def test_a_killed_job_frees_its_slot(tmp_path: Path) -> None:
    holder = job(tmp_path, "0", 1, 60)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "leased 0\n"
    waiter = job(tmp_path, "0", 1, 0)
    time.sleep(0.3)
    assert waiter.poll() is None
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert waiter.wait(timeout=600) == 0


def test_visible_devices_are_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_devices(2) == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-uuid")
    assert visible_devices(2) == ["3", "GPU-uuid"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_devices(0) == []
    with pytest.raises(UserError, match="no GPU to use"), lease(visible_devices(0), 1, Path("unused")):
        pass


def test_gpus_are_told_apart_by_what_they_are_and_not_by_their_names(tmp_path: Path) -> None:
    first = DeviceJob(tmp_path, "ab", "0,1", slurm=True)
    assert first.line("leased") == "a"
    # The same two GPUs, spelled in another way.
    second = DeviceJob(tmp_path, "ab", "GPU-uuid-a,GPU-uuid-b", slurm=True)
    assert second.line("leased") == "b"
    # ... seen in another order, from outside the allocation.
    third = DeviceJob(tmp_path, "ba", None)
    third.line("waiting")
    first.end()
    assert third.line("leased") == "a"
    second.end()
    third.end()


def test_slots_are_counted_by_gpu(tmp_path: Path) -> None:
    jobs = [DeviceJob(tmp_path, order, None, slots=2) for order in ("ab", "ba", "ab", "ba")]
    assert Counter(job.line("leased") for job in jobs) == {"a": 2, "b": 2}
    fifth = DeviceJob(tmp_path, "ba", None, slots=2, slurm=True)
    fifth.line("waiting")
    for job in jobs:
        job.end()
    fifth.line("leased")
    fifth.end()


def test_parts_of_a_gpu_are_told_apart_although_they_share_its_number(tmp_path: Path) -> None:
    # Each process sees one part, and both the same GPU.
    jobs = [DeviceJob(tmp_path, "a", f"MIG-{part}") for part in (1, 2)]
    assert [job.line("leased") for job in jobs] == ["a", "a"]
    for job in jobs:
        job.end()


def test_one_gpu_given_by_slurm_is_not_leased_again(tmp_path: Path) -> None:
    jobs = [DeviceJob(tmp_path, "a", "0", slurm=True) for _ in range(2)]
    assert [job.line("testing on cuda:0") for job in jobs] == ["(GPU-uuid-a, given by Slurm)"] * 2
    for job in jobs:
        job.end()
