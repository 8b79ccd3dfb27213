# Images. Needs the table of images and the photographs; makes one array of them, data/images.npy, with its index and
# record, and what is known of them: near-duplicates, apparent tone, the data set in numbers.

DUPLICATES = config["data"]["duplicates"]
GIVEN_DUPLICATES = [
    ancient(DUPLICATES[key]) for key in ("embeddings", "list", "not_same") if DUPLICATES[key]
]


SEARCH_SIDE = 160  # pixels: what local features find does not depend on the size that models see
SEARCHED = "<results>/data/searched" if DUPLICATES["method"] == "features" else "<results>/data"
# What packing at any size takes of the configuration.
PACKED = {
    "sources": json.dumps(SOURCES),
    "contents": as_json([FOLDERS, ARCHIVE_CONTENTS]),
    "downloads": f"{DOWNLOADS}/images",
    "status": lambda wildcards, input: Path(input.metadata).parent / "downloads",
    "shards": len(SHARDS) if USES_URLS else 0,
    "icc": config["data"]["icc"],
}


rule pack_images:
    input:
        **code("pack_images.py"),
        **by_sum(metadata="<results>/data/metadata.csv"),
        checked="<results>/checks/study.txt",
        archives=ARCHIVES,
        archive_sums=ARCHIVE_SUMS,
        downloads=(
            expand("<results>/data/downloads/shard{shard}.csv", shard=SHARDS) if USES_URLS else []
        ),
    output:
        images="<results>/data/images.npy",
        index="<results>/data/images.csv",
        availability="<results>/data/availability.csv",
        sums="<results>/data/packed.sha256",
    log:
        "<logs>/pack_images.log",
    benchmark:
        "<benchmarks>/pack_images.tsv"
    conda:
        environment("base")
    threads: 16  # or all there are
    resources:
        **growing(mem_mb=2000, runtime=120),
    params:
        **PACKED,
        side=config["data"]["image_size"],
        work=PACKING,
        finished=f"{DATA}/.finished_packing",
    shell:
        "python -u {input.script:q} --metadata {input.metadata:q} --sources {params.sources:q}"
        " --contents {params.contents:q} --archive-sums {input.archive_sums:q} --finished {params.finished:q}"
        " --downloads {params.downloads:q} --download-status {params.status:q} --shards {params.shards:q}"
        " --side {params.side:q} --icc {params.icc:q} --workers {threads} --work {params.work:q}"
        " --images {output.images:q} --index {output.index:q} --availability {output.availability:q}"
        " --sums {output.sums:q} > {log:q} 2>&1"


use rule pack_images as pack_for_search with:
    output:
        images="<results>/data/searched/images.npy",
        index="<results>/data/searched/images.csv",
        availability="<results>/data/searched/availability.csv",
        sums="<results>/data/searched/packed.sha256",
    log:
        "<logs>/pack_for_search.log",
    benchmark:
        "<benchmarks>/pack_for_search.tsv"
    params:
        **PACKED,
        side=SEARCH_SIDE,
        work=f"{DATA}/.packing_for_search",
        finished=f"{DATA}/searched/.finished_packing",


# The gate: later stages take this record, so nothing goes on without enough photographs, and nothing is
# done again when the same photographs are packed again.
rule check_images:
    input:
        **code("check_images.py"),
        images=ancient("<results>/data/images.npy"),
        index=ancient("<results>/data/images.csv"),
        availability=ancient("<results>/data/availability.csv"),
        sums="<results>/data/packed.sha256",
    output:
        "<results>/data/images.json",
    log:
        "<logs>/check_images.log",
    benchmark:
        "<benchmarks>/check_images.tsv"
    localrule: True
    conda:
        environment("base")
    params:
        config=json.dumps(
            {
                "groups": GROUPS,
                "min_available": config["data"]["min_available"],
                "synthetic": bool(SYNTHETIC),
            }
        ),
    shell:
        "python -u {input.script:q} --availability {input.availability:q} --images {input.images:q}"
        " --index {input.index:q} --config {params.config:q} --output {output:q} > {log:q} 2>&1"


rule find_duplicates:
    input:
        **code("find_duplicates.py"),
        record="<results>/data/images.json",
        index=ancient("<results>/data/images.csv"),
        images=ancient(f"{SEARCHED}/images.npy"),
        packed=ancient(f"{SEARCHED}/images.csv"),
        sums=f"{SEARCHED}/packed.sha256" if DUPLICATES["method"] == "features" else [],
        given=GIVEN_DUPLICATES,
    output:
        duplicates="<results>/data/duplicates.csv",
        listed="<results>/data/near_duplicates.csv",
        links="<results>/data/duplicate_links.csv",
        pairs="<results>/data/duplicate_pairs.npz",
        clusters=table("duplicate_clusters"),
        thresholds=table("duplicates_by_threshold"),
        summary="<results>/tables/duplicates.csv",
    log:
        "<logs>/find_duplicates.log",
    benchmark:
        "<benchmarks>/find_duplicates.tsv"
    conda:
        environment("base")
    threads: 16  # or all there are
    resources:
        **growing(mem_mb=2000, runtime=60),
    params:
        config=as_json({"duplicates": DUPLICATES, "groups": GROUPS}),
        given=content_of(GIVEN_DUPLICATES),
        work=f"{DATA}/.features",
        finished=f"{DATA}/.finished_duplicates",
    shell:
        "python -u {input.script:q} --images {input.images:q} --packed {input.packed:q} --index {input.index:q}"
        " --config {params.config:q} --work {params.work:q} --finished {params.finished:q} --workers {threads}"
        " --duplicates {output.duplicates:q} --list {output.listed:q} --links {output.links:q}"
        " --pairs {output.pairs:q} --clusters {output.clusters:q} --thresholds {output.thresholds:q}"
        " --summary {output.summary:q} > {log:q} 2>&1"


rule measure_tone:
    input:
        **code("measure_tone.py"),
        **IMAGES,
    output:
        tone="<results>/data/tone.csv",
        by_type=table("tone_by_type"),
        by_source="<results>/tables/tone_by_source.csv",
    log:
        "<logs>/measure_tone.log",
    benchmark:
        "<benchmarks>/measure_tone.tsv"
    conda:
        environment("base")
    threads: 16  # or all there are
    resources:
        **growing(mem_mb=4000, runtime=30),
    params:
        config=json.dumps({"groups": GROUPS}),
    shell:
        "python -u {input.script:q} --images {input.images:q} --index {input.index:q} --config {params.config:q}"
        " --workers {threads} --tone {output.tone:q} --by-type {output.by_type:q} --by-source {output.by_source:q}"
        " > {log:q} 2>&1"


rule describe_data:
    input:
        **code("describe_data.py"),
        availability=ancient("<results>/data/availability.csv"),
        sums="<results>/data/packed.sha256",
        duplicates="<results>/data/duplicates.csv",
        tone="<results>/data/tone.csv" if config["data"]["skin"] else [],
    output:
        counts=table("availability"),
        statuses="<results>/tables/availability_by_status.csv",
        card=table("dataset_card"),
    log:
        "<logs>/describe_data.log",
    benchmark:
        "<benchmarks>/describe_data.tsv"
    localrule: True
    conda:
        environment("base")
    params:
        config=json.dumps({"groups": GROUPS}),
        tone_option=lambda wildcards, input: "--tone" if input.tone else "",
    shell:
        "python -u {input.script:q} --availability {input.availability:q} --duplicates {input.duplicates:q}"
        " {params.tone_option} {input.tone:q} --config {params.config:q}"
        " --counts {output.counts:q} --statuses {output.statuses:q} --card {output.card:q} > {log:q} 2>&1"


# For the folds of the probes and for the bootstrap, in which patients and near-duplicates are never apart.
rule keep_together:
    input:
        **code("isolate_images.py"),
        record="<results>/data/images.json",
        images=ancient("<results>/data/images.csv"),
        duplicates="<results>/data/duplicates.csv",
    output:
        clusters="<results>/data/together.csv",
        sums="<results>/data/together.sha256",
    log:
        "<logs>/keep_together.log",
    benchmark:
        "<benchmarks>/keep_together.tsv"
    localrule: True
    conda:
        environment("base")
    params:
        duplicates_option="--duplicates",
        patients="auto",
    shell:
        "python -u {input.script:q} --images {input.images:q} {params.duplicates_option} {input.duplicates:q}"
        " --patients {params.patients:q} --output {output.clusters:q} --sums {output.sums:q} > {log:q} 2>&1"


# The clusters in the form of published lists: identifiers alone.
rule duplicates:
    input:
        "<results>/data/near_duplicates.csv",
    localrule: True


rule data:
    input:
        "<results>/data/metadata.csv",
        "<results>/data/images.json",
        "<results>/tables/dataset_card.csv",
    localrule: True
