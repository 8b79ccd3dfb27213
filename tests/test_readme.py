"""Every command of the README is run: as it stands where that takes seconds, at tiny size, or as a dry run.

The commands run, in the README's order, in a copy of the repository whose config.yaml and studies/demo.yaml have the
sizes of tests/tiny.yaml and whose photographs are generated: the lines are the reader's, the numbers in the
configuration are not. A command of the README without a rule here fails.
"""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import snakemake.exceptions
import yaml
from snakemake.utils import update_config
from workflow import ROOT, TINY, copy_workflow, environment

README = (ROOT / "README.md").read_text()
NEEDED = ["md5hash", "fitzpatrick_scale", "label", "nine_partition_label", "three_partition_label"]
RUN, DRY = "run", "dry run"

# Each command of the README: run it, or only plan it, and then why.
RULES: dict[str, tuple[str, str]] = {
    "make demo": (RUN, ""),
    "make show": (RUN, ""),
    "make test": (DRY, "these tests"),
    "make test-slow": (DRY, "these tests"),
    "make setup": (RUN, ""),
    "make setup && . .venv/bin/activate": (RUN, ""),
    "snakemake --dry-run": (RUN, ""),
    "snakemake": (RUN, ""),
    "snakemake --workflow-profile profiles/cpu --configfile studies/pilot.yaml"
    " --config 'data={sources: [{folder: PATH, verify: false}]}'": (DRY, "the line as before, at a larger size"),
    "snakemake metadata": (RUN, ""),
    "snakemake plan_power": (RUN, ""),
    "snakemake ruler": (DRY, "made for the report, too"),
    "make show STUDY=paper": (RUN, ""),
    "make show STUDY=paper TABLE=headline FORMAT=latex": (RUN, ""),
    "make show STUDY=paper FORMAT=xlsx": (RUN, ""),
    "make show STUDY=paper FORMAT=pdf": (RUN, ""),
    'make compare STUDIES="paper isolated"': (DRY, "tests/test_comparison.py compares studies"),
    "make multiverse OPTIONS=--plan": (DRY, "tests/test_multiverse.py plans one"),
    "make multiverse": (DRY, "many studies"),
    "make multiverse MULTIVERSE=studies/families.yaml": (DRY, "many studies"),
    "snakemake --report report.zip": (RUN, ""),
    **{
        f"snakemake {stage}": (RUN, "")
        for stage in ["data", "splits", "train", "evaluate", "stats", "figures", "report"]
    },
    "snakemake results/paper/runs/B/run1/model.safetensors": (RUN, ""),
    "snakemake --forcerun evaluate_vae": (DRY, "the evaluations have just run"),
    "snakemake --until train_vae": (RUN, ""),
    "snakemake --touch": (RUN, ""),
    "snakemake --workflow-profile profiles/slurm": (DRY, "needs Slurm; tests/test_slurm.py runs it on one"),
    "snakemake --resources gpu=2": (DRY, "the line as before, on more GPUs"),
    "snakemake --snakefile CHECKOUT/Snakefile --workflow-profile cpu --configfile mine.yaml": (
        DRY,
        "tests/test_workplace.py runs it in another directory",
    ),
    "snakemake --unlock": (RUN, ""),
    "snakemake --configfile studies/sweep.yaml": (DRY, "a hundred trainings"),
    "snakemake --config 'splits={runs: 3}'": (DRY, "trainings as before"),
    "snakemake --configfile studies/mine.yaml": (DRY, "its images are packed and drawn below, trainings are as before"),
    "snakemake probe": (DRY, "minutes; tests/test_probes_*.py run the probes"),
    "snakemake probe --workflow-profile profiles/cpu --configfile studies/cxr.yaml": (
        DRY,
        "minutes; tests/test_probes_*.py run the probes",
    ),
    "snakemake --rerun-incomplete": (RUN, ""),
    "make verify STUDY=demo": (RUN, ""),
    "make check-model MODEL=path/to/file.py:Class": (DRY, "tests/test_families.py checks classes"),
}


def commands() -> list[str]:
    """The commands of the README in its order: lines of blocks without a language, and code in a sentence."""
    prose, found = README, []
    for block in re.finditer(r"^ *```(\w*)\n(.*?)^ *```$", README, flags=re.MULTILINE | re.DOTALL):
        prose = prose.replace(block[0], "")
        if not block[1]:
            found += [re.sub(r"  +#.*", "", line).strip() for line in block[2].splitlines() if line.strip()]
    starts = r"make|snakemake|python3?|pip|docker|apptainer"
    found += [code for code in re.findall(r"`([^`\n]+)`", prose) if re.match(rf"({starts}) ", code)]
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy of the repository, with its photographs in the folder `photographs`, and a table of five columns."""
    folder = copy_workflow(tmp_path_factory.mktemp("readme") / "evenhand")
    for name in ("Makefile", "README.md"):
        shutil.copy(ROOT / name, folder)
    (folder / ".venv").symlink_to(sys.prefix)
    for lock in (folder / "envs").glob("*.lock"):
        os.utime(lock, (0, 0))  # older than the environment, so that no command installs it anew
    tiny = yaml.safe_load(TINY.read_text())
    generator = tiny["data"].pop("synthetic")
    command = [sys.executable, "workflow_scripts/make_phantom.py", "--seed", "1", "--dark-difficulty", "0.5"]
    for name in ("n", "size"):
        command += [f"--{name}", str(generator[name])]
    subprocess.run([*command, "--metadata", "phantoms.csv", "--images", "phantoms.zip"], cwd=folder, check=True)
    zipfile.ZipFile(folder / "phantoms.zip").extractall(folder / "photographs")
    pd.read_csv(folder / "phantoms.csv", dtype=str, keep_default_na=False)[NEEDED].to_csv(
        folder / "metadata.csv", index=False
    )
    tiny["data"] |= {"metadata": "metadata.csv", "sources": [{"folder": "photographs"}]}
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(config, tiny)
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"study": "paper"}))
    demo = yaml.safe_load(TINY.read_text()) | {"study": "demo"}
    (folder / "studies" / "demo.yaml").write_text(yaml.safe_dump(demo))
    mine = yaml.safe_load(re.search(r"```yaml\n(study: mine\n.*?)```", README, re.DOTALL)[1])
    mine["splits"] = tiny["splits"]
    (folder / "studies" / "mine.yaml").write_text(yaml.safe_dump(mine))
    shutil.copy(folder / "studies" / "mine.yaml", folder)
    (folder / "mine").mkdir()
    table = pd.read_csv(folder / "metadata.csv", dtype=str)
    codes = {"1": "12", "2": "12", "3": "34", "4": "34", "5": "56", "6": "56"}
    given = {"DDI_ID": range(len(table)), "DDI_file": table["md5hash"] + ".jpg", "disease": table["label"]}
    given["skin_tone"] = table["fitzpatrick_scale"].map(codes).fillna("unknown")
    pd.DataFrame(given).to_csv(folder / "mine" / "ddi_metadata.csv", index=False)
    shutil.copytree(folder / "photographs", folder / "mine" / "images")
    return folder


def shell(folder: Path, line: str) -> str:
    """Run one line in the copy, whose environment is installed; its output."""
    done = subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout + done.stderr


def test_every_command_has_a_rule() -> None:
    assert set(commands()) == set(RULES)


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme(clone: Path, command: str) -> None:
    how, _ = RULES[command]
    line = command.replace("PATH", "photographs").replace("CHECKOUT", ".")
    if how == RUN:
        shell(clone, line)
    elif line.startswith("make"):
        shell(clone, f"{line} --dry-run")
    else:
        assert re.search("This was a dry-run|Nothing to be done", shell(clone, f"{line} --dry-run"))


@pytest.mark.slow
def test_the_commands_made_what_the_readme_says(clone: Path) -> None:
    for study in ("demo", "paper"):
        assert (clone / "results" / study / "report.html").stat().st_size > 100_000
    assert (clone / "report.zip").stat().st_size > 10_000
    # Photographs in a folder are no synthetic data, whatever made them: nothing may call them so.
    assert "SYNTHETIC" in shell(clone, "make show STUDY=demo")
    assert "SYNTHETIC" not in shell(clone, "make show STUDY=paper")


@pytest.mark.slow
def test_a_data_set_of_your_own(clone: Path) -> None:
    # As the README describes it: five columns, files that need not have the MD5 of their names.
    for path in (clone / "mine" / "images").glob("*.jpg"):
        path.write_bytes(path.read_bytes() + b"\n")
    shell(clone, "snakemake splits --configfile studies/mine.yaml")
    images = pd.read_csv(clone / "results" / "mine" / "data" / "images.csv", dtype={"id": str})
    assert len(images) == len(list((clone / "mine" / "images").glob("*.jpg")))
    assert not images["verified"].any()
    manifest = pd.read_csv(clone / "results" / "mine" / "splits" / "run0" / "test.csv", dtype=str)
    assert set(manifest["id"]) <= set(images["id"])


def test_messages_of_the_readme_are_those_of_the_program() -> None:
    source = "".join(path.read_text() for path in (ROOT / "workflow_scripts").rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # texts that go on in the next line
    rows = README[README.index("| message |") :].split("\n\n")[0].splitlines()[2:]
    messages = [code for row in rows for code in re.findall("`([^`]+)`", row.split("|")[1])]
    assert len(messages) >= 8
    for message in messages:
        # Wordings of jsonschema and Snakemake; tests/test_workflow.py and tests/faults see them.
        others = "is not of type" in message or message == "older modification time"
        assert others or message in source or hasattr(snakemake.exceptions, message), message


def test_links_of_the_readme_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert link.startswith("https://") or (ROOT / link).exists(), link
    for name in re.findall(r"(?:docs|tests|studies|profiles|envs|data|results)/[\w./-]+\w", README):
        made = name.startswith(("results/", "data/")) and name != "results/README.md"
        own = name in ("studies/mine.yaml",)
        assert made or own or (ROOT / name).exists(), name
