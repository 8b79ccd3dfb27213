"""Kill -9 of Snakemake, at seeded points: run again, it goes on and gives the same bytes as an undisturbed run."""

import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from stages import products, snakemake_process
from workflow import snakemake

SEED = 8


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
