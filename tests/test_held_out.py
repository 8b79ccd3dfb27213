"""A model is scored only on images that it was not trained on, and only if it is the model of the draw."""

import json
from pathlib import Path

import pytest

from evenhand.splits.manifests import read_cluster_of, seen_in_training, sum_of_draw, training_images, write_draw
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import sha256_of, write_json

DRAWN = {"light": ["a", "b"], "dark": ["c", "c"]}
HASHES = ["a", "b", "c", "c"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A trained model with its record, and its manifest beside."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    record = {"train_set": "B", "run": 1, "manifest_sha256": sum_of_draw(HASHES), "model_sha256": sha256_of(path)}
    write_json(record, tmp_path / "run.json")
    write_draw(DRAWN, 1, "B", tmp_path / "train_B.csv")
    return path


def check(model: Path, test: list[str], clusters: dict[str, str] | None = None) -> list[str]:
    return training_images(model, model.with_name("train_B.csv"), "B", 1, test, clusters)


def test_the_images_of_its_draw_come_back_in_order(model: Path) -> None:
    assert check(model, ["x", "y"]) == HASHES
    assert check(model, ["x", "y"], {"x": "1", "z": "2", "a": "2"}) == HASHES


def test_a_changed_draw_is_refused_with_both_sums(model: Path) -> None:
    changed = {"light": ["b", "a"], "dark": ["c", "c"]}  # another order trains another model
    write_draw(changed, 1, "B", model.with_name("train_B.csv"))
    with pytest.raises(UserError, match=f"expected {sum_of_draw(['b', 'a', 'c', 'c'])}, found {sum_of_draw(HASHES)}"):
        check(model, ["x"])


@pytest.mark.parametrize(
    ("key", "value"), [("train_set", "C"), ("run", 2), ("manifest_sha256", "0"), ("model_sha256", "0")]
)
def test_a_record_of_something_else_is_refused(model: Path, key: str, value: object) -> None:
    record = json.loads(model.with_name("run.json").read_text())
    write_json(record | {key: value}, model.with_name("run.json"))
    with pytest.raises(UserError, match="expected"):
        check(model, ["x"])
    del record[key]
    write_json(record, model.with_name("run.json"))
    with pytest.raises(UserError, match=f"does not say {key}"):
        check(model, ["x"])


def test_another_model_file_is_refused(model: Path) -> None:
    model.write_bytes(b"weightz")
    with pytest.raises(UserError, match="not the file that this training wrote"):
        check(model, ["x"])


def test_a_test_image_that_was_trained_on_is_refused_and_named(model: Path) -> None:
    with pytest.raises(UserError, match=r"of 3, 2 are among its training images.*and 0 are of the patient.*such as b"):
        check(model, ["x", "b", "c"])


def test_a_near_duplicate_of_a_training_image_is_refused_where_clusters_count(model: Path) -> None:
    with pytest.raises(UserError, match=r"of 2, 0 are among .* and 1 are of the patient or near-dup.* such as y"):
        check(model, ["x", "y"], {"y": "7", "b": "7", "x": "8"})


def test_an_edited_manifest_is_refused(model: Path) -> None:
    manifest = model.with_name("train_B.csv")
    manifest.write_text(manifest.read_text().replace("light,a", "light,d"))
    with pytest.raises(UserError, match="changed since it was drawn"):
        check(model, ["x"])


def test_what_counts_as_seen(tmp_path: Path) -> None:
    (tmp_path / "duplicates.csv").write_text("id,cluster\na,0\nx,0\ny,1\nz,1\n")
    cluster_of = read_cluster_of(tmp_path / "duplicates.csv")
    assert seen_in_training(["a", "b", "x", "y", "w"], ["a", "b"], cluster_of) == [True, True, True, False, False]
    assert seen_in_training(["x"], ["a"], read_cluster_of(None)) == [False]
