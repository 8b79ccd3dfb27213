"""The conda environments and the container name the versions that the lock file pins."""

import ast
import functools
import itertools
import re
import sys
from pathlib import Path

import pytest
import yaml
from workflow import ROOT

# What the packages of conda-forge are called on PyPI, where that differs.
PYPI = {"pytorch": "torch"}
OPTIONAL = {"openclip"}
# What packages of conda-forge are called in an import statement, where that differs.
IMPORTED = {
    "pillow": "PIL",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "pyyaml": "yaml",
    "pytorch": "torch",
    "open-clip-torch": "open_clip",
    "opencv-python-headless": "cv2",
}
SCRIPTS = ROOT / "workflow_scripts"
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))


def locked() -> dict[str, str]:
    text = "".join((ROOT / "envs" / name).read_text() for name in ("requirements.lock", "torch.lock"))
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^ \n]+)", text, flags=re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in pins}


def test_every_package_but_pytorch_has_hashes() -> None:
    lock = (ROOT / "envs" / "requirements.lock").read_text()
    entries = re.split(r"^(?=[A-Za-z])", lock, flags=re.MULTILINE)[1:]
    assert len(entries) > 100
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+==\S+ \\\n", entry), entry[:60]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:60]
        assert not entry.startswith(("torch", "nvidia", "triton")), entry[:60]
    assert "://" not in lock  # no registry is named
    assert set(re.findall(r"^\w+", (ROOT / "envs" / "torch.lock").read_text(), re.MULTILINE)) == {
        "torch",
        "torchvision",
    }


def versions_in(path: Path) -> dict[str, str]:
    """Each package of an environment and its version, those that pip installs among them."""
    entries = yaml.safe_load(path.read_text())["dependencies"]
    flat = [name for entry in entries for name in (entry["pip"] if isinstance(entry, dict) else [entry])]
    found = [re.fullmatch(r"([\w-]+)[=<>]*(.*)", entry) for entry in flat if entry != "pip"]
    return {match[1]: match[2] for match in found if match}


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_versions_are_those_of_the_lock(path: Path) -> None:
    pins = locked()
    for name, version in versions_in(path).items():
        # Python is not in the lock; an optional stage may need what the lock does not have.
        if PYPI.get(name, name) in pins:
            assert version == pins[PYPI.get(name, name)], name
        else:
            assert name == "python" or path.stem in OPTIONAL, name


def test_rules_name_environments_that_exist() -> None:
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    named = set(re.findall(r'environment\("(\w+)"\)', text))
    assert named == {path.stem for path in ENVIRONMENTS}


@functools.cache
def imported(path: Path) -> set[str]:
    """The dotted names that the source file at `path` imports when it runs."""
    names = set()
    tree = ast.parse(path.read_text())
    tree.body = [
        part for part in tree.body if not (isinstance(part, ast.If) and ast.unparse(part.test) == "TYPE_CHECKING")
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def packages_of(path: Path, seen: set[Path]) -> set[str]:
    """The packages that the source file at `path` imports, and the modules of the library that it imports."""
    seen.add(path)
    names = imported(path)
    found = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"evenhand"}
    for name in names:
        stem = SCRIPTS / name.replace(".", "/")
        for module in (stem.with_suffix(".py"), stem / "__init__.py"):
            if module.is_file() and module not in seen:
                found |= packages_of(module, seen)
    return found


def test_each_stage_has_what_its_script_imports() -> None:
    checked = 0
    for path in (ROOT / "rules").glob("*.smk"):
        for rule in re.split(r"^ *(?=rule |use rule )", path.read_text(), flags=re.MULTILINE):
            # A call names the script, or an entry of the table from which the rules of the statistics are made.
            named_scripts = re.findall(
                r'(?:code|script)\("(\w+)\.py"|^    "(\w+)": Summary\(', rule, flags=re.MULTILINE
            )
            scripts = [f"{called or listed}.py" for called, listed in named_scripts]
            named = re.findall(r'environment\("(\w+)"\)', rule)
            if scripts and named:
                for script, name in itertools.product(scripts, named):
                    installed = {
                        IMPORTED.get(package, package) for package in versions_in(ROOT / "envs" / f"{name}.yaml")
                    }
                    assert packages_of(SCRIPTS / script, set()) <= installed, (script, name)
                    checked += 1
    assert checked >= 40


def test_jobs_on_a_cluster_ask_for_more_when_they_are_tried_again() -> None:
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    rules = re.split(r"^ *(?=rule |use rule )", text, flags=re.MULTILINE)
    rules = [rule for rule in rules if rule.startswith("rule ") and "localrule:" not in rule]
    assert len(rules) > 10
    for rule in rules:
        assert re.search(r"\*\*growing\(mem_mb=.+, runtime=.+\)", rule), rule
        assert "retries:" not in rule, rule  # they would repeat inside one job of the cluster


def test_the_slurm_plugin_is_new_enough() -> None:
    version = tuple(int(part) for part in locked()["snakemake-executor-plugin-slurm"].split("."))
    assert version >= (2, 7, 1)


def test_the_container_installs_the_lock() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "requirements.lock" in dockerfile
    python = yaml.safe_load((ROOT / "envs" / "base.yaml").read_text())["dependencies"][0].partition("=")[2]
    assert re.search(rf"^FROM python:{re.escape(python)}-slim", dockerfile, re.MULTILINE)
