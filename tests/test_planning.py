"""Planning: whole studies, the modules behind a script, what a job takes of the configuration."""

import copy
from pathlib import Path

import yaml
from workflow import ROOT, copy_workflow, planned, snakemake

from evenhand.probes.members import collected, members_of
from evenhand.workflow.config import draw_settings, table_settings
from evenhand.workflow.planning import modules_behind

CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())


def test_a_study_with_everything_is_planned(tmp_path: Path) -> None:
    options = ["--configfile", "studies/demo.yaml", "--config", "splits={starts: 2, runs: 4}"]
    jobs = planned(copy_workflow(tmp_path / "project"), *options, "--", "all", "metadata", "probe")
    # Starts share training and test sets; the models of all runs are compared by the first of each.
    assert {rule: jobs[rule] for rule in ("draw_train", "train_vae", "evaluate_vae", "measure_ensemble")} == {
        "draw_train": 12, "train_vae": 24, "evaluate_vae": 24, "measure_ensemble": 3,
    }  # fmt: skip
    assert {"train_vae", "make_phantom", "plan_design", "summarise_probes", "report_page", "probe_page"} <= set(jobs)


def test_a_type_of_gpu_for_every_job_is_refused(tmp_path: Path) -> None:
    folder = copy_workflow(tmp_path / "project")
    refused = snakemake(folder, "--dry-run", "--default-resources", "gpu_model=a100", check=False)
    assert "gpu_model among the default resources" in refused


def test_the_modules_behind_a_script_are_those_it_reaches(tmp_path: Path) -> None:
    files = {
        "script.py": "import os\nfrom house.rooms import kitchen\n",
        "house/__init__.py": "",
        "house/rooms/__init__.py": "",
        "house/rooms/kitchen.py": "def cook():\n    import house.fire\n",  # inside a function as well
        "house/fire.py": "from house.rooms import kitchen\n",  # in a circle
        "house/cellar.py": "import house.wine\n",
        "house/wine.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def behind(*loaded: str) -> set[str]:
        found = modules_behind(tmp_path / "script.py", tmp_path, [tmp_path / name for name in loaded])
        return {str(path.relative_to(tmp_path)) for path in found}

    reached = {*files} - {"script.py", "house/cellar.py", "house/wine.py"}
    assert behind() == reached
    assert behind("house/cellar.py") == {*files} - {"script.py"}


def test_a_draw_knows_its_own_training_set_and_no_other() -> None:
    config = copy.deepcopy(CONFIG)
    first, *others = config["splits"]["train_sets"]
    before = draw_settings(config), draw_settings(config, first["name"])
    assert before[1] == before[0] | {"mix": first["mix"]}
    config["splits"]["runs"] += 1
    for entry in others:
        entry["mix"] = {"light": 0.25, "dark": 0.75}
    assert (draw_settings(config), draw_settings(config, first["name"])) == before
    config["splits"]["test_size"] += 1
    assert draw_settings(config) != before[0]


def test_codes_of_skin_types_are_text() -> None:
    data = CONFIG["data"] | {"skin_types": {1: "I", "x": "II", "missing": ["?"]}, "metadata_sha256": "0" * 64}
    settings = table_settings(data, "fitzpatrick17k")
    assert settings["skin_types"] == {"1": "I", "x": "II", "missing": ["?"]}
    assert settings["sha256"] == ["0" * 64]
    assert settings["dataset"] == "fitzpatrick17k"


def test_a_control_of_one_source_is_one_of_the_tables() -> None:
    config = copy.deepcopy(CONFIG)
    tone = {"name": "tone", "kind": "binary", "columns": ["group"]}
    atlas = {"name": "atlas", "kind": "multiclass", "columns": ["atlas"], "control": True}
    config["probe"]["sources"] = [
        {"name": "vae", "kind": "vae", "attributes": [tone, atlas], "diseases": []},
        {"name": "clip", "kind": "openclip", "model": "hf-hub:a", "attributes": [atlas], "diseases": []},
    ]
    members = members_of(config["probe"]["sources"], ["A", "B"], 2)
    settings = collected(members.values(), config)
    assert settings["rules"]["controls"] == ["atlas"]
    assert [entry["member"] for entry in settings["embeddings"]] == list(members)
