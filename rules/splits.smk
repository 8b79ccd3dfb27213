# One manifest per run, drawn from the images that are there; and the sizes that this gives.


rule make_splits:
    input:
        script=script("make_splits.py"),
        lib=imports("make_splits.py"),
        # Small and compared by content: packing the same images again draws nothing anew.
        record="<results>/data/images.json",
        images=ancient("<results>/data/images.csv"),
        duplicates=ISOLATED,
    output:
        manifest="<results>/splits/run{run}.csv",
        sum="<results>/splits/run{run}.sha256",
    log:
        "<logs>/make_splits/run{run}.log",
    benchmark:
        "<benchmarks>/make_splits/run{run}.tsv"
    localrule: True
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        config=design_json(train_sets=config["splits"]["train_sets"]),
        duplicates=lambda wildcards, input: (
            f"--duplicates {input.duplicates}" if input.duplicates else ""
        ),
    shell:
        "python -u {input.script:q} --images {input.images:q} {params.duplicates} --config {params.config:q}"
        " --run {wildcards.run} --output {output.manifest:q} > {log:q} 2>&1"


# What decides on the training set of that name. A file, since Snakemake does not look at the parameters of a job
# that is behind another one in the plan when all that lies between is `ancient`, as the manifest is for trainings.
rule record_design:
    input:
        script=script("record_design.py"),
        lib=imports("record_design.py"),
    output:
        "<results>/splits/{train_set}.json",
    log:
        "<logs>/record_design/{train_set}.log",
    benchmark:
        "<benchmarks>/record_design/{train_set}.tsv"
    localrule: True
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=100,
        runtime=5,
    params:
        design=lambda wildcards: design_json(train_set=dark_share(wildcards.train_set)),
    shell:
        "python -u {input.script:q} --design {params.design:q} --output {output:q} > {log:q} 2>&1"


# As check_study, of what is known when the images of a run are drawn: before its models are trained.
rule check_run:
    input:
        images=ancient("<results>/data/images.csv"),
        manifest="<results>/splits/run{run}.csv",
        duplicates=ISOLATED,
    output:
        "<results>/checks/run{run}.txt",
    log:
        "<logs>/check_run/run{run}.log",
    benchmark:
        "<benchmarks>/check_run/run{run}.tsv"
    localrule: True
    conda:
        environment("torch")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        script=lambda wildcards, input: script("check_run.py"),
        config=lambda wildcards, input: json.dumps(config),
        duplicates=lambda wildcards, input: (
            f"--duplicates {input.duplicates}" if input.duplicates else ""
        ),
    shell:
        "python -u {params.script:q} --images {input.images:q} --manifest {input.manifest:q} {params.duplicates}"
        " --config {params.config:q} --output {output:q} > {log:q} 2>&1"


rule describe_design:
    input:
        script=script("describe_design.py"),
        lib=imports("describe_design.py"),
        metadata="<results>/data/metadata.csv",
        manifests=expand("<results>/splits/run{run}.csv", run=RUNS),
    output:
        report(
            "<results>/tables/design.csv",
            caption="../report/design.rst",
            category="Design",
            labels={"table": "sizes of the training sets"},
        ),
    log:
        "<logs>/describe_design.log",
    benchmark:
        "<benchmarks>/describe_design.tsv"
    localrule: True
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        config=as_json("seed", "splits"),
    shell:
        "python -u {input.script:q} --metadata {input.metadata:q} --config {params.config:q}"
        " --manifests {input.manifests:q} --output {output:q} > {log:q} 2>&1"


# What the metadata alone promises, before any photograph is there.
use rule describe_design as plan_design with:
    input:
        script=script("describe_design.py"),
        lib=imports("describe_design.py"),
        metadata="<results>/data/metadata.csv",
        manifests=[],
    output:
        "<results>/tables/plan.csv",
    log:
        "<logs>/plan_design.log",
    benchmark:
        "<benchmarks>/plan_design.tsv"
    localrule: True


rule splits:
    input:
        expand("<results>/splits/run{run}.{kind}", run=RUNS, kind=["csv", "sha256"]),
        "<results>/tables/design.csv",
    localrule: True
