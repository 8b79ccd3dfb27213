"""A stage that is killed in the middle leaves nothing half-written; run again, it gives what an undisturbed run gives.

Downloading and packing have tests of their own, which also show what is not done again.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from paper import LIGHT_DARK

import evenhand
from evenhand.data.metadata import COLUMNS
from evenhand.workflow.tables import write_csv

SCRIPTS = Path(evenhand.__file__).parents[1]
N = 600
DUPLICATES = dict.fromkeys(["inliers", "embeddings", "similarity", "list", "not_same"])
DUPLICATES |= {"method": "hash", "threshold": 6, "mirrored": True}
STAGES = {
    "find_duplicates": ["duplicates", "list", "links", "clusters", "thresholds", "summary"],
    "measure_tone": ["tone", "by-type", "by-source"],
}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed photographs: smooth random pictures, every fifth one a copy of the one before."""
    folder = tmp_path_factory.mktemp("packed")
    coarse = np.random.default_rng(0).integers(0, 256, (N, 8, 8, 3), np.uint8)
    coarse[4::5] = coarse[3::5]
    np.save(folder / "images.npy", coarse.repeat(16, axis=1).repeat(16, axis=2))
    index = pd.DataFrame({"id": [f"{i:032x}" for i in range(N)]})
    index["skin_type"] = index["second_skin_type"] = [1, 2, 5, 6] * (N // 4)
    write_csv(index.reindex(columns=COLUMNS, fill_value="x"), folder / "images.csv")
    return folder


def command(stage: str, packed: Path, output: Path) -> list[str]:
    options = ["--images", str(packed / "images.npy"), "--index", str(packed / "images.csv")]
    options += ["--config", json.dumps({"duplicates": DUPLICATES, "groups": LIGHT_DARK})]
    if stage == "find_duplicates":
        options += ["--packed", str(packed / "images.csv"), "--work", str(output / "work")]
        options += ["--pairs", str(output / "pairs.npz")]
    outputs = [text for name in STAGES[stage] for text in (f"--{name}", str(output / f"{name}.csv"))]
    # Says when the imports are done, so that the kill meets the work.
    code = f"import sys, {stage}; print('ready', flush=True); {stage}.main(sys.argv[1:])"
    return [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); {code}", *options, *outputs]


def bytes_of(stage: str, output: Path) -> dict[str, bytes]:
    return {name: (output / f"{name}.csv").read_bytes() for name in STAGES[stage]}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("share", [0.5, *(pytest.param(share, marks=pytest.mark.slow) for share in (0.2, 0.8))])
def test_a_killed_stage_leaves_nothing_half_written(stage: str, share: float, packed: Path, tmp_path: Path) -> None:
    fresh, killed = tmp_path / "fresh", tmp_path / "killed"
    process = subprocess.Popen(command(stage, packed, fresh), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    start = time.monotonic()
    process.communicate()
    seconds = time.monotonic() - start
    expected = bytes_of(stage, fresh)
    process = subprocess.Popen(command(stage, packed, killed), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(share * seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for path in killed.glob("*.csv"):  # complete, or it would not have its name; temporary files begin with a dot
        if not path.name.startswith("."):
            assert path.read_bytes() == expected[path.stem]
    subprocess.run(command(stage, packed, killed), check=True, stdout=subprocess.DEVNULL)
    assert bytes_of(stage, killed) == expected
