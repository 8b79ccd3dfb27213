# Tables on parts of the results: scores of uncertainty, subsets of the test images, colour and tone, generated images.


rule score_uncertainty:
    input:
        script=script("score_uncertainty.py"),
        lib=imports("score_uncertainty.py"),
        evaluations=EVALUATIONS,
        train_sets="<results>/settings/train_sets.json",
        ensembles=expand("<results>/runs/{train_set}/ensemble.parquet", train_set=TRAIN_SETS),
        design="<results>/tables/design.csv",
    output:
        uncertainty=table("uncertainty", "uncertainty scores"),
    log:
        "<logs>/score_uncertainty.log",
    benchmark:
        "<benchmarks>/score_uncertainty.tsv"
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
        "python -u {input.script:q} {params.study}"
        " --design {input.design:q} --config {params.config:q} --output {output.uncertainty:q}"
        " > {log:q} 2>&1"


rule compare_subsets:
    input:
        script=script("compare_subsets.py"),
        lib=imports("compare_subsets.py"),
        evaluations=EVALUATIONS,
        train_sets="<results>/settings/train_sets.json",
        design="<results>/tables/design.csv",
    output:
        subsets=table("subsets", "annotator agreement and atlases"),
    log:
        "<logs>/compare_subsets.log",
    benchmark:
        "<benchmarks>/compare_subsets.tsv"
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=growing(1000 + EVALUATIONS_MB),
        runtime=growing(30),
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
        train_sets="<results>/settings/train_sets.json",
        design="<results>/tables/design.csv",
    output:
        colour_runs=table("colour_runs", "colour shift per run"),
        colour=table("colour", "colour shift"),
        tone_curves=table("tone_curves", "error against tone"),
        tone_slopes=table("tone_slopes", "change of error with tone"),
    log:
        "<logs>/measure_colour.log",
    benchmark:
        "<benchmarks>/measure_colour.tsv"
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=growing(1000 + EVALUATIONS_MB),
        runtime=growing(30),
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
        train_sets="<results>/settings/train_sets.json",
        samples=expand(
            "<results>/runs/{train_set}/run{run}/samples.parquet", train_set=TRAIN_SETS, run=RUNS
        ),
        design="<results>/tables/design.csv",
    output:
        samples=table("samples", "tone of generated images"),
    log:
        "<logs>/compare_samples.log",
    benchmark:
        "<benchmarks>/compare_samples.tsv"
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=growing(1000 + EVALUATIONS_MB),
        runtime=growing(30),
    params:
        study=EVALUATION_OPTIONS,
        config=as_json("stats"),
    shell:
        "python -u {input.script:q} {params.study}"
        " --design {input.design:q} --config {params.config:q}"
        " --output {output.samples:q}"
        " > {log:q} 2>&1"
