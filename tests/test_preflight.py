"""What is wrong with a study is said before it costs anything: all of it, with what was found."""

import copy
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from paper import LIGHT_DARK
from snakemake.utils import update_config
from workflow import ROOT, TINY

from check_run import main as check_run
from check_sources import main as check_sources
from check_study import main as check_study
from evenhand.splits.preflight import bytes_needed, disk_mistakes
from evenhand.workflow.errors import UserError

CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())


def study(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """The tiny study with probes and local photographs, with other blocks."""
    config = copy.deepcopy(CONFIG)
    update_config(config, yaml.safe_load(TINY.read_text()))
    config["data"] |= {"synthetic": None, "metadata": "mine.csv", "sources": [{"folder": ".", "verify": False}]}
    config["report"] = {"patient_images": True, "probes": True}
    config["probe"] = config["probe"] | {"folds": 3}
    update_config(config, changes)
    return config


def table(n: int = 120, **columns: object) -> pd.DataFrame:
    """A checked table of one source and one level of conditions."""
    kinds = np.arange(n) % 6 + 1
    rows = {
        "id": [f"image {number}" for number in range(n)],
        "skin_type": kinds,
        "second_skin_type": -1,
        "condition": np.where(np.arange(n) % 4 == 0, "wart", "nevus"),
        "condition_2": "",
        "condition_3": "",
        "qc": "",
        "url": "",
        "checksum": "",
        "source": "unknown",
    }
    return pd.DataFrame(rows | columns)


def check(folder: Path, config: dict[str, Any], metadata: pd.DataFrame) -> None:
    metadata.to_csv(folder / "metadata.csv", index=False)
    arguments = ["--metadata", folder / "metadata.csv", "--config", json.dumps(config), "--results", folder / "results"]
    check_study([*map(str, arguments), "--downloads", str(folder), "--output", str(folder / "checked.txt")])


def test_a_sound_study_passes_and_says_what_will_not_be_probed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check(tmp_path, study(), table())
    said = capsys.readouterr().out
    assert "will not be probed: atlas (attribute): the data hold one source (unknown)" in said
    assert "will not be probed: malignant (disease): the data have no condition_3" in said
    assert "tone" not in said
    assert (tmp_path / "checked.txt").is_file()


def test_all_mistakes_are_listed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)  # as if it were not installed
    attributes = [
        {"name": "sex", "kind": "binary", "columns": ["sex"]},
        {"name": "atlas", "kind": "binary", "columns": ["source"], "values": {"a": "a", "b": "b"}},
    ]
    config = study(
        data={"sources": [{"folder": "nowhere"}, {"archive": __file__}, {"urls": True}]},
        splits={"test_size": 100, "groups": [LIGHT_DARK[0], LIGHT_DARK[1] | {"where": {"skin_type": [6]}}]},
        loss={"perceptual_weights": "weights.pth"},
        evaluate={"extractor": "local-dir:nowhere", "lpips": "lpips.pth"},
        probe={"sources": [{"name": "vae", "kind": "vae", "attributes": attributes, "diseases": []}]},
    )
    with pytest.raises(UserError) as error:
        check(tmp_path, config, table())
    for expected in (
        "expected a folder at nowhere; nothing is there",
        "120 ids that are no MD5 and have no checksum, such as 'image 0'. With verify: false",
        "{urls: true} asks for the URLs of the table; found none",
        "light: needed 108, found 40; dark: needed 108, found 20",
        "skin_type '1' 20, '2' 20, '3' 20",
        "weights.pth is none",
        "evaluate.extractor: local-dir:nowhere needs the package open_clip_torch",
        "evaluate.lpips names lpips.pth, which is not a file",
        "vae: sex needs the column 'sex'",
        "vae: atlas: no row has the class 'a'",
    ):
        assert expected in str(error.value), expected
    assert not (tmp_path / "checked.txt").exists()


def test_a_group_without_rows_is_named_with_the_types_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"splits\.groups: dark: expected rows with \{'skin_type': \[5, 6\]\}.*by cell: .*'1' 120",
    ):
        check(tmp_path, study(), table(skin_type=1))


def test_a_full_disk_is_seen_before(tmp_path: Path) -> None:
    config = study(splits={"runs": 10}, loss={"perceptual_weights": "imagenet"})
    needed = bytes_needed(config, table(), 1_000_000, tmp_path)
    assert needed["weights of all models"] == 3 * 10 * 4_000_000
    assert needed["packed images"] == 120 * 16 * 16 * 3
    (tmp_path / "vgg19-dcbb9e9d.pth").touch()
    assert "VGG19" not in bytes_needed(config, table(), 1_000_000, tmp_path)
    total = sum(needed.values())
    assert not list(disk_mistakes(needed, tmp_path, 2 * total))
    assert "GB are free" in next(disk_mistakes(needed, tmp_path, total))
    # What is written already is not needed again.
    (tmp_path / "written").write_bytes(bytes(120 * 16 * 16 * 3))
    assert not list(disk_mistakes({"packed images": 120 * 16 * 16 * 3}, tmp_path, 120 * 16 * 16))


def test_a_class_too_rare_for_the_folds_of_a_run_is_seen_before_training(tmp_path: Path) -> None:
    images = table()
    images.to_csv(tmp_path / "images.csv", index=False)
    # Two of the twenty test images are warts: too few for three folds.
    groups = {"light": [1, 2], "dark": [5, 6]}
    rows = []
    for group, kinds in groups.items():
        members = images[images["skin_type"].isin(kinds)]
        test = pd.concat([members[members["condition"] == "wart"][:1], members[members["condition"] == "nevus"][:9]])
        rows.append(pd.DataFrame({"run": 0, "role": f"test_{group}", "group": group, "id": test["id"]}))
    pd.concat(rows).to_csv(tmp_path / "test.csv", index=False)
    wart = {"name": "wart", "kind": "binary", "columns": ["condition"]}
    tone = {"name": "tone", "kind": "binary", "columns": ["group"]}

    def check_probes(*attributes: dict[str, Any]) -> None:
        source = {"name": "vae", "kind": "vae", "attributes": [tone, *attributes], "diseases": []}
        config = study(probe={"sources": [source]})
        images[["id"]].assign(cluster=images["id"]).to_csv(tmp_path / "isolated.csv", index=False)
        paths = ["--images", tmp_path / "images.csv", "--test", tmp_path / "test.csv"]
        paths += ["--clusters", tmp_path / "isolated.csv"]
        check_run([*map(str, paths), "--config", json.dumps(config), "--output", str(tmp_path / "checked.txt")])

    with pytest.raises(UserError, match="vae: wart: 3 folds need 3 groups in every class"):
        check_probes(wart)
    check_probes(wart | {"optional": True})
    assert (tmp_path / "checked.txt").is_file()


def test_a_batch_of_one_image_at_one_pixel_is_refused_before_training(tmp_path: Path) -> None:
    # 16 pixels and four stages leave one pixel; 120 rows have 40 of each group, so sets of 20 beside tests of 20.
    images = table()
    images.to_csv(tmp_path / "images.csv", index=False)
    images[["id"]].to_csv(tmp_path / "test.csv", index=False)
    images[["id"]].assign(cluster=images["id"]).to_csv(tmp_path / "isolated.csv", index=False)
    names = {"images": "images.csv", "test": "test.csv", "clusters": "isolated.csv", "output": "checked.txt"}
    options = [part for name, file in names.items() for part in (f"--{name}", str(tmp_path / file))]

    def check_batches(batch_size: int, **model: object) -> None:
        changed = study(train={"batch_size": batch_size}, model=model, report={"probes": False})
        check_run([*options, "--config", json.dumps(changed)])

    for batch_size in (1, 19):
        with pytest.raises(UserError, match=f"last batch of 20 images, {batch_size} at a time, has one image"):
            check_batches(batch_size)
        check_batches(batch_size, norm="group")
        check_batches(batch_size, multipliers=[1, 1, 1])
    check_batches(18)
    check_batches(20)


def test_files_of_embeddings_are_checked_before_they_are_probed(tmp_path: Path) -> None:
    ids = [f"{number:03}" for number in range(30)]
    pd.DataFrame({"id": ids, "sex": ["F", "M"] * 15}).to_csv(tmp_path / "t.csv", index=False)
    np.savez(tmp_path / "e.npz", id=np.array(ids), x=np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32))
    source = {
        **{"name": "s", "kind": "file", "dataset": "d", "model": "m", "id": "id", "group": None},
        **{"embeddings": str(tmp_path / "e.npz"), "metadata": str(tmp_path / "t.csv"), "diseases": []},
    }

    def check_probes(*sources: dict[str, Any]) -> None:
        config = {"seed": 1, "probe": CONFIG["probe"] | {"folds": 3, "sources": list(sources)}}
        check_sources(["--config", json.dumps(config), "--output", str(tmp_path / "checked.txt")])

    check_probes(source | {"attributes": [{"name": "sex", "kind": "binary", "columns": ["sex"]}]})
    assert (tmp_path / "checked.txt").is_file()
    with pytest.raises(UserError) as error:
        check_probes(
            source | {"attributes": [{"name": "age", "kind": "binary", "columns": ["age"]}]},
            source | {"name": "other", "id": "name", "attributes": []},
        )
    assert "missing: age" in str(error.value)
    assert "missing: name" in str(error.value)
