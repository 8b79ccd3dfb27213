"""The line from metadata to report at tiny size, and what a change of any part runs again."""

import json
import os
import random
import re
import shutil
import time
from pathlib import Path
from urllib.request import urlopen

import pandas as pd
import pytest
import yaml
from paper import mix
from workflow import described_columns, overlay, planned, snakemake

from evenhand.evaluation.measures import MEASURES
from evenhand.report.claims import VERDICTS
from evenhand.report.page import read_dictionary


def test_the_papers_study_has_thirty_trainings(repository: Path) -> None:
    jobs = planned(repository)
    assert jobs["train_vae"] == 30
    assert jobs["evaluate_vae"] == 30
    assert (jobs["draw_test"], jobs["draw_train"]) == (10, 30)


def test_lint(repository: Path) -> None:
    assert "Congratulations, your workflow is in a good condition!" in snakemake(repository, "--lint")


def test_the_line_ends_with_its_products(finished: Path) -> None:
    results = finished / "results" / "tiny"
    claims = pd.read_csv(results / "tables" / "claims.csv")
    assert {"C1", "C2", "C3", "C4", "C5", "C6", "C7", "C10"} <= set(claims["claim"])
    assert set(claims["verdict"]) <= set(VERDICTS)
    figures = {
        *("reconstructions_mixed", "fst_counts", "mse_boxes", "reconstructions_light", "reconstructions_dark"),
        *("latent_std_boxes", "prevalence", "condition_mse"),
    }
    for name in figures:
        for kind in ("svg", "png"):
            assert (results / "figures" / f"{name}.{kind}").stat().st_size > 1000
    report = (results / "report.html").read_text()
    assert "synthetic" in report.lower()


def test_every_column_of_every_table_is_documented(finished: Path, repository: Path) -> None:
    dictionary = read_dictionary(repository / "schemas" / "tables.yaml")
    tables = sorted((finished / "results/tiny/tables").glob("*.csv"))
    assert len(tables) > 20
    # Those of codecs, and by a file that this study does not have.
    elsewhere = {name for name, measure in MEASURES.items() if measure.needs in ("bits", "lpips")}
    for path in tables:
        described = [name for name in described_columns(dictionary[path.stem]) if name not in elsewhere]
        assert pd.read_csv(path).columns.tolist() == described, path.stem


def test_numbers_agree_from_pixels_to_table(finished: Path) -> None:
    # The mean MSE in the table is the mean over the rows of the evaluations, which are the images of the manifest.
    results = finished / "results" / "tiny"
    runs = pd.read_csv(results / "tables" / "runs.csv")
    assert len(runs) == 3 * 2 * 2
    for (train_set, run, group), row in runs.set_index(["train_set", "run", "group"]).iterrows():
        images = pd.read_parquet(results / "runs" / train_set / f"run{run}" / "evaluation.parquet")
        images = images[images["group"] == group]
        manifest = pd.read_csv(results / "splits" / f"run{run}" / "test.csv", dtype=str)
        assert set(images["id"]) == set(manifest.loc[manifest["role"] == f"test_{group}", "id"])
        assert row["n_images"] == 20
        assert row["mse"] == pytest.approx(images["mse"].mean(), rel=1e-8)
        assert row["mse_unit"] == pytest.approx(images["mse"].mean() / 4, rel=1e-8)


def test_the_record_names_the_data_as_synthetic(finished: Path) -> None:
    record = json.loads((finished / "results/tiny/runs/A/run0/run.json").read_text())
    assert record["synthetic"] is True


def test_a_second_call_does_nothing(finished: Path) -> None:
    assert planned(finished, "--configfile", "tiny.yaml") == {}


def test_touching_files_does_nothing(study: Path) -> None:
    for part in ("Snakefile", "config.yaml", "tiny.yaml"):
        (study / part).touch()
    for folder in ("rules", "workflow_scripts", "schemas", "report"):
        for path in (study / folder).rglob("*.*"):
            path.touch()
    (study / "results/tiny/data/images.npy").touch()
    assert planned(study, "--configfile", "tiny.yaml") == {}


def touch_all(folder: Path) -> None:
    """Give every file below `folder` a date of its own, in no order that its making had."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    random.Random(1).shuffle(files)
    for number, path in enumerate(files):
        os.utime(path, (time.time() - len(files) + number,) * 2)


def test_new_dates_and_copies_of_results_do_nothing(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy, copy_function=shutil.copyfile)
    touch_all(copy / "results")
    assert (copy / "results/tiny/perceptual/vgg19.safetensors").stat().st_size > 1_000_000
    assert planned(copy, "--configfile", "tiny.yaml") == {}
    # Whatever Snakemake takes for large, in a profile of one's own or by its own choice: dates repeat nothing that
    # takes long. 20 kB stand for the 1 MB of the paper's study, whose tables and pictures alone are compared by date.
    assert (copy / "results/tiny/runs/A/run0/evaluation.parquet").stat().st_size > 20_000
    jobs = planned(copy, "--configfile", "tiny.yaml", "--max-checksum-file-size", "20000")
    long = {"make_phantom", "pack_images", "find_duplicates", "train_vae", "evaluate_vae", "measure_ensemble"}
    assert not {*long, "perceptual_features", "draw_test", "draw_train", "measure_tone"} & set(jobs)


def test_another_draw_trains_and_evaluates_all_models(study: Path) -> None:
    module = study / "workflow_scripts" / "evenhand" / "splits" / "design.py"
    old = module.read_text()
    module.write_text(old.replace('design.seed, "test", group, run', 'design.seed, "other test", group, run'))
    assert module.read_text() != old
    jobs = planned(study, "--configfile", "tiny.yaml")
    of_draws = {"draw_test": 2, "draw_train": 6, "train_vae": 6, "evaluate_vae": 6, "measure_ensemble": 3}
    assert {rule: jobs.get(rule) for rule in of_draws} == of_draws
    assert not {"pack_images", "check_images"} & set(jobs)


def longest_commands(folder: Path, runs: int) -> dict[str, int]:
    """For each rule the length of its longest shell command in a study of 3 x `runs` models with probes."""
    (folder / "large.yaml").write_text(yaml.safe_dump({"splits": {"runs": runs}, "report": {"probes": True}}))
    output = snakemake(folder, "--configfile", "tiny.yaml", "large.yaml", "--dry-run", "--printshellcmds")
    lengths: dict[str, int] = {}
    for block in re.split(r"^(?:local)?rule (?=\w+:$)", output, flags=re.MULTILINE)[1:]:
        command = re.search(r"^Shell command: (.*)$", block, flags=re.MULTILINE)
        rule = block.partition(":")[0]
        lengths[rule] = max(lengths.get(rule, 0), len(command[1]) if command else 0)
    return lengths


@pytest.mark.slow
def test_no_command_grows_with_the_design(repository: Path) -> None:
    few, more = longest_commands(repository, 10), longest_commands(repository, 20)
    assert {"summarise_probes", "measure_ensemble", "describe_design", "report_page"} <= set(few)
    # Numbers below 10 have one digit, those below 20 two, a few times in a command.
    assert {rule: more[rule] - length for rule, length in few.items() if more[rule] - length > 16} == {}


@pytest.mark.slow
def test_two_thousand_models_fit_on_every_command_line(repository: Path) -> None:
    # The shell gets a command as one argument, and Linux allows 128 KiB for one.
    assert max(longest_commands(repository, 667).values()) < 100_000


def test_another_run_trains_its_own_models_only(study: Path) -> None:
    overlay(study, splits={"runs": 3})
    jobs = planned(study, "--configfile", "tiny.yaml")
    assert jobs["train_vae"] == jobs["evaluate_vae"] == 3
    assert (jobs["draw_test"], jobs["draw_train"]) == (1, 3)
    assert "pack_images" not in jobs


def test_another_training_set_trains_its_own_models_only(study: Path) -> None:
    sets = [{"name": name, "mix": mix(share)} for name, share in [("A", 0.0), ("B", 0.5), ("C", 1.0), ("D", 0.25)]]
    overlay(study, splits={"train_sets": sets})
    jobs = planned(study, "--configfile", "tiny.yaml")
    assert jobs["train_vae"] == jobs["evaluate_vae"] == jobs["draw_train"] == 2
    assert not {"pack_images", "draw_test"} & set(jobs)


def test_a_change_of_the_loss_trains_and_packs_nothing_else(study: Path) -> None:
    overlay(study, loss={"kl_scale": 0.5, "perceptual_weights": "random"})
    jobs = planned(study, "--configfile", "tiny.yaml")
    assert jobs["train_vae"] == jobs["evaluate_vae"] == 6
    assert not {"pack_images", "draw_test", "draw_train", "perceptual_features"} & set(jobs)


def test_a_change_of_figures_trains_nothing(study: Path) -> None:
    overlay(study, figures={"dpi": 90})
    jobs = planned(study, "--configfile", "tiny.yaml")
    assert jobs
    assert not {"train_vae", "evaluate_vae", "draw_test", "draw_train", "pack_images", "summarise_runs"} & set(jobs)


def test_the_figures_of_an_edited_module_are_redrawn_and_no_other(study: Path) -> None:
    script = study / "workflow_scripts" / "evenhand" / "figures" / "metadata.py"
    script.write_text(script.read_text() + "\n# edited\n")
    assert set(planned(study, "--configfile", "tiny.yaml")) == {
        "plot_fst_counts",
        "plot_prevalence",
        "record_provenance",
        "report_page",
    }


def test_an_edited_library_module_reruns_its_importers(study: Path) -> None:
    module = study / "workflow_scripts" / "evenhand" / "evaluation" / "measures.py"
    module.write_text(module.read_text() + "\n# edited\n")
    jobs = planned(study, "--configfile", "tiny.yaml")
    assert jobs["evaluate_vae"] == 6
    assert "train_vae" not in jobs


def test_a_report_without_patients_holds_no_bitmap(study: Path) -> None:
    """Photographs could hide in an SVG as well: every picture of the page is taken apart."""
    embedded = re.compile(r"data:image/([\w+]+)[^\"]*")
    page = study / "results/tiny/report.html"
    assert any(b"<image" in urlopen(found[0]).read() for found in embedded.finditer(page.read_text()))
    overlay(study, report={"patient_images": False})
    snakemake(study, "report", "--configfile", "tiny.yaml")
    pictures = list(embedded.finditer(page.read_text()))
    assert len(pictures) > 10
    assert {found[1] for found in pictures} == {"svg+xml"}
    assert not any(b"<image" in urlopen(found[0]).read() for found in pictures)


@pytest.mark.slow
def test_tables_are_the_same_bytes_from_scratch(finished: Path, repository: Path) -> None:
    snakemake(repository, "stats", "--configfile", "tiny.yaml")
    tables = sorted(path.name for path in (repository / "results/tiny/tables").iterdir())
    assert "claims.csv" in tables
    for name in tables:
        first, second = (folder / "results/tiny/tables" / name for folder in (finished, repository))
        assert first.read_bytes() == second.read_bytes(), name


def test_snakemakes_own_report(study: Path, tmp_path: Path) -> None:
    snakemake(study, "--configfile", "tiny.yaml", "--report", str(tmp_path / "report.zip"))
    assert (tmp_path / "report.zip").stat().st_size > 10_000


@pytest.mark.parametrize("target", ["results/tiny/runs/Z/run0/model.safetensors", "results/tiny/runs/A/run9/run.json"])
def test_a_mistyped_target_fails_at_once(finished: Path, target: str) -> None:
    assert "MissingRuleException" in snakemake(finished, "--configfile", "tiny.yaml", "-n", target, check=False)


def test_a_mistake_in_the_configuration_is_one_message(repository: Path) -> None:
    output = snakemake(repository, "--config", "train={learning_rate: 1e-4}", "-n", check=False)
    assert "train.learning_rate: '1e-4' is not of type 'number'" in output
    assert "Traceback" not in output


def test_too_few_images_stop_the_study(repository: Path) -> None:
    output = snakemake(
        repository, "splits", "--configfile", "tiny.yaml", "--config", "splits={test_size: 200}", check=False
    )
    assert "too few images for the design" in output
    assert "Traceback" not in output
