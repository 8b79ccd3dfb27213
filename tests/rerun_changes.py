"""The changes of tests/test_reruns.py: a study in which every key has a meaning, and for each key another value."""

from typing import Any

import yaml
from paper import LIGHT_DARK, mix
from workflow import TINY

STAGES = ["data", "splits", "train", "evaluate", "stats", "figures", "probe", "report"]
Config = dict[str, Any]

TONE = {"name": "tone", "kind": "binary", "columns": ["group"], "values": {"light": "light", "dark": "dark"}}
SEX = {"name": "sex", "kind": "binary", "columns": ["sex"], "values": {"F": "female", "M": "male"}}
DISEASE = {"name": "class", "kind": "multiclass", "columns": ["condition_3"]}
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
    "report": {"ruler": True, "probes": True},
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
    "duplicates": {"method": "hash", "embeddings": "embeddings.npz"},
}

SETS = [{"name": name, "mix": mix(share)} for name, share in [("A", 0.0), ("B", 0.5), ("C", 1.0), ("D", 0.25)]]

# Another value for each key of the schema.
VALUES: dict[str, Any] = {
    "study": "another",
    "seed": 7,
    "data.dataset": None,
    "data.metadata": "copy.csv",
    "data.join": "name",
    "data.skin": False,
    "data.metadata_sha256": "0" * 64,
    "data.columns.id": "name",
    "data.columns.checksum": "sum",
    "data.columns.file": "file",
    "data.columns.url": "link",
    "data.columns.conditions": ["label"],
    "data.columns.patient": "patient",
    "data.columns.source": "source",
    "data.columns.skin_type": "fitzpatrick_centaur",
    "data.columns.second_skin_type": "fitzpatrick_scale",
    "data.skin_types.missing": ["unknown"],
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
    "data.duplicates.method": "features",
    "data.duplicates.inliers": 12,
    "data.duplicates.threshold": 4,
    "data.duplicates.mirrored": False,
    "data.duplicates.embeddings": "others.npz",
    "data.duplicates.similarity": 0.9,
    "data.duplicates.list": "pairs.txt",
    "data.duplicates.not_same": "pairs.txt",
    "data.synthetic.n": 250,
    "data.synthetic.size": 40,
    "data.synthetic.dark_difficulty": 0.1,
    "splits.groups": [LIGHT_DARK[0], LIGHT_DARK[1] | {"where": {"skin_type": [6]}}],
    "splits.runs": 3,
    "splits.test_size": 18,
    "splits.train_size": 20,
    "splits.min_train_size": 4,
    "splits.leakage": "duplicates",
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
    "ruler.slow_images": 20,
    "ruler.margin": 0.2,
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
    "report.ruler": False,
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

# What has to change beside a key, so that the configuration means something.
COLUMNS = {"id": "md5hash", "conditions": ["label"]}
BESIDE: dict[str, Config] = {
    "data.dataset": {"data.columns": COLUMNS},
    "data.join": {"data.dataset": None, "data.columns": COLUMNS, "data.metadata": ["metadata.csv", "copy.csv"]},
    "data.duplicates.inliers": {"data.duplicates.method": "features"},
    "data.columns.file": {"data.sources": [{"archive": "images.zip"}]},  # downloads are called like their ids
}

# A source file of each class, and a comment that its language has.
SOURCES = {
    "workflow_scripts/pack_images.py": {*STAGES},
    "workflow_scripts/find_duplicates.py": {"data", "stats", "figures", "probe", "report"},
    "workflow_scripts/make_splits.py": {*STAGES} - {"data"},
    "workflow_scripts/train_vae.py": {*STAGES} - {"data", "splits"},
    "workflow_scripts/evaluate_vae.py": {*STAGES} - {"data", "splits", "train"},
    "workflow_scripts/estimate_gaps.py": {"stats", "figures", "report"},
    "workflow_scripts/evenhand/figures/metadata.py": {"figures", "report"},
    "workflow_scripts/draw_figure.py": {"figures", "report"},
    "workflow_scripts/probe_embeddings.py": {"figures", "probe", "report"},
    "workflow_scripts/make_report.py": {"report"},
    "workflow_scripts/evenhand/data/packing.py": {*STAGES},
    "workflow_scripts/evenhand/splits/design.py": {*STAGES},  # images that stay together are found there, too
    "workflow_scripts/evenhand/training/loop.py": {*STAGES} - {"data", "splits"},
    "workflow_scripts/evenhand/evaluation/measures.py": {*STAGES} - {"data", "splits", "train"},
    "workflow_scripts/evenhand/stats/paired.py": {"stats", "figures", "probe", "report"},
    "workflow_scripts/evenhand/figures/style.py": {"figures", "report"},
    "workflow_scripts/evenhand/workflow/errors.py": {*STAGES},
    "workflow_scripts/evenhand/report/templates/report.html.j2": {"report"},
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
