# Each model on the two test sets of its run, and a few reconstructions to look at.


rule evaluate_vae:
    input:
        script=script("evaluate_vae.py"),
        lib=imports("evaluate_vae.py"),
        model="<results>/runs/{train_set}/run{run}/model.safetensors",
        features="<results>/perceptual/vgg19.safetensors",
        images=ancient("<results>/data/images.npy"),
        index=ancient("<results>/data/images.csv"),
        manifest=ancient("<results>/splits/run{run}.csv"),
    output:
        evaluation="<results>/runs/{train_set}/run{run}/evaluation.parquet",
        embeddings="<results>/runs/{train_set}/run{run}/embeddings.npz",
        samples="<results>/runs/{train_set}/run{run}/samples.parquet",
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
        config=evaluate_json(),
        dark_share=lambda wildcards: dark_share(wildcards.train_set),
    shell:
        "python -u {input.script:q} --model {input.model:q} --images {input.images:q} --index {input.index:q}"
        " --manifest {input.manifest:q} --features {input.features:q} --train-set {wildcards.train_set:q} --dark-share {params.dark_share}"
        " --run {wildcards.run} --config {params.config:q} --threads {threads}"
        " --gpus {resources.gpu} --gpu-slots {resources.gpu_slots}"
        " --evaluation {output.evaluation:q} --embeddings {output.embeddings:q} --samples {output.samples:q} > {log:q} 2>&1"


rule reconstruct_examples:
    input:
        script=script("reconstruct_examples.py"),
        lib=imports("reconstruct_examples.py"),
        models=expand("<results>/runs/{train_set}/run0/model.safetensors", train_set=TRAIN_SETS),
        evaluations=expand(
            "<results>/runs/{train_set}/run0/evaluation.parquet", train_set=TRAIN_SETS
        ),
        images=ancient("<results>/data/images.npy"),
        index=ancient("<results>/data/images.csv"),
    output:
        "<results>/examples.npz",
    log:
        "<logs>/reconstruct_examples.log",
    benchmark:
        "<benchmarks>/reconstruct_examples.tsv"
    conda:
        environment("torch")
    threads: 1
    resources:
        gpu=1,
        gpu_slots=config["gpu"]["slots_per_device"],
        mem_mb=growing(6000),
        runtime=growing(30),
    params:
        train_sets=TRAIN_SETS,
        per_group=config["evaluate"]["examples"],
        device=config["evaluate"]["device"],
    shell:
        "python -u {input.script:q} --train-sets {params.train_sets:q} --models {input.models:q}"
        " --evaluations {input.evaluations:q} --images {input.images:q} --index {input.index:q}"
        " --per-group {params.per_group} --device {params.device}"
        " --gpus {resources.gpu} --gpu-slots {resources.gpu_slots} --output {output:q} > {log:q} 2>&1"


# Test images of the first run under the models of all runs that were not trained on them.
rule measure_ensemble:
    input:
        script=script("measure_ensemble.py"),
        lib=imports("measure_ensemble.py"),
        models=expand(
            "<results>/runs/{train_set}/run{run}/model.safetensors", run=RUNS, allow_missing=True
        ),
        manifests=ancient(expand("<results>/splits/run{run}.csv", run=RUNS)),
        images=ancient("<results>/data/images.npy"),
        index=ancient("<results>/data/images.csv"),
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
        batch_size=config["evaluate"]["batch_size"],
        device=config["evaluate"]["device"],
    shell:
        "python -u {input.script:q} --models {input.models:q} --manifests {input.manifests:q}"
        " --train-set {wildcards.train_set:q} --images {input.images:q} --index {input.index:q}"
        " --batch-size {params.batch_size} --device {params.device} --threads {threads}"
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
