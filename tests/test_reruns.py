"""What a change of any key of the configuration or of any class of source file runs again: the table of the README.

The README says which stages (the files of rules/) run again; each change is planned and must give exactly these.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from workflow import PARTS, ROOT, TINY, copy_workflow, environment, planned, snakemake

STAGES = ["data", "splits", "train", "evaluate", "stats", "figures", "probe", "report"]
Config = dict[str, Any]

TONE = {"name": "tone", "kind": "binary", "columns": ["group"], "values": {"light": "light", "dark": "dark"}}
SEX = {"name": "sex", "kind": "binary", "columns": ["sex"], "values": {"F": "female", "M": "male"}}
DISEASE = {"name": "class", "kind": "multiclass", "columns": ["three_partition_label"]}
FINDINGS = {"name": "findings", "kind": "multilabel", "columns": ["Edema", "No Finding"], "missing": [-1]}
VAE_SOURCE = {"name": "vae", "kind": "vae", "attributes": [TONE], "diseases": [DISEASE]}
FILE_SOURCE = {
    "name": "mimic",
    "kind": "file",
    "dataset": "MIMIC-CXR",
    "model": "B-CLIP",
    "embeddings": "results/tiny/lookalike/mimic.biomedclip.npz",
    "metadata": "results/tiny/lookalike/mimic.csv",
    "id": "image_id",
    "group": "subject_id",
    "attributes": [SEX],
    "diseases": [FINDINGS],
}
# The tiny study with probes, on local files as with real photographs, so that every key has a meaning.
LOCAL: Config = yaml.safe_load(TINY.read_text()) | {
    "report": {"probes": True},
    "probe": {
        "folds": 3,
        "allow_fewer_folds": True,
        "fractions": [0, 0.5],
        "random_draws": 1,
        "mlp": {"max_epochs": 2},
        "lookalike": {"patients": 60, "features": 8},
        "sources": [VAE_SOURCE, FILE_SOURCE],
    },
}
LOCAL["data"] |= {
    "synthetic": None,
    "metadata": "metadata.csv",
    "sources": [{"archive": "images.zip"}, {"urls": True}],
    "download": {"shards": 2},
}

SETS = [{"name": name, "dark_share": share} for name, share in [("A", 0.0), ("B", 0.5), ("C", 1.0), ("D", 0.25)]]

# Another value for each key of the schema.
VALUES: dict[str, Any] = {
    "study": "another",
    "seed": 7,
    "data.metadata": "copy.csv",
    "data.metadata_sha256": "0" * 64,
    "data.sources": [{"archive": "images.zip"}],
    "data.download.shards": 3,
    "data.download.connections": 3,
    "data.download.interval": 0.2,
    "data.download.timeout": 30,
    "data.download.attempts": 2,
    "data.download.max_megabytes": 8,
    "data.download.contact": "someone@example.org",
    "data.image_size": 32,
    "data.icc": "ignore",
    "data.min_available": 0.4,
    "data.duplicates.threshold": 4,
    "data.duplicates.mirrored": False,
    "data.duplicates.embeddings": "embeddings.npz",
    "data.duplicates.similarity": 0.9,
    "data.duplicates.list": "pairs.txt",
    "data.synthetic.n": 250,
    "data.synthetic.size": 40,
    "data.synthetic.dark_difficulty": 0.1,
    "splits.label": "fitzpatrick_centaur",
    "splits.light": [1],
    "splits.dark": [6],
    "splits.runs": 3,
    "splits.test_size": 18,
    "splits.train_size": 20,
    "splits.min_train_size": 4,
    "splits.leakage": "isolate",
    "splits.replacement": True,
    "splits.train_sets": SETS,
    "model.width": 32,
    "model.multipliers": [1, 1, 1, 2],
    "model.latent_channels": 8,
    "model.deep": True,
    "model.norm": "group",
    "loss.kl_scale": 0.5,
    "loss.feature_scale": 0.5,
    "loss.perceptual_weights": "imagenet",
    "loss.perceptual_normalize": True,
    "train.epochs": 3,
    "train.batch_size": 12,
    "train.learning_rate": 1e-4,
    "train.clip_norm": 5.0,
    "train.flip": 0.0,
    "train.precision": "bf16",
    "train.device": "auto",
    "train.threads": 2,
    "train.deterministic": False,
    "train.tensorboard": True,
    "evaluate.batch_size": 32,
    "evaluate.samples": 3,
    "evaluate.prior_samples": 9,
    "evaluate.device": "auto",
    "evaluate.examples": 3,
    "gpu.slots_per_device": 2,
    "stats.alpha": 0.01,
    "stats.family": ["mse"],
    "stats.min_runs": 2,
    "stats.margins.latent_std": 0.1,
    "stats.claims.slight": 0.2,
    "stats.claims.max_mse": 0.08,
    "stats.claims.noticeable": 2.0,
    "stats.claims.vanishing": 0.1,
    "stats.mix.little": 0.1,
    "stats.mix.much": 0.4,
    "stats.min_images": 4,
    "stats.resamples": 300,
    "figures.dpi": 90,
    "figures.rare_below": 5,
    "figures.label_conditions": 1,
    "report.patient_images": False,
    "report.probes": False,
    "probe.folds": 4,
    "probe.allow_fewer_folds": False,
    "probe.fractions": [0, 0.2],
    "probe.random_draws": 2,
    "probe.bottom": False,
    "probe.shuffled": False,
    "probe.leace": False,
    "probe.logistic": False,
    "probe.rerank": True,
    "probe.disease_controls": True,
    "probe.margin": 0.02,
    "probe.device": "cpu",
    "probe.threads": 2,
    "probe.mlp.hidden": [64],
    "probe.mlp.hidden_small": [32],
    "probe.mlp.small_below": 100,
    "probe.mlp.learning_rate": 0.01,
    "probe.mlp.weight_decay": 0.01,
    "probe.mlp.batch_size": 64,
    "probe.mlp.max_epochs": 4,
    "probe.mlp.patience": 2,
    "probe.mlp.tolerance": 0.001,
    "probe.mlp.monitor": "accuracy",
    "probe.mlp.precision": "bf16",
    "probe.mlp.networks_per_batch": 4,
    "probe.sources": [VAE_SOURCE],
    "probe.lookalike.patients": 70,
    "probe.lookalike.features": 9,
}

# A source file of each class, and a comment that its language has.
SOURCES = {
    "workflow_scripts/pack_images.py": {*STAGES},
    "workflow_scripts/find_duplicates.py": {"data", "stats", "figures", "probe", "report"},
    "workflow_scripts/make_splits.py": {"splits", "stats", "figures", "probe", "report"},
    "workflow_scripts/train_vae.py": {*STAGES} - {"data", "splits"},
    "workflow_scripts/evaluate_vae.py": {*STAGES} - {"data", "splits", "train"},
    "workflow_scripts/estimate_gaps.py": {"stats", "figures", "report"},
    "workflow_scripts/plot_prevalence.py": {"figures", "report"},
    "workflow_scripts/probe_embeddings.py": {"probe", "report"},
    "workflow_scripts/make_report.py": {"report"},
    "workflow_scripts/fairgen/packing.py": {*STAGES},
    "workflow_scripts/fairgen/training.py": {*STAGES} - {"data", "splits"},
    "workflow_scripts/fairgen/evaluation.py": {*STAGES} - {"data", "splits", "train"},
    "workflow_scripts/fairgen/stats/paired.py": {"stats", "figures", "probe", "report"},
    "workflow_scripts/fairgen/style.py": {"figures", "probe", "report"},
    "workflow_scripts/fairgen/errors.py": {*STAGES},
    "workflow_scripts/fairgen/templates/report.html.j2": {"report"},
    # What describes the tables is printed in the report.
    "schemas/tables.yaml": {"report"},
    # Comments in rules and configuration, machine settings, environments not in use, captions of Snakemake's report.
    "Snakefile": set(),
    "config.yaml": set(),
    "rules/train.smk": set(),
    "schemas/config.schema.yaml": set(),
    "studies/demo.yaml": set(),
    "profiles/cpu/profile.yaml": set(),
    "envs/torch.yaml": set(),
    "report/workflow.rst": set(),
}


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


def stages(study: Path, config: Config, name: str) -> set[str]:
    """The rule files whose rules a dry run plans, with `config` in a file of that name."""
    overlay = study / f"changed-{name}.yaml"
    overlay.write_text(yaml.safe_dump(config))
    file_of = {
        rule: path.stem.split("_")[0]
        for path in (ROOT / "rules").glob("*.smk")
        for rule in re.findall(r"^ *(?:rule|use rule \w+ as) (\w+)", path.read_text(), flags=re.MULTILINE)
    }
    jobs = planned(study, "--configfile", overlay.name)
    # Targets such as `splits` are not jobs.
    # Rules of figures are made in a loop.
    return {file_of.get(rule, "figures") for rule in jobs if rule not in STAGES}


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
    (folder / "embeddings.npz").write_bytes(b"")
    (folder / "study.yaml").write_text(yaml.safe_dump(LOCAL))
    snakemake(folder, "--configfile", "study.yaml")
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
    table = readme_table()

    def plan(key: str) -> set[str]:
        generated = key.startswith("data.synthetic.")
        base = yaml.safe_load(TINY.read_text()) if generated else LOCAL
        return stages(finished if generated else local, changed(base, key, VALUES[key]), name=key)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        plans = {key: pool.submit(plan, key) for key in VALUES}
    for key, planned_stages in plans.items():
        with subtests.test(key):
            # The study on generated images has no probes.
            absent = {"probe"} if key.startswith("data.synthetic.") else set()
            assert planned_stages.result() == row_of(key, table) - absent


@pytest.mark.slow
def test_an_edited_source_reruns_its_stages(local: Path, tmp_path: Path, subtests: pytest.Subtests) -> None:
    def plan(source: str) -> set[str]:
        folder = twin(local, tmp_path / source.replace("/", "-"))
        with (folder / source).open("a") as file:
            file.write("\n{# a comment #}\n" if source.endswith(".j2") else "\n# a comment\n")
        return stages(folder, LOCAL, name=source.replace("/", "-"))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        plans = {source: pool.submit(plan, source) for source in SOURCES}
    for source, planned_stages in plans.items():
        with subtests.test(source):
            assert planned_stages.result() == SOURCES[source]


@pytest.mark.slow
def test_parts_of_the_study(local: Path) -> None:
    options = ["--configfile", "study.yaml"]
    forced = planned(local, *options, "--forcerun", "evaluate_vae")
    assert forced["evaluate_vae"] == 6
    assert not {"train_vae", "make_splits"} & set(forced)
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
