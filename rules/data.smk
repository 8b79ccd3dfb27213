# From a table and scattered photographs to one array.
# Needs: data.metadata and data.sources (or data.synthetic). Makes: data/metadata.csv, data/images.npy with
# its index and record, data/availability.csv.

from fairgen.folders import folder_fingerprint

SYNTHETIC = config["data"]["synthetic"]
DOWNLOADS = "results/downloads"
DATA = f"results/{config['study']}/data"
# What a killed run goes on from; deleted when the photographs are packed.
PACKING = f"{DATA}/.packing"
if SYNTHETIC:
    METADATA = f"{DATA}/phantom/metadata.csv"
    METADATA_SHA256 = "none"
    SOURCES = [{"archive": f"{DATA}/phantom/images.zip"}]
else:
    METADATA = config["data"]["metadata"]
    METADATA_SHA256 = config["data"]["metadata_sha256"] or "none"
    SOURCES = config["data"]["sources"]
# The whole set of shards, whether or not there is something to download: wildcards are closed.
SHARDS = [str(shard) for shard in range(config["data"]["download"]["shards"])]
USES_URLS = any("urls" in entry for entry in SOURCES)
ARCHIVES = [entry["archive"] for entry in SOURCES if "archive" in entry]
# New files in a folder are looked at; touched ones are not.
FOLDERS = [folder_fingerprint(entry["folder"]) for entry in SOURCES if "folder" in entry]
METADATA_IS_LOCAL = not METADATA.startswith(("http://", "https://"))


wildcard_constraints:
    shard="|".join(SHARDS),


rule make_phantom:
    input:
        script=script("make_phantom.py"),
        lib=imports("make_phantom.py"),
    output:
        metadata="<results>/data/phantom/metadata.csv",
        images="<results>/data/phantom/images.zip",
        truth="<results>/data/phantom/truth.csv",
    log:
        "<logs>/make_phantom.log",
    benchmark:
        "<benchmarks>/make_phantom.tsv"
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        n=SYNTHETIC and SYNTHETIC["n"],
        size=SYNTHETIC and SYNTHETIC["size"],
        dark_difficulty=SYNTHETIC and SYNTHETIC["dark_difficulty"],
        seed=config["seed"],
    shell:
        "python -u {input.script:q} --n {params.n} --size {params.size} --seed {params.seed}"
        " --dark-difficulty {params.dark_difficulty} --metadata {output.metadata:q}"
        " --images {output.images:q} --truth {output.truth:q} > {log:q} 2>&1"


rule fetch_metadata:
    input:
        script=script("fetch_metadata.py"),
        lib=imports("fetch_metadata.py"),
        table=METADATA if METADATA_IS_LOCAL else [],
    output:
        "<results>/data/metadata.csv",
    log:
        "<logs>/fetch_metadata.log",
    benchmark:
        "<benchmarks>/fetch_metadata.tsv"
    retries: 0 if METADATA_IS_LOCAL else 2
    localrule: True
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        http=0 if METADATA_IS_LOCAL else 1,
    params:
        # A path is the rule's input, a URL its parameter.
        source=lambda wildcards, input: input.table or METADATA,
        # What follows from an input does not count as a change: another URL has to be seen.
        url="" if METADATA_IS_LOCAL else METADATA,
        sha256=METADATA_SHA256,
        columns=json.dumps(config["data"]["columns"]),
        skin_types=json.dumps(
            {str(cell): kind for cell, kind in config["data"]["skin_types"].items()}
        ),
        downloads=DOWNLOADS,
    shell:
        "python -u {input.script:q} --source {params.source:q} --sha256 {params.sha256:q}"
        " --columns {params.columns:q} --skin-types {params.skin_types:q}"
        " --downloads {params.downloads:q} --output {output:q} > {log:q} 2>&1"


# Everything that can be known to be wrong, before the first expensive job. What it writes is always the same, and
# neither its code nor the configuration runs it again (parameters that take `input` are not compared): it decides on
# nothing but whether a study begins. What is changed
# afterwards is refused by the jobs that it concerns.
rule check_study:
    input:
        metadata="<results>/data/metadata.csv",
    output:
        "<results>/checks/study.txt",
    log:
        "<logs>/check_study.log",
    benchmark:
        "<benchmarks>/check_study.tsv"
    localrule: True
    conda:
        environment("torch")
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        script=lambda wildcards, input: script("check_study.py"),
        config=lambda wildcards, input: json.dumps(config),
        results=f"results/{config['study']}",
        downloads=DOWNLOADS,
        elsewhere=lambda wildcards, input: "--elsewhere" if workflow.non_local_exec else "",
    shell:
        "python -u {params.script:q} --metadata {input.metadata:q} --config {params.config:q}"
        " --results {params.results:q} --downloads {params.downloads:q} {params.elsewhere} --output {output:q}"
        " > {log:q} 2>&1"


# Never a request for what is there already: only images that no folder or archive holds are asked for.
rule list_downloads:
    input:
        script=script("list_downloads.py"),
        lib=imports("list_downloads.py"),
        checked="<results>/checks/study.txt",
        metadata="<results>/data/metadata.csv",
        archives=ARCHIVES,
    output:
        "<results>/data/downloads/wanted.csv",
    log:
        "<logs>/list_downloads.log",
    benchmark:
        "<benchmarks>/list_downloads.tsv"
    localrule: True
    conda:
        environment("base")
    threads: 16  # or all there are
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        sources=json.dumps(SOURCES),
        folders=FOLDERS,
        work=PACKING,
    shell:
        "python -u {input.script:q} --metadata {input.metadata:q} --sources {params.sources:q}"
        " --workers {threads} --work {params.work:q} --output {output:q} > {log:q} 2>&1"


# Local, since nodes of a cluster rarely reach the web. The images are undeclared files in a cache shared by
# all studies: a job that is killed and started again fetches what is not there yet. Dead links are remembered
# beside them until that file is deleted.
rule download_shard:
    input:
        script=script("download_shard.py"),
        lib=imports("download_shard.py"),
        jobs="<results>/data/downloads/wanted.csv",
    output:
        "<results>/data/downloads/shard{shard}.csv",
    log:
        "<logs>/download_shard/{shard}.log",
    benchmark:
        "<benchmarks>/download_shard/{shard}.tsv"
    retries: 2
    localrule: True
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=240,
        http=1,
    params:
        settings=json.dumps(config["data"]["download"], sort_keys=True),
        shards=len(SHARDS),
        folder=f"{DOWNLOADS}/images",
        failures=f"{DOWNLOADS}/failures.jsonl",
    shell:
        "python -u {input.script:q} --jobs {input.jobs:q} --shard {wildcards.shard} --shards {params.shards}"
        " --settings {params.settings:q} --folder {params.folder:q}"
        " --failures {params.failures:q} --output {output:q} > {log:q} 2>&1"


rule pack_images:
    input:
        script=script("pack_images.py"),
        lib=imports("pack_images.py"),
        checked="<results>/checks/study.txt",
        metadata="<results>/data/metadata.csv",
        archives=ARCHIVES,
        downloads=(
            expand("<results>/data/downloads/shard{shard}.csv", shard=SHARDS) if USES_URLS else []
        ),
    output:
        images="<results>/data/images.npy",
        index="<results>/data/images.csv",
        availability="<results>/data/availability.csv",
    log:
        "<logs>/pack_images.log",
    benchmark:
        "<benchmarks>/pack_images.tsv"
    conda:
        environment("base")
    threads: 16  # or all there are
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        sources=json.dumps(SOURCES),
        folders=FOLDERS,
        downloads=f"{DOWNLOADS}/images",
        side=config["data"]["image_size"],
        icc=config["data"]["icc"],
        work=PACKING,
    shell:
        "python -u {input.script:q} --metadata {input.metadata:q} --sources {params.sources:q}"
        " --downloads {params.downloads:q} --download-status {input.downloads:q} --side {params.side} --icc {params.icc}"
        " --workers {threads} --work {params.work:q} --images {output.images:q}"
        " --index {output.index:q} --availability {output.availability:q} > {log:q} 2>&1"


# The gate: later stages take this record, so nothing goes on without enough photographs, and nothing is
# done again when the same photographs are packed again.
rule check_images:
    input:
        script=script("check_images.py"),
        lib=imports("check_images.py"),
        images="<results>/data/images.npy",
        index="<results>/data/images.csv",
        availability="<results>/data/availability.csv",
    output:
        "<results>/data/images.json",
    log:
        "<logs>/check_images.log",
    benchmark:
        "<benchmarks>/check_images.tsv"
    localrule: True
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        label=config["splits"]["label"],
        light=config["splits"]["light"],
        dark=config["splits"]["dark"],
        min_available=config["data"]["min_available"],
        synthetic="--synthetic" if SYNTHETIC else "",
    shell:
        "python -u {input.script:q} --availability {input.availability:q} --images {input.images:q}"
        " --index {input.index:q} --label {params.label} --light {params.light} --dark {params.dark}"
        " --min-available {params.min_available} {params.synthetic} --output {output:q} > {log:q} 2>&1"


rule data:
    input:
        "<results>/data/metadata.csv",
        "<results>/data/images.json",
        "<results>/tables/dataset_card.csv",
    localrule: True
