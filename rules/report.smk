# Report. Needs tables, figures and the records of the trainings; makes the record of what the study was made from
# (provenance.json, checked by `make verify`) and one self-contained page. What Snakemake's own report (--report) opens
# with: report/workflow.rst.

# The tables of each part of the page, in its order.
PAGES = {
    page: [name for name in TABLES if TABLES[name].get("$page") == page and is_made(name)]
    for page in ("results", "probes", "data")
}
REPORT_TABLES = list(PAGES["results"])
CLAIMS = ["claims"]
if config["report"]["probes"]:
    REPORT_TABLES += PAGES["probes"]
    CLAIMS.append("probe_claims")

TEMPLATES = {
    "template": source("workflow_scripts/evenhand/report/templates/report.html.j2"),
    "parts": source("workflow_scripts/evenhand/report/templates/parts.html.j2"),
    "references": source("workflow_scripts/evenhand/report/references.bib"),
}


# What a study must state of its data and its models.
rule write_cards:
    input:
        **code("write_cards.py", *ADAPTER),
        settings="<results>/settings/study.json",
        record="<results>/data/images.json",
        availability=ancient("<results>/data/availability.csv"),
        packed_sum="<results>/data/packed.sha256",
        card="<results>/tables/dataset_card.csv",
        design="<results>/tables/design.csv",
        runs=of_models("run.json"),
    output:
        statement=table("data_statement"),
        models=table("model_card"),
    log:
        "<logs>/write_cards.log",
    benchmark:
        "<benchmarks>/write_cards.tsv"
    localrule: True
    conda:
        environment("base")
    params:
        models=lambda wildcards, input: Path(input.runs[0]).parents[2],
    shell:
        "python -u {input.script:q} --settings {input.settings:q} --record {input.record:q}"
        " --availability {input.availability:q} --card {input.card:q} --design {input.design:q}"
        " --models {params.models:q} --data-statement {output.statement:q} --model-card {output.models:q}"
        " > {log:q} 2>&1"


# Takes what the tables take, and every script: the record names the code that all products are up to date with.
rule record_provenance:
    input:
        **IMAGES,
        **by_sum(metadata="<results>/data/metadata.csv"),
        **by_sum(features="<results>/perceptual/vgg19.safetensors"),
        script=script("record_provenance.py"),
        code=[
            source(f"workflow_scripts/{path.relative_to(SCRIPTS)}")
            for pattern in ("*.py", "*.j2")
            for path in sorted(SCRIPTS.rglob(pattern))
        ],
        settings="<results>/settings/study.json",
        availability=ancient("<results>/data/availability.csv"),
        packed_sum="<results>/data/packed.sha256",
        tables=expand(
            "<results>/tables/{table}.csv",
            table=["design", *CLAIMS, *REPORT_TABLES, *PAGES["data"]],
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
    params:
        folder=lambda wildcards, output: str(Path(output[0]).parent),
    shell:
        "python -u {input.script:q} --folder {params.folder:q} --settings {input.settings:q}"
        " --files {input.metadata:q} {input.availability:q} {input.record:q} {input.images:q} {input.index:q}"
        " {input.features:q} {input.tables:q} --workers {threads} --output {output:q} > {log:q} 2>&1"


rule provenance:
    input:
        "<results>/provenance.json",
    localrule: True


rule report_page:
    input:
        **code("make_report.py"),
        **TEMPLATES,
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
        printed=expand(
            "<results>/figures/{figure.name}.{kind}", figure=FIGURES, kind={*FORMATS} & {"pdf"}
        ),
        tables=expand("<results>/tables/{table}.csv", table=REPORT_TABLES),
        data_tables=expand("<results>/tables/{table}.csv", table=PAGES["data"]),
        runs=of_models("run.json"),
    output:
        "<results>/report.html",
    log:
        "<logs>/report_page.log",
    benchmark:
        "<benchmarks>/report_page.tsv"
    localrule: True
    conda:
        environment("base")
    params:
        models=lambda wildcards, input: Path(input.runs[0]).parents[2],
    shell:
        "python -u {input.script:q} --template {input.template:q} --dictionary {input.dictionary:q}"
        " --record {input.record:q} --provenance {input.provenance:q} --availability {input.availability:q}"
        " --claims {input.claims:q} --design {input.design:q} --figures {input.figures:q} --tables {input.tables:q}"
        " --data-tables {input.data_tables:q} --models {params.models:q}"
        " --settings {input.settings:q} --output {output:q} > {log:q} 2>&1"


# The probes on a page of their own, which needs no image stage.
rule probe_page:
    input:
        **code("make_report.py"),
        **TEMPLATES,
        dictionary=source("schemas/tables.yaml"),
        settings="<results>/settings/study.json",
        claims="<results>/tables/probe_claims.csv",
        figures="<results>/figures/probe_curves.svg",
        words="<results>/figures/probe_curves.json",
        printed=expand("<results>/figures/probe_curves.{kind}", kind={*FORMATS} & {"pdf"}),
        tables=expand("<results>/tables/{table}.csv", table=PAGES["probes"]),
    output:
        "<results>/probes.html",
    log:
        "<logs>/probe_page.log",
    benchmark:
        "<benchmarks>/probe_page.tsv"
    localrule: True
    conda:
        environment("base")
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
