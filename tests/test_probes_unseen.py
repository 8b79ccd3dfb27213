"""Embeddings of all photographs that a model was not trained on, beside those of its test sets."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from paper import LIGHT_DARK
from workflow import snakemake

from embed_unseen import main

TONE = {"name": "tone", "kind": "binary", "columns": ["group"], "values": {"light": "light", "dark": "dark"}}


def embed(
    results: Path, out: Path, *options: str, batch_size: int = 64, latents: str = "pooled"
) -> tuple[pd.DataFrame, "np.lib.npyio.NpzFile"]:
    """Metadata and arrays of the images unseen by set B of the first run."""
    config = {"groups": LIGHT_DARK, "latents": latents, "batch_size": batch_size, "device": "cpu"}
    main(
        [
            *("--model", str(results / "runs/B/run0/model.safetensors")),
            *("--images", str(results / "data/images.npy"), "--index", str(results / "data/images.csv")),
            *("--training", str(results / "splits/run0/train_B.csv"), "--train-set", "B", "--run", "0"),
            *("--config", json.dumps(config), *options),
            *("--embeddings", str(out / "embeddings.npz"), "--metadata", str(out / "metadata.csv")),
        ]
    )
    return pd.read_csv(out / "metadata.csv", dtype={"id": str}), np.load(out / "embeddings.npz")


def test_every_image_outside_the_training_set_is_embedded_and_the_tests_as_in_the_evaluation(
    finished: Path, tmp_path: Path
) -> None:
    results = finished / "results" / "tiny"
    table, arrays = embed(results, tmp_path, batch_size=7)
    index = pd.read_csv(results / "data/images.csv")
    trained = set(pd.read_csv(results / "splits/run0/train_B.csv")["id"])
    assert trained <= set(index["id"])
    assert table["id"].tolist() == [name for name in index["id"] if name not in trained]
    assert arrays["id"].astype(str).tolist() == table["id"].tolist()
    of_type = {1: "light", 2: "light", 5: "dark", 6: "dark"}
    wanted = table["skin_type"].map(of_type)
    assert table["group"].where(table["group"].notna(), None).tolist() == wanted.where(wanted.notna(), None).tolist()
    with np.load(results / "runs/B/run0/embeddings.npz") as evaluated:
        rows = table.set_index("id").index.get_indexer(evaluated["id"].astype(str))
        assert (rows >= 0).all()
        np.testing.assert_allclose(arrays["mu_pooled"][rows], evaluated["mu_pooled"], rtol=1e-4, atol=1e-5)


def test_all_latents_are_those_whose_means_are_the_pooled_ones(finished: Path, tmp_path: Path) -> None:
    results = finished / "results" / "tiny"
    _, pooled = embed(results, tmp_path)
    means = pooled["mu_pooled"]
    _, arrays = embed(results, tmp_path, latents="full")
    np.testing.assert_allclose(arrays["mu"].mean(axis=(2, 3)), means, rtol=1e-5, atol=1e-6)


def test_near_duplicates_of_training_images_count_as_seen_where_asked(finished: Path, tmp_path: Path) -> None:
    results = finished / "results" / "tiny"
    plain, _ = embed(results, tmp_path)
    trained = pd.read_csv(results / "splits/run0/train_B.csv")["id"].iloc[0]
    twin, other = plain["id"].iloc[0], plain["id"].iloc[1:3]
    clusters = pd.DataFrame({"id": [trained, twin, *other], "cluster": [0, 0, 1, 1]})
    clusters.to_csv(tmp_path / "isolated.csv", index=False)
    table, _ = embed(results, tmp_path, "--clusters", str(tmp_path / "isolated.csv"))
    assert set(plain["id"]) - set(table["id"]) == {twin}


@pytest.mark.parametrize("leakage", ["none", "duplicates"])
def test_a_source_of_unseen_images_is_planned_with_the_models_own_rule(repository: Path, leakage: str) -> None:
    source = {"name": "rest", "kind": "vae", "images": "unseen", "attributes": [TONE], "diseases": []}
    overlay = {"probe": {"sources": [source | {"latents": "full"}]}, "splits": {"leakage": leakage}}
    (repository / "rest.yaml").write_text(yaml.safe_dump(overlay))
    options = ["--configfile", "tiny.yaml", "rest.yaml", "--dry-run", "--printshellcmds"]
    plan = snakemake(repository, "results/tiny/probes/rest.A.run0/folds.csv", *options)
    assert '"latents": "full"' in plan
    assert "--clusters results/tiny/data/isolated.csv --train-set A" in plan
    isolated = re.search(r"isolate_images\.py .*", plan)
    assert isolated
    assert ("--duplicates results/tiny/data/duplicates.csv" in isolated[0]) == (leakage == "duplicates")
    assert '"array": "mu"' in plan
    assert "rule evaluate_vae" not in plan
