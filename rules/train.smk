# Training. Needs a manifest, the packed images and the weights of VGG19; makes one model per training set, run and
# start, each a job of its own on one GPU, with its history and record.
from evenhand.workflow.config import training_settings

WEIGHTS = config["loss"]["perceptual_weights"]
# A file that the user names.
GIVEN_WEIGHTS = [] if WEIGHTS in ("imagenet", "random") else [ancient(WEIGHTS)]
# A file or folder of the user, which some families read, with the description that may be beside a file of weights.
GIVEN_FILES = [value for option, value in config["model"]["options"].items() if option == "path"]
GIVEN_FILES += [Path(file).with_name("config.json") for file in GIVEN_FILES if Path(file).is_file()]


rule perceptual_features:
    input:
        **code("prepare_vgg19.py"),
        weights=GIVEN_WEIGHTS,
    output:
        features="<results>/perceptual/vgg19.safetensors",
        sums="<results>/perceptual/vgg19.sha256",
    log:
        "<logs>/perceptual_features.log",
    benchmark:
        "<benchmarks>/perceptual_features.tsv"
    localrule: True
    conda:
        environment("torch")
    params:
        config=json.dumps({"seed": config["seed"], "weights": WEIGHTS}),
        given=content_of(GIVEN_WEIGHTS),
        downloads="results/downloads",
    shell:
        "python -u {input.script:q} --config {params.config:q} --downloads {params.downloads:q}"
        " --output {output.features:q} --sums {output.sums:q} > {log:q} 2>&1"


if FAMILY.trained:

    rule train_vae:
        input:
            **model_code("train_vae.py"),
            **IMAGES,
            **by_sum(features="<results>/perceptual/vgg19.safetensors"),
            manifest="<results>/splits/run{run}/train_{train_set}.csv",
            manifest_sum="<results>/splits/run{run}/train_{train_set}.sha256",
            checked="<results>/checks/run{run}.txt",
        output:
            model="<results>/runs/{train_set}/run{run}{start}/model.safetensors",
            history="<results>/runs/{train_set}/run{run}{start}/history.csv",
            record="<results>/runs/{train_set}/run{run}{start}/run.json",
        log:
            "<logs>/train_vae/{train_set}.run{run}{start}.log",
        benchmark:
            "<benchmarks>/train_vae/{train_set}.run{run}{start}.tsv"
        conda:
            environment("torch")
        threads: config["train"]["threads"]
        resources:
            **on_gpu("train"),
            **growing(mem_mb=10000, runtime=120),
            tensorboard=int(config["train"]["tensorboard"]),
        params:
            config=as_json(training_settings(config)),
            start=lambda wildcards: STARTS.index(wildcards.start),
        shell:
            "python -u {input.script:q} --images {input.images:q} --index {input.index:q} --record {input.record:q}"
            " --manifest {input.manifest:q} --features {input.features:q} --train-set {wildcards.train_set:q}"
            " --run {wildcards.run} --start {params.start:q} --config {params.config:q} --threads {threads}"
            " --gpus {resources.gpu} --gpu-slots {resources.gpu_slots} --tensorboard {resources.tensorboard}"
            " --model {output.model:q} --history {output.history:q} --run-record {output.record:q} > {log:q} 2>&1"

else:

    # Nothing is trained: the model is its options, and what it reads of the user's files.
    rule freeze_model:
        input:
            **model_code("freeze_model.py"),
            **IMAGES,
            test="<results>/splits/run{run}/test.csv",
            test_sum="<results>/splits/run{run}/test.sha256",
            manifest="<results>/splits/run{run}/train_{train_set}.csv",
            checked="<results>/checks/run{run}.txt",
        output:
            model="<results>/runs/{train_set}/run{run}{start}/model.safetensors",
            record="<results>/runs/{train_set}/run{run}{start}/run.json",
        log:
            "<logs>/freeze_model/{train_set}.run{run}{start}.log",
        benchmark:
            "<benchmarks>/freeze_model/{train_set}.run{run}{start}.tsv"
        localrule: True
        conda:
            environment("torch")
        params:
            config=as_json({key: config[key] for key in ("seed", "model")}),
            given=content_of(GIVEN_FILES),
        shell:
            "python -u {input.script:q} --images {input.images:q} --index {input.index:q} --test {input.test:q}"
            " --manifest {input.manifest:q} --train-set {wildcards.train_set:q} --run {wildcards.run}"
            " --config {params.config:q} --model {output.model:q} --run-record {output.record:q} > {log:q} 2>&1"


rule train:
    input:
        of_models("model.safetensors"),
    localrule: True
