# Probes: what the embeddings give away. Needs the embeddings of the evaluations, of other models or in files of the
# user; makes one job per embedding, and tables, verdicts and a page that collect them all.
import re

from evenhand.probes.members import collected, member_pattern, members_of, of_unseen_images
from evenhand.workflow.planning import as_list

PROBE_SOURCES = config["probe"]["sources"]
EMBEDDINGS = members_of(PROBE_SOURCES, TRAIN_SETS, len(RUNS))
OPENCLIP = {entry["name"]: entry["model"] for entry in PROBE_SOURCES if entry["kind"] == "openclip"}
UNSEEN = {entry["name"]: entry for entry in PROBE_SOURCES if of_unseen_images(entry)}
PROBE_DESIGN = (
    ["<results>/tables/design.csv"] if any(e.train_set for e in EMBEDDINGS.values()) else []
)
# Embeddings given as files that this workflow makes itself.
LOOKALIKES = [
    path
    for entry in PROBE_SOURCES
    if entry["kind"] == "file" and config["probe"]["lookalike"]
    for path in (entry["embeddings"], *as_list(entry["metadata"]))
]
ADAPTERS = [
    f"evenhand/data/datasets/{entry['adapter']}.py" for entry in PROBE_SOURCES if "adapter" in entry
]
# Inputs that are compared by their sums, or by their content where the user gives them.
LARGE = ("embeddings", "metadata", "index", "clusters")
PROBE_TABLES = ["folds", "counts", "left_out", "poster", "curves", "tests", "sets", "claims"]


wildcard_constraints:
    member=member_pattern(PROBE_SOURCES, TRAIN_SETS, len(RUNS)) or "none",
    unseen="|".join(re.escape(name) for name in UNSEEN) or "none",


if config["probe"]["lookalike"]:

    rule make_lookalike:
        input:
            **code("make_lookalike.py"),
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
        resources:
            **growing(mem_mb=1000, runtime=5),
        params:
            patients=config["probe"]["lookalike"]["patients"],
            features=config["probe"]["lookalike"]["features"],
            seed=config["seed"],
        shell:
            "python -u {input.script:q} --dataset {wildcards.dataset} --patients {params.patients:q}"
            " --seed {params.seed:q} --models cxr_foundation={params.features:q} biomedclip={params.features:q}"
            " --metadata {output.metadata:q} --embeddings {output.cxr_foundation:q} {output.biomedclip:q}"
            " --sums {output.sums:q} > {log:q} 2>&1"


rule embed_images:
    input:
        **code("embed_images.py"),
        **IMAGES,
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
        **on_gpu("probe"),
        **growing(mem_mb=8000, runtime=120),
    params:
        config=lambda wildcards: json.dumps(
            {
                "model": OPENCLIP[wildcards.openclip],
                "groups": GROUPS,
                "device": config["probe"]["device"],
            }
        ),
        given=lambda wildcards: content_of(local_folder(OPENCLIP[wildcards.openclip])),
    shell:
        "python -u {input.script:q} --config {params.config:q} --images {input.images:q} --index {input.index:q}"
        " --gpus {resources.gpu} --gpu-slots {resources.gpu_slots} --embeddings {output.embeddings:q}"
        " --metadata {output.metadata:q} --sums {output.sums:q} > {log:q} 2>&1"


rule embed_unseen:
    input:
        **model_code("embed_unseen.py"),
        **IMAGES,
        **by_sum(clusters="<results>/data/isolated.csv"),
        training="<results>/runs/{train_set}/run{run}/run.json",
        model=ancient("<results>/runs/{train_set}/run{run}/model.safetensors"),
        manifest="<results>/splits/run{run}/train_{train_set}.csv",
        manifest_sum="<results>/splits/run{run}/train_{train_set}.sha256",
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
        **on_gpu("evaluate"),
        **growing(mem_mb=6000, runtime=60),
    params:
        config=lambda wildcards: json.dumps(
            {
                "groups": GROUPS,
                "latents": UNSEEN[wildcards.unseen].get("latents", "pooled"),
                **{key: config["evaluate"][key] for key in ("batch_size", "device")},
            }
        ),
    shell:
        "python -u {input.script:q} --model {input.model:q} --images {input.images:q} --index {input.index:q}"
        " --training {input.manifest:q} --clusters {input.clusters:q} --train-set {wildcards.train_set:q}"
        " --run {wildcards.run} --config {params.config:q} --threads {threads}"
        " --gpus {resources.gpu} --gpu-slots {resources.gpu_slots}"
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
    resources:
        **growing(mem_mb=6000, runtime=60),
    params:
        script=lambda wildcards, input: script("check_sources.py"),
        config=lambda wildcards, input: json.dumps(
            {"seed": config["seed"], "probe": config["probe"]}
        ),
    shell:
        "python -u {params.script:q} --config {params.config:q} --output {output:q} > {log:q} 2>&1"


rule probe_embeddings:
    input:
        unpack(
            lambda wildcards: {
                role: ancient(path) if role in LARGE else path
                for role, path in EMBEDDINGS[wildcards.member].inputs(config).items()
            }
        ),
        **code("probe_embeddings.py", *ADAPTERS),
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
        **on_gpu("probe"),
        **growing(mem_mb=6000, runtime=240),
    params:
        config=lambda wildcards: as_json(
            EMBEDDINGS[wildcards.member].settings(config["seed"], config["probe"])
        ),
        given=lambda wildcards: content_of(EMBEDDINGS[wildcards.member].given(config)),
        images_option=lambda wildcards, input: " ".join(
            f"--{name} {input.get(name)}" for name in ("clusters", "index") if input.get(name)
        ),
    shell:
        "python -u {input.script:q} --name {wildcards.member} --embeddings {input.embeddings:q}"
        " --metadata {input.metadata:q} {params.images_option} --config {params.config:q} --threads {threads}"
        " --gpus {resources.gpu} --gpu-slots {resources.gpu_slots} --folds {output.folds:q} --counts {output.counts:q}"
        " --left-out {output.left_out:q} > {log:q} 2>&1"


rule summarise_probes:
    input:
        **code("summarise_probes.py"),
        folds=expand("<results>/probes/{member}/folds.csv", member=list(EMBEDDINGS)),
        counts=expand("<results>/probes/{member}/counts.csv", member=list(EMBEDDINGS)),
        left_out=expand("<results>/probes/{member}/left_out.csv", member=list(EMBEDDINGS)),
        design=PROBE_DESIGN,
        settings="<results>/settings/probes.json",
    output:
        **{name: table(f"probe_{name}") for name in PROBE_TABLES},
    log:
        "<logs>/summarise_probes.log",
    benchmark:
        "<benchmarks>/summarise_probes.tsv"
    conda:
        environment("base")
    resources:
        **growing(mem_mb=2000, runtime=10),
    params:
        # The folder and not the files: their paths would not fit on a command line.
        folder_option=f"--folder results/{config['study']}/probes",
        design_option=lambda wildcards, input: f"--design {input.design}" if input.design else "",
    shell:
        "python -u {input.script:q} {params.folder_option} --settings {input.settings:q} {params.design_option}"
        " --folds {output.folds:q} --counts {output.counts:q} --left-out {output.left_out:q} --poster {output.poster:q}"
        " --curves {output.curves:q} --tests {output.tests:q} --sets {output.sets:q} --claims {output.claims:q}"
        " > {log:q} 2>&1"
