"""The gate between packing and the rest: enough photographs, and a record of which ones they are."""

import json
from pathlib import Path

import pytest
from packing_study import PHOTOGRAPHS, Study, folder_of
from paper import LIGHT_DARK

from check_images import main as check_images
from evenhand.workflow.errors import UserError


def record(study: Study, synthetic: bool = False, minimum: float = 0.0) -> dict[str, object]:
    options = {"--availability": "availability.csv", "--images": "images.npy", "--index": "images.csv"}
    options |= {"--output": "images.json"}
    paths = [text for option, name in options.items() for text in (option, str(study.path / name))]
    config = {"groups": LIGHT_DARK, "min_available": minimum, "synthetic": synthetic}
    check_images([*paths, "--config", json.dumps(config)])
    result: dict[str, object] = json.loads((study.path / "images.json").read_text())
    return result


def test_the_record_changes_with_pixels_and_labels_but_not_with_where_images_were_found(tmp_path: Path) -> None:
    hashes = list(PHOTOGRAPHS)[:4]
    files = {image_id: PHOTOGRAPHS[image_id] for image_id in hashes}
    here = Study(tmp_path / "s", hashes, [{"folder": str(folder_of(tmp_path / "f", files))}])
    here.pack()
    there = Study(tmp_path / "t", hashes, [{"folder": str(folder_of(tmp_path / "g", files)), "verify": False}])
    there.pack()
    assert record(here) == record(there)
    assert record(here)["n"] == 4
    assert record(here)["synthetic"] is False
    assert record(here, synthetic=True)["synthetic"] is True
    relabelled = (there.path / "images.csv").read_text().replace(",1,1,x", ",2,1,x", 1)
    (there.path / "images.csv").write_text(relabelled)
    assert record(here)["sha256"] == record(there)["sha256"]
    assert record(here)["index_sha256"] != record(there)["index_sha256"]


def test_too_few_photographs_stop_the_study_with_both_counts_and_a_way_out(tmp_path: Path) -> None:
    hashes = list(PHOTOGRAPHS)[:8]  # four light, four dark
    files = {image_id: PHOTOGRAPHS[image_id] for image_id in [*hashes[:2], *hashes[4:6], hashes[2]]}
    study = Study(tmp_path / "s", hashes, [{"folder": str(folder_of(tmp_path / "f", files))}])
    study.pack()
    assert record(study, minimum=0.25)["n"] == 5
    with pytest.raises(UserError, match=r"26% of each group; found 4 of 4 light images and 1 of 4 dark.*missing: 3"):
        record(study, minimum=0.26)
