# Tables and verdicts. Each table is described, column by column, in schemas/tables.yaml.

EVALUATIONS = expand(
    "<results>/runs/{train_set}/run{run}/evaluation.parquet", train_set=TRAIN_SETS, run=RUNS
)
# The folder and not the files: three thousand paths do not fit on a command line.
EVALUATION_OPTIONS = " ".join(
    ["--evaluations", f"results/{config['study']}/runs", "--runs", str(len(RUNS))]
    + ["--train-sets", *TRAIN_SETS]
)


rule summarise_metadata:
    input:
        script=script("summarise_metadata.py"),
        lib=imports("summarise_metadata.py"),
        metadata="<results>/data/metadata.csv",
    output:
        fst_counts=report(
            "<results>/tables/fst_counts.csv",
            caption="../report/fst_counts.rst",
            category="Metadata",
            labels={"table": "images per skin type"},
        ),
        prevalence=report(
            "<results>/tables/prevalence.csv",
            caption="../report/prevalence.rst",
            category="Metadata",
            labels={"table": "conditions per group"},
        ),
        condition_mix=report(
            "<results>/tables/condition_mix.csv",
            caption="../report/condition_mix.rst",
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
        evaluations=EVALUATIONS,
    output:
        runs=report(
            "<results>/tables/runs.csv",
            caption="../report/runs.rst",
            category="Results",
            labels={"table": "means per run"},
        ),
        headline=report(
            "<results>/tables/headline.csv",
            caption="../report/headline.rst",
            category="Results",
            labels={"table": "means over runs"},
        ),
        conditions=report(
            "<results>/tables/conditions.csv",
            caption="../report/conditions.rst",
            category="Results",
            labels={"table": "means per condition"},
        ),
        pooled=report(
            "<results>/tables/pooled_conditions.csv",
            caption="../report/pooled_conditions.rst",
            category="Results",
            labels={"table": "partially pooled means per condition"},
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
        study=EVALUATION_OPTIONS,
        level=1 - config["stats"]["alpha"],
    shell:
        "python -u {input.script:q} {params.study}"
        " --level {params.level} --run-means {output.runs:q} --headline {output.headline:q}"
        " --conditions {output.conditions:q} --pooled {output.pooled:q}"
        " > {log:q} 2>&1"


rule estimate_gaps:
    input:
        script=script("estimate_gaps.py"),
        lib=imports("estimate_gaps.py"),
        evaluations=EVALUATIONS,
        duplicates="<results>/data/duplicates.csv",
        runs="<results>/tables/runs.csv",
        design="<results>/tables/design.csv",
    output:
        gaps=report(
            "<results>/tables/gaps.csv",
            caption="../report/gaps.rst",
            category="Results",
            labels={"table": "gaps between the groups"},
        ),
    log:
        "<logs>/estimate_gaps.log",
    benchmark:
        "<benchmarks>/estimate_gaps.tsv"
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        study=EVALUATION_OPTIONS,
        config=as_json("seed", "stats"),
    shell:
        "python -u {input.script:q} {params.study} --duplicates {input.duplicates:q}"
        " --run-means {input.runs:q} --design {input.design:q} --config {params.config:q}"
        " --output {output.gaps:q}"
        " > {log:q} 2>&1"


rule adjust_gaps:
    input:
        script=script("adjust_gaps.py"),
        lib=imports("adjust_gaps.py"),
        evaluations=EVALUATIONS,
        duplicates="<results>/data/duplicates.csv",
    output:
        adjusted=report(
            "<results>/tables/adjusted.csv",
            caption="../report/adjusted.rst",
            category="Results",
            labels={"table": "gaps at equal condition and atlas mix"},
        ),
        models=report(
            "<results>/tables/models.csv",
            caption="../report/models.rst",
            category="Results",
            labels={"table": "gaps from regression"},
        ),
    log:
        "<logs>/adjust_gaps.log",
    benchmark:
        "<benchmarks>/adjust_gaps.tsv"
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        study=EVALUATION_OPTIONS,
        config=as_json("seed", "stats"),
    shell:
        "python -u {input.script:q} {params.study} --duplicates {input.duplicates:q}"
        " --config {params.config:q} --adjusted {output.adjusted:q} --models {output.models:q}"
        " > {log:q} 2>&1"


rule score_uncertainty:
    input:
        script=script("score_uncertainty.py"),
        lib=imports("score_uncertainty.py"),
        evaluations=EVALUATIONS,
        ensembles=expand("<results>/runs/{train_set}/ensemble.parquet", train_set=TRAIN_SETS),
        design="<results>/tables/design.csv",
    output:
        uncertainty=report(
            "<results>/tables/uncertainty.csv",
            caption="../report/uncertainty.rst",
            category="Results",
            labels={"table": "uncertainty scores"},
        ),
    log:
        "<logs>/score_uncertainty.log",
    benchmark:
        "<benchmarks>/score_uncertainty.tsv"
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        study=EVALUATION_OPTIONS,
        config=as_json("seed", "stats"),
    shell:
        "python -u {input.script:q} {params.study}"
        " --design {input.design:q} --config {params.config:q} --output {output.uncertainty:q}"
        " > {log:q} 2>&1"


rule compare_subsets:
    input:
        script=script("compare_subsets.py"),
        lib=imports("compare_subsets.py"),
        evaluations=EVALUATIONS,
        design="<results>/tables/design.csv",
    output:
        subsets=report(
            "<results>/tables/subsets.csv",
            caption="../report/subsets.rst",
            category="Results",
            labels={"table": "annotator agreement and atlases"},
        ),
    log:
        "<logs>/compare_subsets.log",
    benchmark:
        "<benchmarks>/compare_subsets.tsv"
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        study=EVALUATION_OPTIONS,
        config=json.dumps(
            {
                "stats": config["stats"],
                "light": config["splits"]["light"],
                "dark": config["splits"]["dark"],
            }
        ),
    shell:
        "python -u {input.script:q} {params.study}"
        " --design {input.design:q} --config {params.config:q} --output {output.subsets:q}"
        " > {log:q} 2>&1"


rule measure_colour:
    input:
        script=script("measure_colour.py"),
        lib=imports("measure_colour.py"),
        evaluations=EVALUATIONS,
        design="<results>/tables/design.csv",
    output:
        colour_runs=report(
            "<results>/tables/colour_runs.csv",
            caption="../report/colour_runs.rst",
            category="Results",
            labels={"table": "colour shift per run"},
        ),
        colour=report(
            "<results>/tables/colour.csv",
            caption="../report/colour.rst",
            category="Results",
            labels={"table": "colour shift"},
        ),
        tone_curves=report(
            "<results>/tables/tone_curves.csv",
            caption="../report/tone_curves.rst",
            category="Results",
            labels={"table": "error against tone"},
        ),
        tone_slopes=report(
            "<results>/tables/tone_slopes.csv",
            caption="../report/tone_slopes.rst",
            category="Results",
            labels={"table": "change of error with tone"},
        ),
    log:
        "<logs>/measure_colour.log",
    benchmark:
        "<benchmarks>/measure_colour.tsv"
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        study=EVALUATION_OPTIONS,
        config=as_json("stats"),
    shell:
        "python -u {input.script:q} {params.study}"
        " --design {input.design:q} --config {params.config:q}"
        " --colour-runs {output.colour_runs:q} --colour {output.colour:q}"
        " --tone-curves {output.tone_curves:q} --tone-slopes {output.tone_slopes:q}"
        " > {log:q} 2>&1"


rule compare_samples:
    input:
        script=script("compare_samples.py"),
        lib=imports("compare_samples.py"),
        evaluations=EVALUATIONS,
        samples=expand(
            "<results>/runs/{train_set}/run{run}/samples.parquet", train_set=TRAIN_SETS, run=RUNS
        ),
        design="<results>/tables/design.csv",
    output:
        samples=report(
            "<results>/tables/samples.csv",
            caption="../report/samples.rst",
            category="Results",
            labels={"table": "tone of generated images"},
        ),
    log:
        "<logs>/compare_samples.log",
    benchmark:
        "<benchmarks>/compare_samples.tsv"
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        study=EVALUATION_OPTIONS,
        config=as_json("stats"),
    shell:
        "python -u {input.script:q} {params.study}"
        " --design {input.design:q} --config {params.config:q}"
        " --output {output.samples:q}"
        " > {log:q} 2>&1"


rule estimate_sweep:
    input:
        script=script("estimate_sweep.py"),
        lib=imports("estimate_sweep.py"),
        runs="<results>/tables/runs.csv",
        design="<results>/tables/design.csv",
    output:
        sweep=report(
            "<results>/tables/sweep.csv",
            caption="../report/sweep.rst",
            category="Results",
            labels={"table": "trends over the dark share"},
        ),
    log:
        "<logs>/estimate_sweep.log",
    benchmark:
        "<benchmarks>/estimate_sweep.tsv"
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
        "python -u {input.script:q}"
        " --run-means {input.runs:q} --design {input.design:q} --config {params.config:q}"
        " --output {output.sweep:q}"
        " > {log:q} 2>&1"


rule judge_claims:
    input:
        script=script("judge_claims.py"),
        lib=imports("judge_claims.py"),
        runs="<results>/tables/runs.csv",
        design="<results>/tables/design.csv",
        gaps="<results>/tables/gaps.csv",
        adjusted="<results>/tables/adjusted.csv",
        colour_runs="<results>/tables/colour_runs.csv",
        condition_mix="<results>/tables/condition_mix.csv",
    output:
        claims=report(
            "<results>/tables/claims.csv",
            caption="../report/claims.rst",
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
        "python -u {input.script:q}"
        " --run-means {input.runs:q} --design {input.design:q} --gaps {input.gaps:q}"
        " --adjusted {input.adjusted:q} --colour-runs {input.colour_runs:q}"
        " --condition-mix {input.condition_mix:q}"
        " --config {params.config:q} --output {output.claims:q}"
        " > {log:q} 2>&1"


rule stats:
    input:
        expand(
            "<results>/tables/{table}.csv",
            table=[
                "claims",
                "colour",
                "conditions",
                "fst_counts",
                "headline",
                "models",
                "pooled_conditions",
                "prevalence",
                "samples",
                "subsets",
                "sweep",
                "tone_curves",
                "uncertainty",
            ],
        ),
    localrule: True
