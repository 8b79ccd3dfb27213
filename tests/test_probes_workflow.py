"""The published experiment on chest X-ray embeddings, from the configuration to the page, on generated look-alikes."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from workflow import ROOT, copy_workflow, described_columns, planned, snakemake

from evenhand.report.page import read_dictionary

OPTIONS = ["--configfile", "studies/cxr.yaml", "small.yaml"]
SMALL = {
    "probe": {
        "folds": 4,
        "fractions": [0, 0.1, 0.5],
        "random_draws": 2,
        "lookalike": {"patients": 120, "features": 24},
        "mlp": {"hidden_small": [16], "batch_size": 32, "learning_rate": 0.01, "max_epochs": 10},
    }
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_workflow(tmp_path_factory.mktemp("cxr") / "project")
    (folder / "small.yaml").write_text(yaml.safe_dump(SMALL))
    assert set(planned(folder, "probe", *OPTIONS)) == {
        *(
            "make_lookalike",
            "write_settings",
            "check_sources",
            "probe_embeddings",
            "summarise_probes",
            "plot_probe_curves",
            "probe_page",
            "probe",
        ),
    }  # no image stage at all
    snakemake(folder, "probe", *OPTIONS)
    return folder / "results" / "cxr"


@pytest.mark.slow
def test_the_table_has_the_posters_rows(done: Path) -> None:
    table = pd.read_csv(done / "tables" / "probe_poster.csv")
    assert set(zip(table["Dataset"], table["Model"], strict=True)) == {
        (dataset, model) for dataset in ("MIMIC-CXR", "CheXpert") for model in ("CXR-F", "B-CLIP")
    }
    mimic = table[(table["Dataset"] == "MIMIC-CXR") & (table["Model"] == "CXR-F")]
    attributes = ["Sex", "Age", "Eth. B.", "Eth. M.", "Insurance"]
    assert mimic["Task"].tolist() == [task for name in attributes for task in (name, "Disease*")]
    assert list(table.columns[-3:]) == ["0%", "10%", "50%"]
    assert table["0%"].str.fullmatch(r"\d+\.\d ± \d+\.\d").all()


@pytest.mark.slow
def test_what_was_coded_is_found_and_spread(done: Path) -> None:
    """The look-alike codes sex by as much in every feature: easily read, and the best features are like any."""
    curves = pd.read_csv(done / "tables" / "probe_curves.csv")
    sex = curves[(curves["attribute"] == "Sex") & (curves["target"] == "Sex") & (curves["probe"] == "mlp")]
    assert (sex[sex["removal"] == "none"]["mean_auc"] > 0.8).all()
    half = sex[sex["fraction"] == 0.5].pivot_table(index=["dataset", "model"], columns="removal", values="mean_auc")
    assert half["top"].min() > 0.75
    assert (half["random"] - half["top"]).mean() < 0.06
    assert sex[sex["removal"] == "shuffled"]["mean_auc"].mean() == pytest.approx(0.5, abs=0.08)


@pytest.mark.slow
def test_tables_match_the_dictionary_and_the_page_shows_them(done: Path) -> None:
    dictionary = read_dictionary(ROOT / "schemas" / "tables.yaml")
    page = (done / "probes.html").read_text(encoding="utf-8")
    for path in sorted((done / "tables").glob("probe_*.csv")):
        described = described_columns(dictionary[path.stem])
        columns = [name for name in pd.read_csv(path).columns if "$other" not in described or not name.endswith("%")]
        assert columns == [name for name in described if name != "$other"], path.stem
    for claim in ("P1", "P2", "P3", "P4"):
        assert f'id="claim-{claim}"' in page
    assert "Synthetic data" in page
    for words in ("Left out", "Kept together", "images of one subject_id (120 groups)", "race UNKNOWN: "):
        assert words in page
    assert "cells of race that `values` does not list are left out, such as &#39;UNKNOWN&#39;" in page  # a warning
    assert "can be decoded, not that a model uses it" in page
    assert 'id="training"' not in page


def test_all_latents_are_kept_and_probed_where_a_source_asks_for_them(repository: Path) -> None:
    tone = {"name": "tone", "kind": "binary", "columns": ["group"], "values": {"light": "light", "dark": "dark"}}
    source = {"name": "all", "kind": "vae", "latents": "full", "attributes": [tone], "diseases": []}
    (repository / "all.yaml").write_text(yaml.safe_dump({"probe": {"sources": [source]}}))
    target = "results/tiny/probes/all.A.run0/folds.csv"
    for overlay, full in ((["all.yaml"], True), ([], False)):
        name = target if full else target.replace("/all.", "/vae.")
        plan = snakemake(repository, name, "--configfile", "tiny.yaml", *overlay, "--dry-run", "--printshellcmds")
        assert f'"full_latents": {str(full).lower()}' in plan
        assert f'"array": "{"mu" if full else "mu_pooled"}"' in plan
