# Tables and verdicts. Each table is described, column by column, in schemas/tables.yaml.


rule summarise_metadata:
    input:
        script=script("summarise_metadata.py"),
        lib=imports("summarise_metadata.py"),
        metadata="<results>/data/metadata.csv",
    output:
        fst_counts=report(
            "<results>/tables/fst_counts.csv",
            caption=source("report/fst_counts.rst"),
            category="Metadata",
            labels={"table": "images per skin type"},
        ),
        prevalence=report(
            "<results>/tables/prevalence.csv",
            caption=source("report/prevalence.rst"),
            category="Metadata",
            labels={"table": "conditions per group"},
        ),
        condition_mix=report(
            "<results>/tables/condition_mix.csv",
            caption=source("report/condition_mix.rst"),
            category="Metadata",
            labels={"table": "distance between the condition mixes"},
        ),
    log:
        "<logs>/summarise_metadata.log",
    benchmark:
        "<benchmarks>/summarise_metadata.tsv"
    localrule: True
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        config=json.dumps(
            {
                "seed": config["seed"],
                "resamples": config["stats"]["resamples"],
                **{key: config["splits"][key] for key in ("label", "light", "dark")},
            }
        ),
    shell:
        "python -u {input.script:q} --metadata {input.metadata:q} --config {params.config:q}"
        " --fst-counts {output.fst_counts:q} --prevalence {output.prevalence:q}"
        " --condition-mix {output.condition_mix:q} > {log:q} 2>&1"


rule summarise_runs:
    input:
        script=script("summarise_runs.py"),
        lib=imports("summarise_runs.py"),
        evaluations=expand(
            "<results>/runs/{train_set}/run{run}/evaluation.parquet",
            train_set=TRAIN_SETS,
            run=RUNS,
        ),
    output:
        runs=report(
            "<results>/tables/runs.csv",
            caption=source("report/runs.rst"),
            category="Results",
            labels={"table": "means per run"},
        ),
        headline=report(
            "<results>/tables/headline.csv",
            caption=source("report/headline.rst"),
            category="Results",
            labels={"table": "means over runs"},
        ),
        conditions=report(
            "<results>/tables/conditions.csv",
            caption=source("report/conditions.rst"),
            category="Results",
            labels={"table": "means per condition"},
        ),
    log:
        "<logs>/summarise_runs.log",
    benchmark:
        "<benchmarks>/summarise_runs.tsv"
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        folder=f"results/{config['study']}/runs",
        train_sets=TRAIN_SETS,
        runs=len(RUNS),
    shell:
        "python -u {input.script:q} --evaluations {params.folder:q} --train-sets {params.train_sets:q}"
        " --runs {params.runs} --run-means {output.runs:q} --headline {output.headline:q}"
        " --conditions {output.conditions:q} > {log:q} 2>&1"


rule estimate_gaps:
    input:
        script=script("estimate_gaps.py"),
        lib=imports("estimate_gaps.py"),
        runs="<results>/tables/runs.csv",
        design="<results>/tables/design.csv",
    output:
        report(
            "<results>/tables/gaps.csv",
            caption=source("report/gaps.rst"),
            category="Results",
            labels={"table": "gaps between the groups"},
        ),
    log:
        "<logs>/estimate_gaps.log",
    benchmark:
        "<benchmarks>/estimate_gaps.tsv"
    localrule: True
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        config=as_json("stats"),
    shell:
        "python -u {input.script:q} --run-means {input.runs:q} --design {input.design:q}"
        " --config {params.config:q} --output {output:q} > {log:q} 2>&1"


rule judge_claims:
    input:
        script=script("judge_claims.py"),
        lib=imports("judge_claims.py"),
        runs="<results>/tables/runs.csv",
        design="<results>/tables/design.csv",
        gaps="<results>/tables/gaps.csv",
        condition_mix="<results>/tables/condition_mix.csv",
    output:
        report(
            "<results>/tables/claims.csv",
            caption=source("report/claims.rst"),
            category="Claims",
            labels={"table": "verdicts"},
        ),
    log:
        "<logs>/judge_claims.log",
    benchmark:
        "<benchmarks>/judge_claims.tsv"
    localrule: True
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        config=as_json("stats"),
    shell:
        "python -u {input.script:q} --run-means {input.runs:q} --design {input.design:q} --gaps {input.gaps:q}"
        " --condition-mix {input.condition_mix:q} --config {params.config:q} --output {output:q} > {log:q} 2>&1"


rule stats:
    input:
        "<results>/tables/claims.csv",
        "<results>/tables/conditions.csv",
        "<results>/tables/headline.csv",
        "<results>/tables/fst_counts.csv",
        "<results>/tables/prevalence.csv",
    localrule: True
