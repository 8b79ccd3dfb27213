"""Another workflow imports this one by `module` and uses its rules."""

from pathlib import Path

import yaml
from snakemake.utils import update_config
from workflow import ROOT, TINY, planned, snakemake

IMPORTER = """
import yaml

# All of evenhand's keys; what differs is changed here.
with open({config!r}) as file:
    evenhand_config = yaml.safe_load(file)
evenhand_config["study"] = "imported"


module evenhand:
    snakefile:
        {snakefile!r}
    config:
        evenhand_config


use rule * from evenhand as evenhand_*


rule summary:
    default_target: True
    input:
        table="results/imported/tables/fst_counts.csv",
    output:
        "summary.txt",
    localrule: True
    shell:
        "wc -l < {{input.table}} > {{output}}"
"""


def importer(folder: Path) -> Path:
    """A workflow in a folder of its own that uses evenhand's rules on the tiny study."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(config, yaml.safe_load(TINY.read_text()))
    (folder / "evenhand.yaml").write_text(yaml.safe_dump(config))
    snakefile = IMPORTER.format(config="evenhand.yaml", snakefile=str(ROOT / "Snakefile"))
    (folder / "Snakefile").write_text(snakefile)
    profile = folder / "profiles" / "cpu"
    profile.mkdir(parents=True)
    (profile / "profile.yaml").write_text("cores: 2\n")
    return folder


def test_rules_of_the_module_run(tmp_path: Path) -> None:
    folder = importer(tmp_path)
    snakemake(folder)
    table = folder / "results" / "imported" / "tables" / "fst_counts.csv"
    assert int((folder / "summary.txt").read_text()) == len(table.read_text().splitlines())


def test_the_whole_study_is_planned_under_the_modules_names(tmp_path: Path) -> None:
    jobs = planned(importer(tmp_path), "evenhand_all")
    assert jobs["evenhand_train_vae"] == 6
    assert jobs["evenhand_report_page"] == 1
