# Tables and verdicts. Each table is described, column by column, in schemas/tables.yaml.

EVALUATIONS = expand(
    "<results>/runs/{train_set}/run{run}/evaluation.parquet", train_set=TRAIN_SETS, run=RUNS
)
# The folder and not the files, a file and not the names: thousands of them do not fit on a command line.
EVALUATION_OPTIONS = " ".join(
    ["--evaluations", f"results/{config['study']}/runs", "--runs", str(len(RUNS))]
    + ["--train-sets", f"results/{config['study']}/settings/train_sets.json"]
)

# Jobs read one evaluation after the other; this is what they keep of them (measured: at most 0.13 MB; docs/scaling.md).
EVALUATIONS_MB = len(EVALUATIONS) // 5


rule summarise_metadata:
    input:
        script=script("summarise_metadata.py"),
        lib=imports("summarise_metadata.py"),
        metadata=ancient("<results>/data/metadata.csv"),
        sums="<results>/data/metadata.sha256",
    output:
        fst_counts=table("fst_counts", "images per skin type", "Metadata"),
        prevalence=table("prevalence", "conditions per group", "Metadata"),
        condition_mix=table("condition_mix", "distance between the condition mixes", "Metadata"),
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
        train_sets="<results>/settings/train_sets.json",
    output:
        runs=table("runs", "means per run"),
        headline=table("headline", "means over runs"),
        conditions=table("conditions", "means per condition"),
        pooled=table("pooled_conditions", "partially pooled means per condition"),
    log:
        "<logs>/summarise_runs.log",
    benchmark:
        "<benchmarks>/summarise_runs.tsv"
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=growing(1000 + EVALUATIONS_MB),
        runtime=growing(30),
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
        train_sets="<results>/settings/train_sets.json",
        duplicates="<results>/data/duplicates.csv",
        runs="<results>/tables/runs.csv",
        design="<results>/tables/design.csv",
    output:
        gaps=table("gaps", "gaps between the groups"),
    log:
        "<logs>/estimate_gaps.log",
    benchmark:
        "<benchmarks>/estimate_gaps.tsv"
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=growing(1000 + EVALUATIONS_MB),
        runtime=growing(30),
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
        train_sets="<results>/settings/train_sets.json",
        duplicates="<results>/data/duplicates.csv",
    output:
        adjusted=table("adjusted", "gaps at equal condition and atlas mix"),
        models=table("models", "gaps from regression"),
    log:
        "<logs>/adjust_gaps.log",
    benchmark:
        "<benchmarks>/adjust_gaps.tsv"
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=growing(1000 + EVALUATIONS_MB),
        runtime=growing(60),
    params:
        study=EVALUATION_OPTIONS,
        config=as_json("seed", "stats"),
    shell:
        "python -u {input.script:q} {params.study} --duplicates {input.duplicates:q}"
        " --config {params.config:q} --adjusted {output.adjusted:q} --models {output.models:q}"
        " > {log:q} 2>&1"


rule estimate_sweep:
    input:
        script=script("estimate_sweep.py"),
        lib=imports("estimate_sweep.py"),
        runs="<results>/tables/runs.csv",
        design="<results>/tables/design.csv",
    output:
        sweep=table("sweep", "trends over the dark share"),
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
        claims=table("claims", "verdicts", "Claims"),
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
