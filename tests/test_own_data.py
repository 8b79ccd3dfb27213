"""The README's recipe for one's own data, to the report, on data that are not shaped like Fitzpatrick17k."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from workflow import ROOT, TINY, snakemake

TYPES = {"12": 210, "34": 160, "56": 100}  # codes as in DDI, and a brightness
PER_TYPE = 50


@pytest.fixture
def mine(repository: Path) -> Path:
    """A repository with a table and images as DDI has them, and the study of the README at tiny size."""
    folder = repository / "mine" / "images"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(3 * PER_TYPE):
        code, name = list(TYPES)[number % 3], f"{number + 1:06d}.png"
        pixels = TYPES[code] + np.array([20, 0, -20]) + rng.normal(0, 20, (24, 24, 3)) + rng.normal(0, 15, 3)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
        disease = ["melanoma", "NA", "nevus", "eczema"][number % 4]
        rows.append((number + 1, name, code, disease == "melanoma", disease))
    table = pd.DataFrame(rows, columns=["DDI_ID", "DDI_file", "skin_tone", "malignant", "disease"])
    table.to_csv(repository / "mine" / "ddi_metadata.csv", index=False)
    recipe = re.search(r"## Your own data.*?```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert recipe
    config = yaml.safe_load(recipe[1])
    tiny = yaml.safe_load(TINY.read_text())
    config |= {block: tiny[block] for block in ("model", "loss", "train", "evaluate")}
    config["data"]["image_size"] = 16
    config["splits"] |= {"runs": 2, "test_size": 20, "train_size": 24, "min_train_size": 8}
    config["probe"] = {"folds": 3, "fractions": [0, 0.5], "random_draws": 1, "mlp": {"max_epochs": 2}}
    (repository / "studies" / "mine.yaml").write_text(yaml.safe_dump(config))
    return repository


@pytest.mark.slow
def test_the_recipe_ends_in_a_report(mine: Path) -> None:
    snakemake(mine, "--configfile", "studies/mine.yaml")
    results = mine / "results" / "mine"
    tables = {path.stem: pd.read_csv(path, keep_default_na=False) for path in (results / "tables").glob("*.csv")}

    counts = tables["fst_counts"].set_index("skin_type")
    assert counts["n"].to_dict() == {-1: 0, 1: PER_TYPE, 2: 0, 3: PER_TYPE, 4: 0, 5: PER_TYPE, 6: 0}
    assert counts["group"].to_dict()[1] == "light"
    card = tables["dataset_card"].set_index(["item", "group"])["number"]
    assert card["rows of the metadata"].astype(int).to_dict() == {"light": 50, "dark": 50, "all": 150}
    index = pd.read_csv(results / "data" / "images.csv", dtype=str, keep_default_na=False)
    assert index["id"].tolist() == [str(number + 1) for number in range(150)]
    assert set(index["condition"]) == {"melanoma", "NA", "nevus", "eczema"}

    # What the table does not tell has no row and no number.
    assert not {"source", "annotators"} & set(tables["dataset_card"]["section"])
    assert set(tables["subsets"]["subset"]) == {"all"}
    assert set(tables["adjusted"]["adjustment"]) == {"none", "condition"}
    assert len(tables["tone_by_source"]) == 0
    assert set(tables["availability"]["by"]) == {"skin_type", "group", "condition"}
    assert set(tables["prevalence"]["level"]) == {"fine"}
    assert set(tables["probe_counts"]["target"]) == {"(all)", "group"}
    left_out = tables["probe_left_out"].set_index("target")["reason"]
    assert left_out["atlas"] == "the data hold one source (unknown)"
    assert left_out["malignant"] == left_out["three-class"] == "the data have no condition_3"

    claims = tables["claims"].set_index("claim")
    assert claims.loc["C8", "verdict"] == "not testable"
    assert "the data have 1" in claims.loc["C8", "sentence"]
    assert tables["probe_claims"].set_index("claim").loc["P3", "verdict"] == "not testable"

    page = (results / "report.html").read_text()
    for sentence in (
        "not probed: atlas (attribute, VAE): the data hold one source (unknown)",
        "All images are from one source as far as the table tells (unknown)",
        "The table has 1 of 3 levels of conditions",
        "No row has a skin type in second_skin_type",
    ):
        assert sentence in page, sentence
    assert "dermaamin" not in re.sub("<pre.*?</pre>", "", page, flags=re.DOTALL)


def test_a_target_of_ones_own_that_the_data_lack_is_refused_before_packing(mine: Path) -> None:
    path = mine / "studies" / "mine.yaml"
    config = yaml.safe_load(path.read_text())
    sex = {"name": "sex", "kind": "binary", "columns": ["sex"]}
    config["probe"]["sources"] = [{"name": "vae", "kind": "vae", "attributes": [sex], "diseases": []}]
    path.write_text(yaml.safe_dump(config))
    output = snakemake(mine, "--configfile", "studies/mine.yaml", "--until", "pack_images", check=False)
    assert "vae: sex needs the column 'sex'" in output
    assert not (mine / "results" / "mine" / "data" / "images.npy").exists()
