# From a table and scattered photographs to one array.
# Needs: data.metadata and data.sources (or data.synthetic). Makes: data/metadata.csv, data/images.npy with
# its index and record, data/availability.csv.

from fairgen.folders import folder_fingerprint

SYNTHETIC = config["data"]["synthetic"]
DOWNLOADS = "results/downloads"
DATA = f"results/{config['study']}/data"
if SYNTHETIC:
    METADATA = f"{DATA}/phantom/metadata.csv"
    METADATA_SHA256 = "none"
    SOURCES = [{"archive": f"{DATA}/phantom/images.zip"}]
else:
    METADATA = config["data"]["metadata"]
    METADATA_SHA256 = config["data"]["metadata_sha256"] or "none"
    SOURCES = config["data"]["sources"]
METADATA_IS_LOCAL = not METADATA.startswith(("http://", "https://"))


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
        mem_mb=1000,
        runtime=10,
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
        sha256=METADATA_SHA256,
        downloads=DOWNLOADS,
    shell:
        "python -u {input.script:q} --source {params.source:q} --sha256 {params.sha256:q}"
        " --downloads {params.downloads:q} --output {output:q} > {log:q} 2>&1"


rule pack_images:
    input:
        script=script("pack_images.py"),
        lib=imports("pack_images.py"),
        metadata="<results>/data/metadata.csv",
        archives=[entry["archive"] for entry in SOURCES if "archive" in entry],
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
        mem_mb=2000,
        runtime=120,
    params:
        sources=json.dumps(SOURCES),
        # New files in a folder repack it; touched ones do not.
        folders=[folder_fingerprint(entry["folder"]) for entry in SOURCES if "folder" in entry],
        downloads=f"{DOWNLOADS}/images",
        side=config["data"]["image_size"],
        icc=config["data"]["icc"],
        work=f"{DATA}/.packing",
    shell:
        "python -u {input.script:q} --metadata {input.metadata:q} --sources {params.sources:q}"
        " --downloads {params.downloads:q} --side {params.side} --icc {params.icc}"
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
        "<results>/data/availability.csv",
        "<results>/data/images.json",
    localrule: True
