"""What a change of any key of the configuration or of any class of source file runs again: the table of the README.

The README says which stages (the files of rules/) run again; each change is planned and must give exactly these.
"""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from rerun_changes import BESIDE, LOCAL, SOURCES, STAGES, VALUES, Config
from workflow import PARTS, ROOT, TINY, copy_workflow, dry_runs, environment, jobs_of, planned, snakemake

from evenhand.workflow.files import read_rows


def keys(schema: Config, prefix: str = "") -> Iterator[str]:
    """The dotted names of all keys that hold a value."""
    for name, entry in schema["properties"].items():
        if "properties" in entry:
            yield from keys(entry, f"{prefix}{name}.")
        else:
            yield prefix + name


def readme_table() -> dict[str, set[str]]:
    """For each key or block that the README's table names: the stages that run again when it changes."""
    readme = (ROOT / "README.md").read_text()
    head, _, *rows = readme[readme.index("| you change |") :].split("\n\n")[0].splitlines()
    columns = [cell.strip() for cell in head.strip("|").split("|")][1:]
    assert columns == STAGES
    table = {}
    for row in rows:
        first, *cells = row.strip("|").split("|")
        assert len(cells) == len(columns), row
        table |= {
            name: {stage for stage, cell in zip(columns, cells, strict=True) if cell.strip()}
            for name in re.findall("`([^`]+)`", first)
        }
    return table


def row_of(key: str, table: dict[str, set[str]]) -> set[str]:
    """The row for `key`: its own, or that of the block it is in."""
    parts = key.split(".")
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next(table[name] for name in names if name in table)


def changed(config: Config, key: str, value: object) -> Config:
    """`config` with one key changed."""
    block, _, rest = key.partition(".")
    return config | {block: changed(config.get(block, {}), rest, value) if rest else value}


def stages(output: str) -> set[str]:
    """The rule files whose rules a dry run has planned, from what it printed."""
    stage_of = {"images": "data"}
    # A rule is declared, or it is an entry of the table from which the rules of the statistics are made.
    declared = re.compile(r'^ *(?:rule|use rule \w+ as) (\w+)|^    "(\w+)": Summary\(', flags=re.MULTILINE)
    file_of = {
        rule or summary: stage_of.get(path.stem, path.stem)
        for path in (ROOT / "rules").glob("*.smk")
        for rule, summary in declared.findall(path.read_text())
    }
    # Rules of figures are made of what their modules declare.
    # Targets such as `splits` are no jobs of a stage, nor are the settings that go to many of them as a file.
    return {file_of.get(rule, "figures") for rule in jobs_of(output) if rule not in (*STAGES, "write_settings")}


def twin(study: Path, folder: Path) -> Path:
    """A folder with sources of its own and all else of `study`."""
    copy_workflow(folder)
    for path in study.iterdir():
        if not (folder / path.name).exists():
            (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished study of LOCAL."""
    folder = copy_workflow(tmp_path_factory.mktemp("local") / "project")
    subprocess.run(
        [
            *(sys.executable, folder / "workflow_scripts" / "make_phantom.py", "--n", "260", "--size", "32"),
            *("--seed", "1", "--dark-difficulty", "0.5"),
            *("--metadata", "metadata.csv", "--images", "images.zip", "--truth", "truth.csv"),
        ],
        cwd=folder,
        env=environment(),
        check=True,
    )
    (folder / "copy.csv").write_bytes((folder / "metadata.csv").read_bytes())
    (folder / "pairs.txt").write_text("")
    ids = np.array([row["md5hash"] for row in read_rows(folder / "metadata.csv")])
    np.savez(folder / "embeddings.npz", id=ids, embeddings=np.eye(len(ids), dtype=np.float32))
    (folder / "others.npz").write_bytes(b"")
    (folder / "lpips.pth").write_bytes(b"")
    (folder / "study.yaml").write_text(yaml.safe_dump(LOCAL))
    snakemake(folder, "all", "probe", "--configfile", "study.yaml")
    return folder


def test_every_key_has_another_value_here_and_a_row_in_the_readme() -> None:
    schema = yaml.safe_load((ROOT / "schemas" / "config.schema.yaml").read_text())
    assert set(keys(schema)) == set(VALUES)
    table = readme_table()
    for key in VALUES:
        assert row_of(key, table), key


def test_every_class_of_source_file_has_a_row() -> None:
    assert {name.split("/")[0] for name in SOURCES} == set(PARTS)


@pytest.mark.slow
def test_a_changed_key_reruns_its_stages(local: Path, finished: Path, subtests: pytest.Subtests) -> None:
    calls = []
    for key, value in VALUES.items():
        generated = key.startswith("data.synthetic.")
        base, study = (yaml.safe_load(TINY.read_text()), finished) if generated else (LOCAL, local)
        overlay = study / f"changed-{key}.yaml"
        study_changed = changed(base, key, value)
        for other, besides in BESIDE.get(key, {}).items():
            study_changed = changed(study_changed, other, besides)
        overlay.write_text(yaml.safe_dump(study_changed))
        calls.append((study, ["--configfile", overlay.name]))
    table = readme_table()
    for key, output in zip(VALUES, dry_runs(calls), strict=True):
        with subtests.test(key):
            # The study on generated images has no probes.
            absent = {"probe"} if key.startswith("data.synthetic.") else set()
            assert stages(output) == row_of(key, table) - absent


@pytest.mark.slow
def test_an_edited_source_reruns_its_stages(local: Path, tmp_path: Path, subtests: pytest.Subtests) -> None:
    calls = []
    for source in SOURCES:
        folder = twin(local, tmp_path / source.replace("/", "-"))
        with (folder / source).open("a") as file:
            file.write("\n{# a comment #}\n" if source.endswith(".j2") else "\n# a comment\n")
        calls.append((folder, ["--configfile", "study.yaml"]))
    for source, output in zip(SOURCES, dry_runs(calls), strict=True):
        with subtests.test(source):
            assert stages(output) == SOURCES[source]


def job_graph(study: Path, *options: str) -> tuple[dict[str, str], dict[str, set[str]]]:
    """For each job of everything, by its number: its rule, and the jobs that take its products."""
    output = snakemake(study, "all", "probe", *options, "--forceall", "--dag")
    rule_of = dict(re.findall(r'(\d+)\[label = "(\w+)', output))
    follows: dict[str, set[str]] = {job: set() for job in rule_of}
    for source, target in re.findall(r"(\d+) -> (\d+)", output):
        follows[source].add(target)
    return rule_of, follows


def imported(study: Path, *options: str) -> dict[str, set[str]]:
    """For each library module the rules whose script imports it, as the plan of everything lists their inputs."""
    output = snakemake(study, "all", "probe", *options, "--dry-run", "--forceall")
    importers: dict[str, set[str]] = {}
    for block in re.split(r"^(?:local)?rule (?=\w+:$)", output, flags=re.MULTILINE)[1:]:
        inputs = re.search(r"^    input: (.*)$", block, flags=re.MULTILINE)
        for module in re.findall(r"workflow_scripts/(evenhand/[\w/]+\.py)", inputs[1] if inputs else ""):
            importers.setdefault(module, set()).add(block.partition(":")[0])
    return importers


@pytest.mark.slow
def test_an_edited_module_reruns_its_products_and_all_that_follows(
    local: Path, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """Nothing between the code of a draw and a verdict is taken for what it was."""
    options = ["--configfile", "study.yaml"]
    (rule_of, follows), importers = job_graph(local, *options), imported(local, *options)
    calls = []
    for number, module in enumerate(importers):
        folder = twin(local, tmp_path / str(number))
        with (folder / "workflow_scripts" / module).open("a") as file:
            file.write("\n# a comment\n")
        calls.append((folder, ["all", "probe", *options]))
    # Targets do nothing, and check_study decides on nothing but whether a study begins (rules/data.smk).
    idle = {"all", "probe", "check_study"}
    for (module, first), output in zip(importers.items(), dry_runs(calls), strict=True):
        reached, queue = set[str](), [job for job, rule in rule_of.items() if rule in first]
        while queue:
            job = queue.pop()
            if job not in reached:
                reached.add(job)
                queue.extend(follows[job])
        with subtests.test(module):
            expected = Counter(rule_of[job] for job in reached if rule_of[job] not in idle)
            assert {rule: n for rule, n in jobs_of(output).items() if rule != "probe"} == expected
    for module in ("evenhand/splits/design.py", "evenhand/workflow/seeds.py", "evenhand/splits/manifests.py"):
        assert {"draw_test", "draw_train"} <= importers[module]


@pytest.mark.slow
def test_parts_of_the_study(local: Path) -> None:
    options = ["--configfile", "study.yaml"]
    forced = planned(local, *options, "--forcerun", "evaluate_vae")
    assert forced["evaluate_vae"] == 6
    assert not {"train_vae", "draw_test", "draw_train"} & set(forced)
    until = planned(local, *options, "--forcerun", "train_vae", "--until", "train_vae")
    assert until == {"train_vae": 6}
    one = "results/tiny/runs/B/run1/model.safetensors"
    (local / one).rename(local / "kept")
    assert planned(local, *options, "--", one) == {"train_vae": 1}
    (local / "kept").rename(local / one)


@pytest.mark.slow
def test_restored_results_are_believed_after_touch(local: Path, tmp_path: Path) -> None:
    """A backup holds results and no records; it is restored in another order than it was made in."""
    folder = twin(local, tmp_path / "project")
    (folder / ".snakemake").unlink()
    (folder / "results").unlink()
    files = sorted((path for path in (local / "results").rglob("*") if path.is_file()), reverse=True)
    for path in files:
        copy = folder / path.relative_to(local)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    options = ["--configfile", "study.yaml"]
    assert "train_vae" in planned(folder, *options)
    snakemake(folder, *options, "--touch")
    assert planned(folder, *options) == {}
    # What changes afterwards is noticed as before.
    assert "train_vae" in planned(folder, *options, "--config", "train={epochs: 3}")
