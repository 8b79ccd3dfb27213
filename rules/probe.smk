# What the embeddings give away. One job per embedding; the tables collect them all.

# One entry per embedding: its name here, and what the tables call it.
EMBEDDINGS = list(probe_members().values())
OPENCLIP = {
    entry["name"]: entry["model"]
    for entry in config["probe"]["sources"]
    if entry["kind"] == "openclip"
}
UNSEEN = {entry["name"]: entry for entry in config["probe"]["sources"] if of_unseen_images(entry)}
PROBE_DESIGN = (
    ["<results>/tables/design.csv"] if any(entry["train_set"] for entry in EMBEDDINGS) else []
)
# The folder and not the files: their paths would not fit on a command line.
PROBE_OPTIONS = f"--folder results/{config['study']}/probes"
# Embeddings given as files that this workflow makes itself.
LOOKALIKES = [
    entry[part]
    for entry in config["probe"]["sources"]
    if entry["kind"] == "file" and config["probe"]["lookalike"]
    for part in ("embeddings", "metadata")
]
PROBE_TABLES = ["folds", "counts", "left_out", "poster", "curves", "tests", "sets", "claims"]


wildcard_constraints:
    member="|".join(member_pattern(entry) for entry in config["probe"]["sources"]) or "none",
    unseen="|".join(re.escape(name) for name in UNSEEN) or "none",


if config["probe"]["lookalike"]:

    rule make_lookalike:
        input:
            script=script("make_lookalike.py"),
            lib=imports("make_lookalike.py"),
        output:
            metadata="<results>/lookalike/{dataset}.csv",
            cxr_foundation="<results>/lookalike/{dataset}.cxr_foundation.npz",
            biomedclip="<results>/lookalike/{dataset}.biomedclip.npz",
            sums="<results>/lookalike/{dataset}.sha256",
        log:
            "<logs>/make_lookalike/{dataset}.log",
        benchmark:
            "<benchmarks>/make_lookalike/{dataset}.tsv"
        wildcard_constraints:
            dataset="mimic|chexpert",
        conda:
            environment("base")
        threads: 1
        resources:
            mem_mb=growing(1000),
            runtime=growing(5),
        params:
            patients=config["probe"]["lookalike"]["patients"],
            features=config["probe"]["lookalike"]["features"],
            seed=config["seed"],
        shell:
            "python -u {input.script:q} --dataset {wildcards.dataset} --patients {params.patients} --seed {params.seed}"
            " --models cxr_foundation={params.features} biomedclip={params.features} --metadata {output.metadata:q}"
            " --embeddings {output.cxr_foundation:q} {output.biomedclip:q} --sums {output.sums:q} > {log:q} 2>&1"


rule embed_images:
    input:
        script=script("embed_images.py"),
        lib=imports("embed_images.py"),
        record="<results>/data/images.json",
        images=ancient("<results>/data/images.npy"),
        index=ancient("<results>/data/images.csv"),
    output:
        embeddings="<results>/probes/{openclip}/embeddings.npz",
        metadata="<results>/probes/{openclip}/metadata.csv",
        sums="<results>/probes/{openclip}/embeddings.sha256",
    log:
        "<logs>/embed_images/{openclip}.log",
    benchmark:
        "<benchmarks>/embed_images/{openclip}.tsv"
    wildcard_constraints:
        openclip="|".join(OPENCLIP) or "none",
    conda:
        environment("openclip")
    threads: 4
    resources:
        gpu=1,
        gpu_slots=config["gpu"]["slots_per_device"],
        mem_mb=growing(8000),
        runtime=growing(120),
    params:
        model=lambda wildcards: OPENCLIP[wildcards.openclip],
        label=config["splits"]["label"],
        light=config["splits"]["light"],
        dark=config["splits"]["dark"],
        device=config["probe"]["device"],
    shell:
        "python -u {input.script:q} --model {params.model:q} --images {input.images:q} --index {input.index:q}"
        " --label {params.label} --light {params.light} --dark {params.dark} --device {params.device}"
        " --gpus {resources.gpu} --gpu-slots {resources.gpu_slots} --embeddings {output.embeddings:q} --metadata {output.metadata:q}"
        " --sums {output.sums:q} > {log:q} 2>&1"


rule embed_unseen:
    input:
        script=script("embed_unseen.py"),
        lib=imports("embed_unseen.py"),
        training="<results>/runs/{train_set}/run{run}/run.json",
        model=ancient("<results>/runs/{train_set}/run{run}/model.safetensors"),
        record="<results>/data/images.json",
        images=ancient("<results>/data/images.npy"),
        index=ancient("<results>/data/images.csv"),
        manifest="<results>/splits/run{run}/train_{train_set}.csv",
        manifest_sum="<results>/splits/run{run}/train_{train_set}.sha256",
        clusters=ISOLATED,
    output:
        embeddings="<results>/probes/{unseen}.{train_set}.run{run}/embeddings.npz",
        metadata="<results>/probes/{unseen}.{train_set}.run{run}/metadata.csv",
        sums="<results>/probes/{unseen}.{train_set}.run{run}/embeddings.sha256",
    log:
        "<logs>/embed_unseen/{unseen}.{train_set}.run{run}.log",
    benchmark:
        "<benchmarks>/embed_unseen/{unseen}.{train_set}.run{run}.tsv"
    conda:
        environment("torch")
    threads: config["train"]["threads"]
    resources:
        gpu=1,
        gpu_slots=config["gpu"]["slots_per_device"],
        mem_mb=growing(6000),
        runtime=growing(60),
    params:
        latents=lambda wildcards: UNSEEN[wildcards.unseen].get("latents", "pooled"),
        label=config["splits"]["label"],
        light=config["splits"]["light"],
        dark=config["splits"]["dark"],
        batch_size=config["evaluate"]["batch_size"],
        device=config["evaluate"]["device"],
        clusters=clusters_option,
    shell:
        "python -u {input.script:q} --model {input.model:q} --images {input.images:q} --index {input.index:q}"
        " --training {input.manifest:q} {params.clusters} --train-set {wildcards.train_set:q} --run {wildcards.run} --label {params.label}"
        " --light {params.light} --dark {params.dark} --latents {params.latents:q} --batch-size {params.batch_size}"
        " --device {params.device} --threads {threads} --gpus {resources.gpu} --gpu-slots {resources.gpu_slots}"
        " --embeddings {output.embeddings:q} --metadata {output.metadata:q} --sums {output.sums:q} > {log:q} 2>&1"


# As check_study, of embeddings that are given as files.
rule check_sources:
    input:
        LOOKALIKES,
    output:
        "<results>/checks/sources.txt",
    log:
        "<logs>/check_sources.log",
    benchmark:
        "<benchmarks>/check_sources.tsv"
    conda:
        environment("torch")
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=growing(60),
    params:
        script=lambda wildcards, input: script("check_sources.py"),
        config=lambda wildcards, input: json.dumps(
            {"seed": config["seed"], "probe": config["probe"]}
        ),
    shell:
        "python -u {params.script:q} --config {params.config:q} --output {output:q} > {log:q} 2>&1"


rule probe_embeddings:
    input:
        unpack(probe_inputs),
        script=script("probe_embeddings.py"),
        lib=imports("probe_embeddings.py"),
    output:
        folds="<results>/probes/{member}/folds.csv",
        counts="<results>/probes/{member}/counts.csv",
        left_out="<results>/probes/{member}/left_out.csv",
    log:
        "<logs>/probe_embeddings/{member}.log",
    benchmark:
        "<benchmarks>/probe_embeddings/{member}.tsv"
    conda:
        environment("torch")
    threads: config["probe"]["threads"]
    resources:
        gpu=1,
        gpu_slots=config["gpu"]["slots_per_device"],
        mem_mb=growing(6000),
        runtime=growing(240),
    params:
        config=lambda wildcards: probe_json(wildcards.member),
        given=lambda wildcards: given_embeddings(wildcards.member),
        clusters=clusters_option,
    shell:
        "python -u {input.script:q} --name {wildcards.member} --embeddings {input.embeddings:q}"
        " --metadata {input.metadata:q} {params.clusters} --config {params.config:q} --threads {threads}"
        " --gpus {resources.gpu} --gpu-slots {resources.gpu_slots} --folds {output.folds:q} --counts {output.counts:q}"
        " --left-out {output.left_out:q} > {log:q} 2>&1"


rule summarise_probes:
    input:
        script=script("summarise_probes.py"),
        lib=imports("summarise_probes.py"),
        folds=expand(
            "<results>/probes/{member}/folds.csv", member=[e["member"] for e in EMBEDDINGS]
        ),
        counts=expand(
            "<results>/probes/{member}/counts.csv", member=[e["member"] for e in EMBEDDINGS]
        ),
        left_out=expand(
            "<results>/probes/{member}/left_out.csv", member=[e["member"] for e in EMBEDDINGS]
        ),
        design=PROBE_DESIGN,
        settings="<results>/settings/probes.json",
    output:
        folds="<results>/tables/probe_folds.csv",
        counts="<results>/tables/probe_counts.csv",
        left_out="<results>/tables/probe_left_out.csv",
        poster=table("probe_poster"),
        curves="<results>/tables/probe_curves.csv",
        tests="<results>/tables/probe_tests.csv",
        sets="<results>/tables/probe_sets.csv",
        claims=table("probe_claims"),
    log:
        "<logs>/summarise_probes.log",
    benchmark:
        "<benchmarks>/summarise_probes.tsv"
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        options=PROBE_OPTIONS,
        design=lambda wildcards, input: f"--design {input.design}" if input.design else "",
    shell:
        "python -u {input.script:q} {params.options} --settings {input.settings:q} {params.design}"
        " --folds {output.folds:q} --counts {output.counts:q} --left-out {output.left_out:q} --poster {output.poster:q}"
        " --curves {output.curves:q} --tests {output.tests:q} --sets {output.sets:q} --claims {output.claims:q}"
        " > {log:q} 2>&1"
