# Evaluation. Needs models, their training manifests and the test manifests; makes the per-image tables of each model, a
# few reconstructions to look at, and how far the models of all runs differ.
from evenhand.workflow.config import evaluation_settings


rule evaluate_vae:
    input:
        **code("evaluate_vae.py"),
        **IMAGES,
        **by_sum(features="<results>/perceptual/vgg19.safetensors"),
        **by_sum(clusters="<results>/data/isolated.csv"),
        # The record of a training holds the sum of its model.
        training="<results>/runs/{train_set}/run{run}/run.json",
        model=ancient("<results>/runs/{train_set}/run{run}/model.safetensors"),
        test="<results>/splits/run{run}/test.csv",
        test_sum="<results>/splits/run{run}/test.sha256",
        manifest="<results>/splits/run{run}/train_{train_set}.csv",
        manifest_sum="<results>/splits/run{run}/train_{train_set}.sha256",
    output:
        evaluation="<results>/runs/{train_set}/run{run}/evaluation.parquet",
        embeddings="<results>/runs/{train_set}/run{run}/embeddings.npz",
        samples="<results>/runs/{train_set}/run{run}/samples.parquet",
        sums="<results>/runs/{train_set}/run{run}/evaluation.sha256",
    log:
        "<logs>/evaluate_vae/{train_set}.run{run}.log",
    benchmark:
        "<benchmarks>/evaluate_vae/{train_set}.run{run}.tsv"
    conda:
        environment("torch")
    threads: config["train"]["threads"]
    resources:
        gpu=1,
        gpu_slots=config["gpu"]["slots_per_device"],
        mem_mb=growing(6000),
        runtime=growing(30),
    params:
        config=lambda wildcards: json.dumps(
            evaluation_settings(config, wildcards.train_set), sort_keys=True
        ),
    shell:
        "python -u {input.script:q} --model {input.model:q} --images {input.images:q} --index {input.index:q}"
        " --test {input.test:q} --training {input.manifest:q} --clusters {input.clusters:q} --features {input.features:q}"
        " --train-set {wildcards.train_set:q} --run {wildcards.run} --config {params.config:q} --threads {threads}"
        " --gpus {resources.gpu} --gpu-slots {resources.gpu_slots}"
        " --evaluation {output.evaluation:q} --embeddings {output.embeddings:q} --samples {output.samples:q}"
        " --sums {output.sums:q} > {log:q} 2>&1"


rule reconstruct_examples:
    input:
        **code("reconstruct_examples.py"),
        **IMAGES,
        **by_sum(clusters="<results>/data/isolated.csv"),
        train_sets="<results>/settings/train_sets.json",
        trainings=expand("<results>/runs/{train_set}/run0/run.json", train_set=TRAIN_SETS),
        models=ancient(
            expand("<results>/runs/{train_set}/run0/model.safetensors", train_set=TRAIN_SETS)
        ),
        evaluations=expand(
            "<results>/runs/{train_set}/run0/evaluation.parquet", train_set=TRAIN_SETS
        ),
        manifests=expand(
            "<results>/splits/run0/train_{train_set}.{kind}",
            train_set=TRAIN_SETS,
            kind=["csv", "sha256"],
        ),
    output:
        "<results>/examples.npz",
    log:
        "<logs>/reconstruct_examples.log",
    benchmark:
        "<benchmarks>/reconstruct_examples.tsv"
    conda:
        environment("torch")
    resources:
        gpu=1,
        gpu_slots=config["gpu"]["slots_per_device"],
        mem_mb=growing(6000),
        runtime=growing(30),
    params:
        models=lambda wildcards, input: Path(input.trainings[0]).parents[2],
        splits=lambda wildcards, input: Path(input.manifests[0]).parents[1],
        config=json.dumps({key: config["evaluate"][key] for key in ("examples", "device")}),
    shell:
        "python -u {input.script:q} --train-sets {input.train_sets:q} --models {params.models:q}"
        " --splits {params.splits:q} --clusters {input.clusters:q} --images {input.images:q} --index {input.index:q}"
        " --config {params.config:q}"
        " --gpus {resources.gpu} --gpu-slots {resources.gpu_slots} --output {output:q} > {log:q} 2>&1"


# Test images of the first run under the models of all runs that were not trained on them.
rule measure_ensemble:
    input:
        **code("measure_ensemble.py"),
        **IMAGES,
        **by_sum(clusters="<results>/data/isolated.csv"),
        trainings=expand(
            "<results>/runs/{train_set}/run{run}/run.json", run=RUNS, allow_missing=True
        ),
        models=ancient(
            expand(
                "<results>/runs/{train_set}/run{run}/model.safetensors",
                run=RUNS,
                allow_missing=True,
            )
        ),
        test=expand("<results>/splits/run0/test.{kind}", kind=["csv", "sha256"]),
        manifests=expand(
            "<results>/splits/run{run}/train_{train_set}.{kind}",
            run=RUNS,
            kind=["csv", "sha256"],
            allow_missing=True,
        ),
    output:
        "<results>/runs/{train_set}/ensemble.parquet",
    log:
        "<logs>/measure_ensemble/{train_set}.log",
    benchmark:
        "<benchmarks>/measure_ensemble/{train_set}.tsv"
    conda:
        environment("torch")
    threads: config["train"]["threads"]
    resources:
        gpu=1,
        gpu_slots=config["gpu"]["slots_per_device"],
        mem_mb=growing(6000),
        runtime=growing(60),
    params:
        models=lambda wildcards, input: Path(input.trainings[0]).parents[1],
        splits=lambda wildcards, input: Path(input.manifests[0]).parents[1],
        config=json.dumps(
            {"runs": len(RUNS)}
            | {key: config["evaluate"][key] for key in ("batch_size", "device")}
        ),
    shell:
        "python -u {input.script:q} --models {params.models:q} --splits {params.splits:q}"
        " --clusters {input.clusters:q} --train-set {wildcards.train_set:q} --images {input.images:q} --index {input.index:q}"
        " --config {params.config:q} --threads {threads}"
        " --gpus {resources.gpu} --gpu-slots {resources.gpu_slots} --output {output:q} > {log:q} 2>&1"


rule evaluate:
    input:
        expand(
            "<results>/runs/{train_set}/run{run}/evaluation.parquet",
            train_set=TRAIN_SETS,
            run=RUNS,
        ),
        expand("<results>/runs/{train_set}/ensemble.parquet", train_set=TRAIN_SETS),
        "<results>/examples.npz",
    localrule: True
