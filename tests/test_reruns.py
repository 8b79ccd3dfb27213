"""What a change of any key of the configuration or of any class of source file runs again: the table of the README.

A key of the schema without a row fails. Stages are the files of rules/; a row names those that run again, all of them.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from workflow import ROOT, TINY, copy_workflow, environment, planned, snakemake

REPORT = {"report"}  # shows the whole configuration, so that every change reaches it
FIGURES = {"figures"} | REPORT
STATS = {"stats"} | FIGURES
EVALUATE = {"evaluate"} | STATS
TRAIN = {"train"} | EVALUATE
SPLITS = {"splits"} | TRAIN
DATA = {"data"} | SPLITS
PROBE = {"probe"} | REPORT

SETS = [{"name": name, "dark_share": share} for name, share in [("A", 0.0), ("B", 0.5), ("C", 1.0), ("D", 0.25)]]

# key -> (another value, stages that run again)
ROWS: dict[str, tuple[Any, set[str]]] = {
    "study": ("another", DATA),
    "seed": (7, DATA - {"data"}),
    "data.metadata": ("copy.csv", DATA),
    "data.metadata_sha256": ("METADATA", DATA),
    "data.sources": ([{"archive": "images.zip"}], DATA),
    "data.download.shards": (3, DATA),
    "data.download.connections": (3, DATA),
    "data.download.interval": (0.2, DATA),
    "data.download.timeout": (30, DATA),
    "data.download.attempts": (2, DATA),
    "data.download.max_megabytes": (8, DATA),
    "data.download.contact": ("someone@example.org", DATA),
    "data.image_size": (32, DATA),
    "data.icc": ("ignore", DATA),
    "data.min_available": (0.4, DATA),
    "data.duplicates.threshold": (4, {"data"} | STATS),
    "data.duplicates.mirrored": (False, {"data"} | STATS),
    "data.duplicates.embeddings": ("embeddings.npz", {"data"} | STATS),
    "data.duplicates.similarity": (0.9, {"data"} | STATS),
    "data.duplicates.list": ("pairs.txt", {"data"} | STATS),
    "data.synthetic.n": (250, DATA),
    "data.synthetic.size": (40, DATA),
    "data.synthetic.dark_difficulty": (0.1, DATA),
    "splits.label": ("fitzpatrick_centaur", DATA),
    "splits.light": ([1], DATA),
    "splits.dark": ([6], DATA),
    "splits.runs": (3, SPLITS),
    "splits.test_size": (18, SPLITS),
    "splits.train_size": (20, SPLITS),
    "splits.min_train_size": (4, SPLITS),
    "splits.leakage": ("isolate", SPLITS),
    "splits.replacement": (True, SPLITS),
    "splits.train_sets": (SETS, SPLITS),
    "model.width": (32, TRAIN),
    "model.multipliers": ([1, 1, 1, 2], TRAIN),
    "model.latent_channels": (8, TRAIN),
    "model.deep": (True, TRAIN),
    "model.norm": ("group", TRAIN),
    "loss.kl_scale": (0.5, TRAIN),
    "loss.feature_scale": (0.5, TRAIN),
    "loss.perceptual_weights": ("imagenet", TRAIN),
    "loss.perceptual_normalize": (True, TRAIN),
    "train.epochs": (3, TRAIN),
    "train.batch_size": (12, TRAIN),
    "train.learning_rate": (1e-4, TRAIN),
    "train.clip_norm": (5.0, TRAIN),
    "train.flip": (0.0, TRAIN),
    "train.precision": ("bf16", TRAIN),
    "train.device": ("auto", TRAIN),
    "train.threads": (2, TRAIN),
    "train.deterministic": (False, TRAIN),
    "train.tensorboard": (True, REPORT),
    "evaluate.batch_size": (32, EVALUATE),
    "evaluate.samples": (3, EVALUATE),
    "evaluate.prior_samples": (9, EVALUATE),
    "evaluate.device": ("auto", EVALUATE),
    "evaluate.examples": (3, {"evaluate"} | FIGURES),
    "stats.alpha": (0.01, STATS),
    "stats.family": (["mse"], STATS),
    "stats.min_runs": (2, STATS),
    "stats.margins.latent_std": (0.1, STATS),
    "stats.claims.slight": (0.2, STATS),
    "stats.claims.max_mse": (0.08, STATS),
    "stats.claims.noticeable": (2.0, STATS),
    "stats.claims.vanishing": (0.1, STATS),
    "stats.mix.little": (0.1, STATS),
    "stats.mix.much": (0.4, STATS),
    "stats.min_images": (4, STATS),
    "stats.resamples": (300, STATS),
    "figures.dpi": (90, FIGURES),
    "figures.rare_below": (5, FIGURES),
    "figures.label_conditions": (1, FIGURES),
    "report.patient_images": (False, REPORT),
    "report.probes": (True, PROBE),
    "gpu.slots_per_device": (2, REPORT),
}
# Probes run where report.probes asks for them; with it off, their settings are in the report's list of settings only.
PROBE_KEYS: dict[str, Any] = {
    "probe.folds": 5,
    "probe.allow_fewer_folds": True,
    "probe.fractions": [0, 0.5],
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
    "probe.sources": None,
    "probe.lookalike": None,
}


def keys(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted names of all keys that hold a value."""
    for name, entry in schema["properties"].items():
        if "properties" in entry:
            yield from keys(entry, f"{prefix}{name}.")
        else:
            yield prefix + name


def set_key(study: Path, key: str, value: object) -> None:
    """Write the study's tiny.yaml with one key changed."""
    config = yaml.safe_load((study / "base.yaml").read_text())
    block = config
    *outer, last = key.split(".")
    for name in outer:
        block = block.setdefault(name, {})
    block[last] = value
    (study / "tiny.yaml").write_text(yaml.safe_dump(config))


def stages(study: Path) -> set[str]:
    """The rule files whose rules a dry run plans."""
    jobs = planned(study, "--configfile", "tiny.yaml")
    file_of = {
        rule: path.stem
        for path in (ROOT / "rules").glob("*.smk")
        for rule in re.findall(r"^(?:rule|use rule \w+ as) (\w+)", path.read_text(), flags=re.MULTILINE)
    }
    # Targets such as `splits` are not jobs.
    return {file_of[rule] for rule in jobs if rule not in {path.stem for path in (ROOT / "rules").glob("*.smk")}}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished tiny study on local files: as with real photographs, so that every key of `data` has a meaning."""
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
    config = yaml.safe_load(TINY.read_text())
    config["data"] |= {
        "synthetic": None,
        "metadata": "metadata.csv",
        "sources": [{"archive": "images.zip"}, {"urls": True}],
        "download": {"shards": 2},
    }
    (folder / "base.yaml").write_text(yaml.safe_dump(config))
    (folder / "tiny.yaml").write_text(yaml.safe_dump(config))
    snakemake(folder, "--configfile", "tiny.yaml")
    return folder


@pytest.fixture
def changed(local: Path, finished: Path) -> Iterator[Callable[[str, object], Path]]:
    """Changes one key of the finished study and returns its folder; generated data where the key is about them."""

    def change(key: str, value: object) -> Path:
        study = finished if key.startswith("data.synthetic.") else local
        if study is finished:
            (study / "base.yaml").write_text(TINY.read_text())
        set_key(study, key, value)
        return study

    yield change
    for study in (local, finished):
        if (study / "base.yaml").exists():
            (study / "tiny.yaml").write_text((study / "base.yaml").read_text())


@pytest.fixture
def edited(local: Path) -> Iterator[Path]:
    """The finished study, its sources put back after the test."""
    yield local
    base = (local / "base.yaml").read_text()
    copy_workflow(local)
    (local / "tiny.yaml").write_text(base)


def test_every_key_has_a_row() -> None:
    schema = yaml.safe_load((ROOT / "schemas" / "config.schema.yaml").read_text())
    assert set(keys(schema)) == set(ROWS) | set(PROBE_KEYS)


def test_the_readme_has_a_row_for_every_block() -> None:
    readme = (ROOT / "README.md").read_text()
    table = readme[readme.index("| you change |") :].split("\n\n")[0]
    first = " ".join(line.split("|")[1] for line in table.splitlines()[2:])
    for block in {key.split(".")[0] for key in ROWS} | {"probe"}:
        assert f"`{block}" in first, block


@pytest.mark.slow
@pytest.mark.parametrize("key", ROWS)
def test_a_changed_key_reruns_its_stages(changed: Callable[[str, object], Path], key: str) -> None:
    value, expected = ROWS[key]
    if value == "METADATA":
        study = changed("study", "tiny")
        value = subprocess.check_output(["sha256sum", study / "metadata.csv"], text=True).split()[0]
    assert stages(changed(key, value)) == expected


@pytest.mark.slow
def test_settings_of_probes_rerun_nothing_but_the_report(changed: Callable[[str, object], Path]) -> None:
    settings = {key: value for key, value in PROBE_KEYS.items() if value is not None}
    study = changed("study", "tiny")
    config = yaml.safe_load((study / "tiny.yaml").read_text())
    for key, value in settings.items():
        block = config.setdefault("probe", {})
        *outer, last = key.split(".")[1:]
        for name in outer:
            block = block.setdefault(name, {})
        block[last] = value
    (study / "tiny.yaml").write_text(yaml.safe_dump(config))
    assert stages(study) == REPORT


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        # A script reruns its rule and what follows.
        ("workflow_scripts/pack_images.py", DATA),
        ("workflow_scripts/make_splits.py", SPLITS - {"train", "evaluate"}),
        ("workflow_scripts/train_vae.py", TRAIN),
        ("workflow_scripts/evaluate_vae.py", EVALUATE),
        ("workflow_scripts/estimate_gaps.py", STATS),
        ("workflow_scripts/plot_prevalence.py", FIGURES),
        ("workflow_scripts/make_report.py", REPORT),
        # A module reruns the rules whose scripts import it.
        ("workflow_scripts/fairgen/packing.py", DATA),
        ("workflow_scripts/fairgen/training.py", TRAIN),
        ("workflow_scripts/fairgen/evaluation.py", EVALUATE),
        ("workflow_scripts/fairgen/stats/paired.py", STATS),
        ("workflow_scripts/fairgen/style.py", FIGURES),
        ("workflow_scripts/fairgen/errors.py", DATA),
        # What describes the tables is printed in the report.
        ("schemas/tables.yaml", REPORT),
        # Comments in rules, settings of machines, environments that are not in use, captions of Snakemake's report.
        ("Snakefile", set()),
        ("rules/train.smk", set()),
        ("schemas/config.schema.yaml", set()),
        ("profiles/cpu/profile.yaml", set()),
        ("envs/torch.yaml", set()),
        ("report/workflow.rst", set()),
    ],
)
def test_an_edited_source_reruns_its_stages(edited: Path, source: str, expected: set[str]) -> None:
    path = edited / source
    path.write_text(path.read_text() + "\n# a comment\n")
    assert stages(edited) == expected


@pytest.mark.slow
def test_partial_reruns(edited: Path) -> None:
    options = ["--configfile", "tiny.yaml"]
    forced = planned(edited, *options, "--forcerun", "evaluate_vae")
    assert forced["evaluate_vae"] == 6
    assert "train_vae" not in forced
    until = planned(edited, *options, "--forcerun", "train_vae", "--until", "train_vae")
    assert until == {"train_vae": 6}
    one = "results/tiny/runs/B/run1/model.safetensors"
    (edited / one).rename(edited / "kept")
    assert planned(edited, *options, "--", one) == {"train_vae": 1}
    (edited / "kept").rename(edited / one)


@pytest.mark.slow
def test_restored_results_are_believed_after_touch(edited: Path) -> None:
    (edited / ".snakemake").rename(edited / "records")
    snakemake(edited, "--configfile", "tiny.yaml", "--touch")
    assert planned(edited, "--configfile", "tiny.yaml") == {}
