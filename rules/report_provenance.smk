# What the study was made from: results/<study>/provenance.json, checked by `make verify`.


# Takes what the tables take, and every script: the record names the code that all products are up to date with.
rule record_provenance:
    input:
        script=script("record_provenance.py"),
        code=[
            source(f"workflow_scripts/{path.relative_to(SCRIPTS)}")
            for pattern in ("*.py", "*.j2")
            for path in sorted(SCRIPTS.rglob(pattern))
        ],
        settings="<results>/settings/study.json",
        metadata=ancient("<results>/data/metadata.csv"),
        metadata_sum="<results>/data/metadata.sha256",
        availability=ancient("<results>/data/availability.csv"),
        packed_sum="<results>/data/packed.sha256",
        record="<results>/data/images.json",
        images=ancient("<results>/data/images.npy"),
        index=ancient("<results>/data/images.csv"),
        features=ancient("<results>/perceptual/vgg19.safetensors"),
        features_sum="<results>/perceptual/vgg19.sha256",
        tables=expand(
            "<results>/tables/{table}.csv",
            table=["design", *CLAIMS, *REPORT_TABLES, *tables_of("data")],
        ),
        # Evaluations come from the weights, manifests and records of their trainings, which are recorded with them.
        evaluations=EVALUATIONS,
    output:
        "<results>/provenance.json",
    log:
        "<logs>/record_provenance.log",
    benchmark:
        "<benchmarks>/record_provenance.tsv"
    localrule: True
    conda:
        environment("base")
    threads: 16  # or all there are
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        folder=lambda wildcards, output: str(Path(output[0]).parent),
    shell:
        "python -u {input.script:q} --folder {params.folder:q} --settings {input.settings:q}"
        " --files {input.metadata:q} {input.availability:q} {input.record:q} {input.images:q} {input.index:q}"
        " {input.features:q} {input.tables:q} --workers {threads}"
        " --output {output:q} > {log:q} 2>&1"


rule provenance:
    input:
        "<results>/provenance.json",
    localrule: True
