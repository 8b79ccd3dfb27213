# One self-contained page, and what Snakemake's own report (--report) opens with: report/workflow.rst.

REPORT_TABLES = tables_of("results")
CLAIMS = ["claims"]
if config["report"]["probes"]:
    REPORT_TABLES += tables_of("probes")
    CLAIMS.append("probe_claims")


rule report_page:
    input:
        script=script("make_report.py"),
        lib=imports("make_report.py"),
        template=source("workflow_scripts/evenhand/report/templates/report.html.j2"),
        dictionary=source("schemas/tables.yaml"),
        record="<results>/data/images.json",
        provenance="<results>/provenance.json",
        settings="<results>/settings/study.json",
        availability=ancient("<results>/data/availability.csv"),
        sums="<results>/data/packed.sha256",
        claims=expand("<results>/tables/{table}.csv", table=CLAIMS),
        design="<results>/tables/design.csv",
        figures=expand("<results>/figures/{figure.name}.svg", figure=FIGURES),
        words=expand("<results>/figures/{figure.name}.json", figure=FIGURES),
        tables=expand("<results>/tables/{table}.csv", table=REPORT_TABLES),
        data_tables=expand("<results>/tables/{table}.csv", table=tables_of("data")),
        runs=expand("<results>/runs/{train_set}/run{run}/run.json", train_set=TRAIN_SETS, run=RUNS),
    output:
        "<results>/report.html",
    log:
        "<logs>/report_page.log",
    benchmark:
        "<benchmarks>/report_page.tsv"
    localrule: True
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        models=lambda wildcards, input: Path(input.runs[0]).parents[2],
    shell:
        "python -u {input.script:q} --template {input.template:q} --dictionary {input.dictionary:q}"
        " --record {input.record:q} --provenance {input.provenance:q} --availability {input.availability:q} --claims {input.claims:q}"
        " --design {input.design:q} --figures {input.figures:q} --tables {input.tables:q}"
        " --data-tables {input.data_tables:q} --models {params.models:q} --settings {input.settings:q} --output {output:q} > {log:q} 2>&1"


# The probes on a page of their own, which needs no image stage.
rule probe_page:
    input:
        script=script("make_report.py"),
        lib=imports("make_report.py"),
        template=source("workflow_scripts/evenhand/report/templates/report.html.j2"),
        dictionary=source("schemas/tables.yaml"),
        settings="<results>/settings/study.json",
        claims="<results>/tables/probe_claims.csv",
        figures="<results>/figures/probe_curves.svg",
        words="<results>/figures/probe_curves.json",
        tables=expand("<results>/tables/{table}.csv", table=tables_of("probes")),
    output:
        "<results>/probes.html",
    log:
        "<logs>/probe_page.log",
    benchmark:
        "<benchmarks>/probe_page.tsv"
    localrule: True
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    shell:
        "python -u {input.script:q} --template {input.template:q} --dictionary {input.dictionary:q}"
        " --claims {input.claims:q} --figures {input.figures:q} --tables {input.tables:q}"
        " --settings {input.settings:q} --output {output:q} > {log:q} 2>&1"


rule probe:
    input:
        expand("<results>/tables/probe_{table}.csv", table=PROBE_TABLES),
        "<results>/probes.html",
    localrule: True


rule report:
    input:
        "<results>/report.html",
    localrule: True
