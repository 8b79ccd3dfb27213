"""Settings of PyTorch that decide on bits: every script that may use a GPU makes them, in one place."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from evenhand.training.devices import make_deterministic

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(ROOT.glob("workflow_scripts/*.py"))


def names_of(path: Path) -> set[str]:
    """Every name and attribute that the script uses."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    return {node.id for node in nodes if isinstance(node, ast.Name)} | {
        node.attr for node in nodes if isinstance(node, ast.Attribute)
    }


def takes_a_device(path: Path) -> bool:
    nodes = ast.walk(ast.parse(path.read_text()))
    return any(isinstance(node, ast.ImportFrom) and node.module == "evenhand.training.devices" for node in nodes)


def test_scripts_on_a_device_were_found() -> None:
    found = {path.stem for path in SCRIPTS if takes_a_device(path)}
    assert {"train_vae", "evaluate_vae", "embed_images", "probe_embeddings", "measure_ensemble"} <= found


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_on_a_device_is_deterministic(path: Path) -> None:
    used = names_of(path)
    # One function makes all settings: with some of them alone, a product on CUDA stops with an error.
    assert not used & {"use_deterministic_algorithms", "set_deterministic_debug_mode", "backends"}
    assert ("make_deterministic" in used) == takes_a_device(path)


@pytest.mark.parametrize("deterministic", [True, False])
def test_settings_replace_those_made_before(deterministic: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    make_deterministic(not deterministic)
    make_deterministic(deterministic)
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert torch.backends.cudnn.benchmark != deterministic
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] in (":4096:8", ":16:8")  # the two that NVIDIA calls deterministic
    # fp32 is not TF32, whichever algorithms are taken.
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    make_deterministic(False)


def test_the_tests_on_a_gpu_need_no_snakemake() -> None:
    program = """
import sys
import pytest

class Missing:
    def find_spec(self, name, *others):
        if name.split(".")[0] in ("snakemake", "hypothesis"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
plain = ["-p", "no:hypothesispytest", "-p", "no:cacheprovider"]
sys.exit(pytest.main(["tests/test_cuda.py", "--collect-only", "-q", *plain]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_memory_that_is_freed_is_not_cleared_again(tmp_path: Path) -> None:
    """A tensor of 64 MB again and again: once the places are found, no page is asked of the system."""
    script = tmp_path / "job.py"
    script.write_text(
        "import resource, torch\n"
        "from evenhand.training.devices import keep_freed_memory\n"
        "keep_freed_memory()\n"
        "faults = []\n"
        "for _ in range(20):\n"
        "    torch.zeros(2**24).add(1)\n"
        "    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)\n"
        "print(faults[-1] - faults[-6])\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow_scripts")}
    found = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert int(found.stdout) < 2**26 // os.sysconf("SC_PAGE_SIZE")  # fewer pages than one tensor has
