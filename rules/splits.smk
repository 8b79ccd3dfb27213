# Splits. Needs the images that are there; makes a manifest of the test sets and of each training set, for every run.
from evenhand.workflow.config import draw_settings

LEAKAGE = config["splits"]["leakage"]
# Whether the images of a patient stay on one side.
PATIENTS = {
    "auto": "auto",
    "none": "apart",
    "duplicates": "apart",
    "patients": "together",
    "both": "together",
}


# What may not be on both sides of training and test.
use rule keep_together as isolate_images with:
    input:
        **code("isolate_images.py"),
        record="<results>/data/images.json",
        images=ancient("<results>/data/images.csv"),
        duplicates="<results>/data/duplicates.csv" if LEAKAGE in ("duplicates", "both") else [],
    output:
        clusters="<results>/data/isolated.csv",
        sums="<results>/data/isolated.sha256",
    log:
        "<logs>/isolate_images.log",
    benchmark:
        "<benchmarks>/isolate_images.tsv"
    localrule: True
    params:
        duplicates_option=lambda wildcards, input: "--duplicates" if input.duplicates else "",
        patients=PATIENTS[LEAKAGE],


rule draw_test:
    input:
        **code("make_splits.py"),
        **by_sum(clusters="<results>/data/isolated.csv"),
        record="<results>/data/images.json",
        images=ancient("<results>/data/images.csv"),
    output:
        manifest="<results>/splits/run{run}/test.csv",
        sum="<results>/splits/run{run}/test.sha256",
    log:
        "<logs>/draw_test/run{run}.log",
    benchmark:
        "<benchmarks>/draw_test/run{run}.tsv"
    localrule: True
    conda:
        environment("base")
    params:
        config=as_json(draw_settings(config)),
    shell:
        "python -u {input.script:q} --images {input.images:q} --clusters {input.clusters:q} --config {params.config:q}"
        " --run {wildcards.run} --output {output.manifest:q} > {log:q} 2>&1"


# From the images that the test sets leave.
rule draw_train:
    input:
        **code("make_splits.py"),
        **by_sum(clusters="<results>/data/isolated.csv"),
        record="<results>/data/images.json",
        images=ancient("<results>/data/images.csv"),
        test="<results>/splits/run{run}/test.csv",
        test_sum="<results>/splits/run{run}/test.sha256",
    output:
        manifest="<results>/splits/run{run}/train_{train_set}.csv",
        sum="<results>/splits/run{run}/train_{train_set}.sha256",
    log:
        "<logs>/draw_train/{train_set}.run{run}.log",
    benchmark:
        "<benchmarks>/draw_train/{train_set}.run{run}.tsv"
    localrule: True
    conda:
        environment("base")
    params:
        config=lambda wildcards: as_json(draw_settings(config, wildcards.train_set)),
    shell:
        "python -u {input.script:q} --images {input.images:q} --clusters {input.clusters:q} --config {params.config:q}"
        " --run {wildcards.run} --train-set {wildcards.train_set:q}"
        " --test {input.test:q} --output {output.manifest:q} > {log:q} 2>&1"


# As check_study, of what is known when the images of a run are drawn: before its models are trained.
rule check_run:
    input:
        **by_sum(clusters="<results>/data/isolated.csv"),
        images=ancient("<results>/data/images.csv"),
        test="<results>/splits/run{run}/test.csv",
    output:
        "<results>/checks/run{run}.txt",
    log:
        "<logs>/check_run/run{run}.log",
    benchmark:
        "<benchmarks>/check_run/run{run}.tsv"
    localrule: True
    conda:
        environment("torch")
    params:
        script=lambda wildcards, input: script("check_run.py"),
        config=lambda wildcards, input: json.dumps(config),
    shell:
        "python -u {params.script:q} --images {input.images:q} --test {input.test:q} --clusters {input.clusters:q}"
        " --config {params.config:q} --output {output:q} > {log:q} 2>&1"


rule describe_design:
    input:
        **code("describe_design.py"),
        **by_sum(metadata="<results>/data/metadata.csv"),
        design="<results>/settings/design.json",
        manifests=manifests(),
    output:
        table("design"),
    log:
        "<logs>/describe_design.log",
    benchmark:
        "<benchmarks>/describe_design.tsv"
    localrule: True
    conda:
        environment("base")
    params:
        splits_option=lambda wildcards, input: f"--splits {Path(input.manifests[0]).parents[1]}",
    shell:
        "python -u {input.script:q} --metadata {input.metadata:q} --design {input.design:q}"
        " {params.splits_option} --output {output:q} > {log:q} 2>&1"


# What the metadata alone promises, before any photograph is there.
use rule describe_design as plan_design with:
    input:
        **code("describe_design.py"),
        **by_sum(metadata="<results>/data/metadata.csv"),
        design="<results>/settings/design.json",
    output:
        "<results>/tables/plan.csv",
    log:
        "<logs>/plan_design.log",
    benchmark:
        "<benchmarks>/plan_design.tsv"
    localrule: True
    params:
        splits_option="",


# What the design can find, before anything is trained.
rule plan_power:
    input:
        **code("plan_power.py"),
        **by_sum(metadata="<results>/data/metadata.csv"),
        pilot=(
            expand(
                f"{config['plan']['pilot']}/tables/{{name}}.csv",
                name=["runs", "covariances", "design"],
            )
            if config["plan"]["pilot"]
            else []
        ),
    output:
        table="<results>/tables/power.csv",
        svg="<results>/figures/power.svg",
        others=[f"<results>/figures/power.{kind}" for kind in FORMATS if kind != "svg"],
        text="<results>/figures/power.json",
    log:
        "<logs>/plan_power.log",
    benchmark:
        "<benchmarks>/plan_power.tsv"
    localrule: True
    conda:
        environment("base")
    params:
        config=as_json(
            {key: config[key] for key in ("splits", "plan")}
            | {"alpha": config["stats"]["alpha"], "synthetic": bool(SYNTHETIC)}
            | {key: config["figures"][key] for key in ("formats", "dpi", "text")}
        ),
    shell:
        "python -u {input.script:q} --metadata {input.metadata:q} --config {params.config:q}"
        " --table {output.table:q} --svg {output.svg:q} --text {output.text:q} 2>&1 | tee {log:q}"


rule splits:
    input:
        rules.describe_design.input.manifests,
        "<results>/tables/design.csv",
    localrule: True
