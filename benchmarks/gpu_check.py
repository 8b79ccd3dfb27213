"""Everything a GPU has to answer, in one command and a bounded time; it needs neither Snakemake nor a network.

    python3 benchmarks/gpu_check.py --out results/gpu --minutes 8.5
    python3 benchmarks/gpu_check.py --out results/try --minutes 9 --device cpu --tiny    the same code, a tiny study

Inputs are made up. Each stage (`gpu_stages.py`) is a process with a time box. The folder gets, while it runs:
results.jsonl (a line for each measurement and for the end of each stage), table.md (the same as a table, and what the
study of config.yaml takes on this card), profile.txt (the longest kernels) and log.txt (what the stages print). Stages
are begun while their least time is left: short time costs the last ones. `--stages` takes some of them.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Line = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """A part of the check, stopped after `box` seconds and not begun with less than `least` seconds left."""

    name: str
    box: float
    least: float


STAGES = (
    Stage("machine", 60, 10),
    Stage("steps", 120, 20),
    Stage("profile", 60, 15),
    Stage("tests", 120, 30),
    Stage("job", 150, 45),
    Stage("recipe", 75, 25),
    Stage("probes", 75, 20),
    Stage("overlap", 200, 60),
    Stage("compile", 120, 40),
    Stage("compile again", 60, 20),
)


def check(stages: Sequence[Stage], command: Callable[[Stage], Sequence[str]], out: Path, seconds: float) -> bool:
    """Run `stages` within `seconds`, each as its `command`, and keep table.md up to date; whether all that ran ended.

    A command appends its measurements to results.jsonl in `out` by itself; the end of the stage is appended here.
    """
    end = time.monotonic() + seconds
    well = True
    for stage in stages:
        begun = time.monotonic()
        if end - begun < stage.least:
            left = max(0.0, end - begun)
            outcome: Line = {"status": "skipped", "reason": f"{left:.0f} s were left, it needs {stage.least:.0f}"}
        else:
            outcome = run_stage(command(stage), min(stage.box, end - begun), out / "log.txt")
            outcome["seconds"] = round(time.monotonic() - begun, 1)
            well &= outcome["status"] == "done"
        with open(out / "results.jsonl", "a") as file:
            file.write(json.dumps({"stage": stage.name, **outcome}) + "\n")
        (out / "table.md").write_text(table(read_lines(out / "results.jsonl")))
        print(f"{stage.name}: {', '.join(map(str, outcome.values()))}", flush=True)
    return well


def run_stage(command: Sequence[str], box: float, log: Path) -> Line:
    """Run `command` for at most `box` seconds; its status and, where it is not `done`, the reason."""
    with open(log, "a+") as file:
        print("$", *command, file=file, flush=True)
        start = file.tell()
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = process.wait(timeout=box)
        except subprocess.TimeoutExpired:
            return {"status": "timed out", "reason": f"stopped after {box:.0f} s"}
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # also what it has started
            process.wait()
        file.seek(start)
        said = [line for line in file.read().splitlines() if line.strip()]
    if code == 0:
        return {"status": "done"}
    return {"status": "failed", "reason": f"{said[-1].strip() if said else 'it said nothing'} (exit status {code})"}


def read_lines(path: Path) -> list[Line]:
    """The lines of results.jsonl; a last one that a stopped stage did not end is left out."""
    text = path.read_text()
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("}\n")]


def table(lines: Sequence[Line]) -> str:
    """All lines as a table in Markdown, and the plan of the study."""
    rows = ["| stage | what | found |", "|---|---|---|"]
    for line in lines:
        values = {key: value for key, value in line.items() if key not in ("stage", "what", "status")}
        found = ", ".join(f"{key} {shown(value)}" for key, value in values.items())
        what = line.get("what") or f"**{line['status']}**"
        rows.append("| " + " | ".join(cell.replace("|", "/") for cell in (line["stage"], what, found)) + " |")
    return "\n".join([*rows, "", plan(lines), ""])


def shown(value: object) -> str:
    """A number with about three digits, anything else as it is."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def plan(lines: Sequence[Line]) -> str:
    """How long all models of the study take on this card, from the jobs that were timed whole."""
    timed = sorted((line for line in lines if "seconds a model" in line), key=lambda line: line["jobs at a time"])
    if not timed:
        return "No plan of the study: no whole job was timed."
    device = next((str(line["device"]) for line in lines if "device" in line), "this device")
    ways = [
        f"{line['models'] * line['seconds a model'] / 60:.1f} min with {line['jobs at a time']} at a time"
        for line in timed
    ]
    models, study = timed[0]["models"], timed[0]["study"]
    return f"{study} on {device}: {models} trainings and evaluations take {', '.join(ways)}."


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [stage.name for stage in STAGES]
    parser.add_argument("--out", required=True, type=Path, help="folder for the results, new or without any")
    parser.add_argument("--minutes", type=float, default=8.5, help="all stages together")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="the study of tests/tiny.yaml")
    parser.add_argument("--stages", nargs="+", choices=names, default=names, metavar="STAGE", help=", ".join(names))
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    if (args.out / "results.jsonl").exists():
        parser.error(f"{args.out} has the results of another check: name another folder")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the stage, too
    stages = [stage for stage in STAGES if stage.name in args.stages]
    if args.device == "cpu":  # which may be busy with other things
        stages = [Stage(stage.name, 10 * stage.box, stage.least) for stage in stages]
    with tempfile.TemporaryDirectory() as work:

        def command(stage: Stage) -> list[str]:
            script = Path(__file__).with_name("gpu_stages.py")
            options = ["--work", work, "--out", str(args.out), "--device", args.device, *["--tiny"] * args.tiny]
            return [sys.executable, "-u", str(script), stage.name, *options]

        well = check(stages, command, args.out, 60 * args.minutes)
    print((args.out / "table.md").read_text())
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
