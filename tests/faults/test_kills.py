"""Kill -9 of every stage and of Snakemake, at seeded points: what is there is complete, and a rerun gives the same.

Byte for byte, without logs, benchmarks and, in run.json, the measured seconds, images per second and memory.
"""

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

import pytest
from power_loss import CALLS, STRACE, seen_by_python, seen_by_strace, unsafe_writes
from stages import STUDIES, Job, content, jobs, products, rules, snakemake_process, start
from workflow import snakemake

SEED = 8
# They run no command.
TARGETS = {
    "all",
    "data",
    "splits",
    "train",
    "evaluate",
    "stats",
    "probe",
    "figures",
    "report",
    "provenance",
    "metadata",
    "duplicates",
    "ruler",
}


@dataclass
class Outcome:
    """What became of one stage: cases by name, and what was wrong in the cases that failed."""

    tried: list[str] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)

    def note(self, case: str, wrong: str) -> None:
        self.tried.append(case)
        if wrong:
            self.wrong[case] = wrong


def differing(folder: Path, job: Job, expected: dict[str, bytes | None], absent_too: bool) -> str:
    """The outputs that are not as expected; with `absent_too` one that is not there is as expected."""
    now = {name: content(folder / name) for name in job.outputs}
    return ", ".join(
        name for name in job.outputs if now[name] != expected[name] and not (absent_too and now[name] is None)
    )


# Whose products equal jobs take over (evenhand.workflow.finished).
KEPT = {"train_vae", "pack_images", "pack_for_search", "find_duplicates", "measure_ruler"}


def forget(folder: Path, job: Job) -> bool:
    """Remove what a job goes on from or takes over, so that it is done again; whether there was any."""
    found = [left for name in job.outputs for left in (folder / name).parent.glob(".[fc][ih]*")]
    for left in set(found):  # .finished, .checkpoint.safetensors
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    return bool(found)


def kill_at_a_time(folder: Path, job: Job, share: float) -> int:
    """Kill a stage after a share of the time it took before, or earlier where it has ended by then; its exit status."""
    seconds = share * job.seconds
    while True:
        process = start(folder, job)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()
        seconds /= 2
        forget(folder, job)


def hurt(folder: Path, job: Job) -> Outcome:
    """Kill a stage three times, each time on what the kill before left; run it again, and put its products back."""
    outcome = Outcome()
    draw = random.Random(f"{SEED} {job.rule}")
    expected = {name: content(folder / name) for name in job.outputs}
    kept = {name: (folder / name).read_bytes() for name in job.outputs}
    forget(folder, job)
    kills = {"kill at a time": lambda: kill_at_a_time(folder, job, draw.uniform(0.2, 0.95))}
    for moment in ("before", "after"):
        point = f"{moment} {draw.randint(1, len(job.outputs))}"
        kills[f"kill {moment} a rename"] = lambda point=point: start(folder, job, FAULT_KILL=point).wait()
    for case, kill in kills.items():
        status = kill()
        wrong = "" if status == -signal.SIGKILL else f"exit status {status}, not killed"
        outcome.note(case, wrong or differing(folder, job, expected, absent_too=True))
    calls, trace = (folder / f"{kind}.{job.rule}" for kind in ("calls", "trace"))
    strace = [*STRACE, f"--output={trace}", CALLS] if shutil.which("strace") else []
    for case in ("rerun", "rerun from nothing"):  # some first go on from what the kills left
        status = start(folder, job, *strace, FAULT_LOG=str(calls)).wait()
        wrong = f"exit status {status}" if status else differing(folder, job, expected, absent_too=False)
        outcome.note(case, wrong)
        if not forget(folder, job):
            break
    outcome.note("power loss", "; ".join(unsafe_writes(seen_by_python(calls), job.outputs)))
    if strace:
        outcome.note("power loss, by strace", "; ".join(unsafe_writes(seen_by_strace(trace), job.outputs)))
    for name, before in kept.items():  # with the times that the page shows
        (folder / name).write_bytes(before)
    return outcome


@pytest.fixture(scope="module")
def outcomes(undisturbed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """All stages, two at a time, each in one of two copies."""
    planned: dict[str, Job] = {}
    for study, targets in reversed(STUDIES.items()):
        planned |= jobs(undisturbed, *targets, "--configfile", study)
    copies: SimpleQueue[Path] = SimpleQueue()
    for number in range(2):
        copy = tmp_path_factory.mktemp("kills") / f"copy{number}"
        shutil.copytree(undisturbed, copy)
        copies.put(copy)

    def run(job: Job) -> Outcome:
        copy = copies.get()
        try:
            return hurt(copy, job)
        finally:
            copies.put(copy)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(planned, pool.map(run, planned.values()), strict=True))


def test_every_rule_has_its_cases(outcomes: dict[str, Outcome], undisturbed: Path) -> None:
    # write_settings is a line of Snakemake's own process, which makes a file anew that it has not finished.
    assert rules(undisturbed) - TARGETS - {"write_settings"} == set(outcomes)


@pytest.mark.parametrize(
    "matrix",
    [
        *("kill at a time", "kill before a rename", "kill after a rename", "rerun", "rerun from nothing"),
        *("power loss", "power loss, by strace"),
    ],
)
def test_every_stage_survives(
    outcomes: dict[str, Outcome], matrix: str, record_property: Callable[[str, object], None]
) -> None:
    if matrix.endswith("strace") and not shutil.which("strace"):
        pytest.skip("needs the Debian package strace; the same was read from what Python calls")
    tried = [rule for rule, outcome in outcomes.items() if matrix in outcome.tried]
    wrong = {rule: why for rule in tried if (why := outcomes[rule].wrong.get(matrix))}
    record_property("matrix", f"each stage: {matrix}")
    record_property("tried", len(tried))
    record_property("survived", len(tried) - len(wrong))
    if matrix == "rerun from nothing":
        assert set(tried) >= KEPT  # and what writes into a folder beside them
    else:
        assert tried == list(outcomes)
    assert wrong == {}


RENAME = "os.replace('results/.x', 'results/x')"
WRITES = {
    "safely": "with atomic_path('results/x') as t: t.write_text('x')",
    "is written under its own name": "open('results/x', 'w').write('x')",
    "has its name before its bytes are on disk": f"open('results/.x', 'w').write('x'); {RENAME}",
    "is not flushed after the rename": f"f = open('results/.x', 'w'); f.write('x'); os.fsync(f.fileno()); {RENAME}",
}


@pytest.mark.parametrize("told", WRITES)
def test_an_unsafe_write_is_noticed(undisturbed: Path, tmp_path: Path, told: str) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "write.py").write_text(f"import os\nfrom evenhand.workflow.files import atomic_path\n{WRITES[told]}\n")
    library = undisturbed / "workflow_scripts"
    job = Job("write", f"PYTHONPATH={library}:$PYTHONPATH python write.py", ("results/x",), "log", 1)
    strace = [*STRACE, "--output=trace", CALLS] if shutil.which("strace") else []
    assert start(tmp_path, job, *strace, FAULT_LOG=str(tmp_path / "calls")).wait() == 0
    seen = [seen_by_python(tmp_path / "calls")] + ([seen_by_strace(tmp_path / "trace")] if strace else [])
    for events in seen:
        problems = unsafe_writes(events, job.outputs)
        assert bool(problems) == (told != "safely"), problems
        assert told == "safely" or told in " ".join(problems)


def test_calls_that_another_thread_interrupts_are_seen(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text(
        '7 openat(AT_FDCWD, "results/.x", O_WRONLY|O_CREAT|O_CLOEXEC, 0666 <unfinished ...>\n'
        '8 openat(AT_FDCWD, "/etc/hosts", O_RDONLY|O_CLOEXEC) = 4\n'
        "7 <... openat resumed>) = 3\n"
        "7 fsync(3 <unfinished ...>\n"
        '8 openat(AT_FDCWD, "/etc/hosts", O_RDONLY|O_CLOEXEC) = 4\n'
        "7 <... fsync resumed>)              = 0\n"
        '7 rename("results/.x", "results/x" <unfinished ...>\n'
        "7 <... rename resumed>)             = 0\n"
    )
    assert list(seen_by_strace(trace)) == [
        ("open", "results/.x"),
        ("flush", "results/.x"),
        ("rename", "results/.x", "results/x"),
    ]


@pytest.mark.parametrize("whole_group", [True, False], ids=["with its jobs", "its jobs go on"])
def test_a_killed_snakemake_goes_on(
    undisturbed: Path, study: Path, whole_group: bool, record_property: Callable[[str, object], None]
) -> None:
    # From nothing to a trained model; killed twice, then left alone.
    draw = random.Random(f"{SEED} {whole_group}")
    shutil.rmtree(study / "results" / "tiny")
    model = "tiny/runs/A/run0/model.safetensors"
    arguments = [f"results/{model}", "--configfile", "tiny.yaml"]
    kills = (draw.randint(1, 3), draw.randint(1, 3))
    for jobs_before in kills:
        process = snakemake_process(study, *arguments)
        assert process.stdout
        finished = 0
        for line in process.stdout:
            finished += "Finished jobid" in line
            if finished == jobs_before:
                break
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        snakemake(study, "--configfile", "tiny.yaml", "--unlock")
    record_property("matrix", "kills of Snakemake")
    record_property("tried", len(kills))
    snakemake(study, *arguments)
    first, second = products(undisturbed), products(study)
    assert model in second
    assert [name for name in second if first.get(name) != second[name]] == []
