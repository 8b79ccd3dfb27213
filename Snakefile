# Are generative models fair? From the metadata table to the report; see README.md.
import os
from pathlib import Path

from snakemake.utils import min_version

min_version("9.20")


# Every key with its value in the paper's study, whatever folder Snakemake works in.
configfile: os.path.relpath(Path(str(workflow.current_basedir)) / "config.yaml")


if Path("config.yaml").exists() and Path.cwd() != Path(str(workflow.current_basedir)).resolve():

    # That folder's own changes single keys of it.
    configfile: "config.yaml"


report: "report/workflow.rst"


include: "rules/workplace.smk"
include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/images.smk"
include: "rules/splits.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/stats.smk"
include: "rules/probe.smk"
include: "rules/settings.smk"
include: "rules/figures.smk"
include: "rules/report.smk"


# A line that says how far the study is and how long it will take.
onstart:
    say_bounds(workflow)
    drop_rate_limit(workflow)
    follow_jobs(workflow)


rule all:
    default_target: True
    input:
        rules.splits.input,
        rules.stats.input,
        rules.figures.input,
        rules.report.input,
        rules.provenance.input,
    localrule: True


# What the table of annotations alone can tell, without a photograph.
rule metadata:
    input:
        rules.plan_design.output,
        rules.summarise_metadata.output,
        [rules.plot_fst_counts.output] if config["data"]["skin"] else [],
        rules.plot_prevalence.output,
    localrule: True
