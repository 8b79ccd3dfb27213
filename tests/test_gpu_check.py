"""The check of a GPU: what is done when time is short, a stage fails or hangs; slowly, all of it on a processor."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch.autograd import DeviceType

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from gpu_check import STAGES, Stage, check, plan, read_lines, table

ROOT = Path(__file__).parents[1]
AMPLE = 3600.0


def checked(
    out: Path, stages: Sequence[Stage], commands: dict[str, str], seconds: float = AMPLE
) -> list[dict[str, Any]]:
    """The lines of a check whose stages are commands of a shell."""
    check(stages, lambda stage: ["sh", "-c", commands[stage.name]], out, seconds)
    return read_lines(out / "results.jsonl")


def test_short_time_costs_the_last_stages(tmp_path: Path) -> None:
    stages = [Stage("first", AMPLE, 0), Stage("second", AMPLE, 10), Stage("last", AMPLE, 2 * AMPLE)]
    lines = checked(tmp_path, stages, dict.fromkeys(("first", "second", "last"), "true"))
    assert [line["status"] for line in lines] == ["done", "done", "skipped"]
    assert "needs 7200" in lines[-1]["reason"]
    assert (tmp_path / "table.md").read_text().count("**") == 6


def test_no_stage_is_begun_without_time(tmp_path: Path) -> None:
    lines = checked(tmp_path, [Stage("first", AMPLE, 1)], {"first": "touch begun"}, seconds=0)
    assert lines[0]["status"] == "skipped"
    assert not (tmp_path / "begun").exists()


def test_a_failed_stage_keeps_its_lines_and_costs_no_other(tmp_path: Path) -> None:
    measured = """echo '{"stage": "first", "what": "a", "ms": 1.5}' >> """ + str(tmp_path / "results.jsonl")
    commands = {"first": f"{measured}; echo Traceback; echo 'ValueError: why' >&2; exit 3", "second": "true"}
    lines = checked(tmp_path, [Stage("first", AMPLE, 0), Stage("second", AMPLE, 0)], commands)
    assert lines[0] == {"stage": "first", "what": "a", "ms": 1.5}
    assert lines[1] | {"seconds": 0} == {
        "stage": "first", "status": "failed", "reason": "ValueError: why (exit status 3)", "seconds": 0,
    }  # fmt: skip
    assert lines[2]["status"] == "done"
    assert "| first | a | ms 1.5 |" in (tmp_path / "table.md").read_text()


def test_the_reason_is_the_stages_own(tmp_path: Path) -> None:
    commands = {"first": "echo before; exit 1", "second": "exit 1"}
    lines = checked(tmp_path, [Stage("first", AMPLE, 0), Stage("second", AMPLE, 0)], commands)
    assert "before" in lines[0]["reason"]
    assert "before" not in lines[1]["reason"]


def test_a_stage_that_hangs_is_stopped_with_all_it_began(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    commands = {"first": f"flock {lock} sleep 3600 & flock {lock}.b sleep 3600", "second": "true"}
    lines = checked(tmp_path, [Stage("first", 1.0, 0), Stage("second", AMPLE, 0)], commands)
    assert [line["status"] for line in lines] == ["timed out", "done"]
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # waits for ever while one of them lives


def test_a_line_that_was_not_ended_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text('{"stage": "a", "what": "b"}\n{"stage": "a", "wh')
    assert read_lines(path) == [{"stage": "a", "what": "b"}]


def test_the_plan_multiplies_what_was_timed() -> None:
    job = {"stage": "job", "what": "a model of the study", "models": 30, "study": "The study"}
    lines = [job | {"jobs at a time": 2, "seconds a model": 24.0}, job | {"jobs at a time": 1, "seconds a model": 40.0}]
    lines.insert(0, {"stage": "machine", "what": "machine", "device": "A card"})
    assert "20.0 min with 1 at a time, 12.0 min with 2 at a time" in plan(lines)
    assert "A card" in plan(lines)
    assert plan(lines[:1]) == "No plan of the study: no whole job was timed."
    assert plan(lines) in table(lines)


def test_a_check_writes_over_no_other(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text("{}\n")
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_check.py"), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "another folder" in done.stderr
    assert (tmp_path / "results.jsonl").read_text() == "{}\n"


def test_a_kernel_is_counted_once() -> None:
    from train_step import kernel_groups

    def event(key: str, device: DeviceType, on_device: float, on_cpu: float) -> SimpleNamespace:
        return SimpleNamespace(
            key=key, device_type=device, self_device_time_total=on_device, self_cpu_time_total=on_cpu
        )  # fmt: skip

    # As PyTorch's profiler gives them: the operation has the time of its kernel, and so has the kernel.
    events = [
        event("aten::cudnn_convolution", DeviceType.CPU, 2e6, 1e6),
        event("sm90_xmma_fprop_nhwc", DeviceType.CUDA, 2e6, 0),
        event("aten::elu", DeviceType.CPU, 1e6, 3e6),
        event("elementwise_elu_kernel", DeviceType.CUDA, 1e6, 0),
    ]
    assert kernel_groups(events, on_cuda=True) == {"convolution": 2.0, "activations": 1.0}
    assert kernel_groups(events, on_cuda=False) == {"activations": 3.0, "convolution": 1.0}


@pytest.mark.slow
def test_all_stages_on_a_processor(tmp_path: Path) -> None:
    # Packages that the machine with the GPU lacks: importing one would end a stage there.
    blocked = tmp_path / "blocked"
    for package in ("snakemake", "jsonschema", "hypothesis", "imagehash", "open_clip"):
        (blocked / package).mkdir(parents=True)
        (blocked / package / "__init__.py").write_text(f"raise ModuleNotFoundError({package!r})")
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_check.py"), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--device", "cpu", "--tiny", "--minutes", "60"],
        env=os.environ | {"PYTHONPATH": str(blocked), "PYTEST_ADDOPTS": "-p no:hypothesispytest"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + (tmp_path / "out" / "log.txt").read_text()
    lines = read_lines(tmp_path / "out" / "results.jsonl")
    assert [line["stage"] for line in lines if line.get("status") == "done"] == [stage.name for stage in STAGES]
    assert not [line for line in lines if "failed" in line]
    products = {"results.jsonl", "table.md", "profile.txt", "log.txt"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == products
    measured = {line["stage"]: line for line in lines if "what" in line}
    assert set(measured) == {stage.name for stage in STAGES}
    compiled = [line for line in lines if "loss terms apart" in line]
    assert all(line["loss terms apart"] < 1e-3 for line in compiled)
    assert "6 trainings and evaluations" in (tmp_path / "out" / "table.md").read_text()
