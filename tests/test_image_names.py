"""Which image a file holds: by the name that the table gives it, or by its id."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from evenhand.data.image_names import Name, image_in, names_of_ids, stored_names
from evenhand.data.locations import ImageSource
from evenhand.data.packing import Settings, read_image
from evenhand.data.sources import locate_images
from evenhand.workflow.files import write_text


@pytest.mark.parametrize(
    ("path", "image"),
    [
        ("img/ISIC_1.jpg", "ISIC_1"),
        ("img/isic_1.JPEG", "ISIC_1"),
        ("img\\ISIC_1.webp", "ISIC_1"),
        ("ISIC_1", None),  # without an ending it is no image file
        ("ISIC_1.txt", None),
        (".ISIC_1.jpg", None),
        ("ISIC_1.v2.png", "ISIC_1.v2"),
        ("ISIC_1_mask.png", None),
    ],
)
def test_files_are_called_like_ids_with_any_ending(path: str, image: str | None) -> None:
    assert image_in(path, names_of_ids(["ISIC_1", "ISIC_1.v2"])) == image


def test_a_file_column_decides_and_its_folders_count(tmp_path: Path) -> None:
    write_text("id,file\na,one/1.png\nb,two/1.png\nc,2.png\nd,3\n", tmp_path / "metadata.csv")
    names = stored_names(tmp_path / "metadata.csv")
    assert names["1.png"] == [Name("a", "one/1.png"), Name("b", "two/1.png")]
    assert image_in("/data/one/1.png", names) == "a"
    assert image_in("/data/two/1.png", names) == "b"
    assert image_in("/data/three/1.png", names) is None
    assert image_in("one/1.jpg", names) is None  # a name with an ending is that file alone
    assert image_in("somewhere/2.PNG", names) == "c"
    assert image_in("somewhere/3.tif", names) == "d"
    assert image_in("a.png", names) is None


@given(st.lists(st.from_regex(r"[A-Za-z0-9 _()+-]{1,12}", fullmatch=True), min_size=1, unique_by=str.casefold))
def test_every_id_finds_its_own_file_and_no_other(ids: list[str]) -> None:
    names = names_of_ids(ids)
    assert [image_in(f"folder/{name}.png", names) for name in ids] == ids


def test_two_files_of_one_name_that_differ_are_not_chosen_between(tmp_path: Path) -> None:
    for folder, level in [("masks", 0), ("photographs", 200)]:
        (tmp_path / "f" / folder).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(tmp_path / "f" / folder / "1.png")
    places = locate_images([ImageSource(tmp_path / "f", "f", verify=False)], names_of_ids(["1"]), tmp_path)["1"]
    pixels, outcome = read_image("1", places, Settings(8))
    assert pixels is None
    assert outcome.status == "several-files"
    assert "masks" in outcome.detail
    assert "photographs" in outcome.detail
    same = (tmp_path / "f" / "photographs" / "1.png").read_bytes()
    (tmp_path / "f" / "masks" / "1.png").write_bytes(same)
    places = locate_images([ImageSource(tmp_path / "f", "f", verify=False)], names_of_ids(["1"]), tmp_path)["1"]
    pixels, outcome = read_image("1", places, Settings(8))
    assert pixels is not None
    assert int(pixels[0, 0, 0]) == 200
    assert outcome.status == "ok"
