# Evaluation. Needs models, their training manifests and the test manifests; makes the per-image tables of each model, a
# few reconstructions to look at, and how far the models of all runs differ.
from evenhand.workflow.config import evaluation_settings

# The runs of a frozen model do not differ.
ENSEMBLES = expand(
    "<results>/runs/{train_set}/ensemble.parquet", train_set=TRAIN_SETS if FAMILY.trained else []
)


rule evaluate_vae:
    input:
        **model_code("evaluate_vae.py"),
        **IMAGES,
        **by_sum(features="<results>/perceptual/vgg19.safetensors"),
        **by_sum(clusters="<results>/data/isolated.csv"),
        # The record of a training holds the sum of its model.
        training="<results>/runs/{train_set}/run{run}{start}/run.json",
        model=ancient("<results>/runs/{train_set}/run{run}{start}/model.safetensors"),
        test="<results>/splits/run{run}/test.csv",
        test_sum="<results>/splits/run{run}/test.sha256",
        manifest="<results>/splits/run{run}/train_{train_set}.csv",
        manifest_sum="<results>/splits/run{run}/train_{train_set}.sha256",
        lpips=LPIPS,
    output:
        evaluation="<results>/runs/{train_set}/run{run}{start}/evaluation.parquet",
        embeddings="<results>/runs/{train_set}/run{run}{start}/embeddings.npz",
        samples="<results>/runs/{train_set}/run{run}{start}/samples.parquet",
        pictures=(
            "<results>/runs/{train_set}/run{run}{start}/pictures.npz" if THERE_IS["prior"] else []
        ),
        sums="<results>/runs/{train_set}/run{run}{start}/evaluation.sha256",
    log:
        "<logs>/evaluate_vae/{train_set}.run{run}{start}.log",
    benchmark:
        "<benchmarks>/evaluate_vae/{train_set}.run{run}{start}.tsv"
    conda:
        environment("openclip") if EXTRACTOR else environment("torch")
    threads: config["train"]["threads"]
    resources:
        **on_gpu("evaluate"),
        **growing(mem_mb=8000, runtime=30),
    params:
        config=lambda wildcards: as_json(evaluation_settings(config, wildcards.train_set)),
        pictures_option="--pictures" if THERE_IS["prior"] else "",
        extractor_option=" ".join(f"--extractor-sum={found}" for found in content_of(EXTRACTOR)),
        lpips_option="--lpips" if LPIPS else "",
        lpips_content=content_of(LPIPS),
    shell:
        "python -u {input.script:q} --model {input.model:q} --images {input.images:q} --index {input.index:q}"
        " --test {input.test:q} --training {input.manifest:q} --clusters {input.clusters:q}"
        " --features {input.features:q} {params.extractor_option} {params.lpips_option} {input.lpips:q}"
        " --train-set {wildcards.train_set:q} --run {wildcards.run} --config {params.config:q} --threads {threads}"
        " --gpus {resources.gpu} --gpu-slots {resources.gpu_slots} --evaluation {output.evaluation:q} --embeddings {output.embeddings:q}"
        " --samples {output.samples:q} {params.pictures_option} {output.pictures:q} --sums {output.sums:q} > {log:q} 2>&1"


rule reconstruct_examples:
    input:
        **model_code("reconstruct_examples.py"),
        **IMAGES,
        **by_sum(clusters="<results>/data/isolated.csv"),
        train_sets="<results>/settings/train_sets.json",
        trainings=of_models("run.json", run="0", start=""),
        models=ancient(of_models("model.safetensors", run="0", start="")),
        evaluations=of_models("evaluation.parquet", run="0", start=""),
        manifests=manifests(run="0"),
    output:
        "<results>/examples.npz",
    log:
        "<logs>/reconstruct_examples.log",
    benchmark:
        "<benchmarks>/reconstruct_examples.tsv"
    conda:
        environment("torch")
    resources:
        **on_gpu("evaluate"),
        **growing(mem_mb=6000, runtime=30),
    params:
        models=lambda wildcards, input: Path(input.trainings[0]).parents[2],
        splits=lambda wildcards, input: Path(input.manifests[0]).parents[1],
        config=json.dumps({key: config["evaluate"][key] for key in ("examples", "device")}),
    shell:
        "python -u {input.script:q} --train-sets {input.train_sets:q} --models {params.models:q}"
        " --splits {params.splits:q} --clusters {input.clusters:q} --images {input.images:q} --index {input.index:q}"
        " --config {params.config:q} --gpus {resources.gpu} --gpu-slots {resources.gpu_slots}"
        " --output {output:q} > {log:q} 2>&1"


# Test images of the first run under the models of all runs (the first start of each) that were not trained on them.
rule measure_ensemble:
    input:
        **model_code("measure_ensemble.py"),
        **IMAGES,
        **by_sum(clusters="<results>/data/isolated.csv"),
        trainings=of_models("run.json", train_set="{train_set}", start=""),
        models=ancient(of_models("model.safetensors", train_set="{train_set}", start="")),
        test=expand("<results>/splits/run0/test.{kind}", kind=["csv", "sha256"]),
        manifests=manifests(train_set="{train_set}"),
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
        **on_gpu("evaluate"),
        **growing(mem_mb=8000, runtime=60),
    params:
        models=lambda wildcards, input: Path(input.trainings[0]).parents[1],
        splits=lambda wildcards, input: Path(input.manifests[0]).parents[1],
        config=json.dumps(
            {
                "runs": len(RUNS),
                "seed": config["seed"],
                **{key: config["evaluate"][key] for key in ("batch_size", "device", "slug")},
            }
        ),
    shell:
        "python -u {input.script:q} --models {params.models:q} --splits {params.splits:q}"
        " --clusters {input.clusters:q} --train-set {wildcards.train_set:q}"
        " --images {input.images:q} --index {input.index:q} --config {params.config:q} --threads {threads}"
        " --gpus {resources.gpu} --gpu-slots {resources.gpu_slots} --output {output:q} > {log:q} 2>&1"


# What known damages cost by each measure: no model is needed.
rule measure_ruler:
    input:
        **code("measure_ruler.py"),
        **IMAGES,
        **by_sum(features="<results>/perceptual/vgg19.safetensors"),
        lpips=LPIPS,
        tone="<results>/data/tone.csv" if config["data"]["skin"] else [],
    output:
        "<results>/data/ruler.parquet",
    log:
        "<logs>/measure_ruler.log",
    benchmark:
        "<benchmarks>/measure_ruler.tsv"
    conda:
        environment("torch")
    threads: 16  # or all there are
    resources:
        **growing(mem_mb=1500, runtime=60),
    params:
        config=as_json(
            {
                "seed": config["seed"],
                "groups": GROUPS,
                "slow_images": config["ruler"]["slow_images"],
                "perceptual_normalize": config["loss"]["perceptual_normalize"],
            }
        ),
        tone_option=lambda wildcards, input: "--tone" if input.tone else "",
        lpips_option="--lpips" if LPIPS else "",
        lpips_content=content_of(LPIPS),
        finished=f"{DATA}/.finished_ruler",
    shell:
        "python -u {input.script:q} --images {input.images:q} --index {input.index:q} {params.tone_option}"
        " {input.tone:q} --features {input.features:q} --config {params.config:q} --threads {threads}"
        " {params.lpips_option} {input.lpips:q} --finished {params.finished:q} --output {output:q} > {log:q} 2>&1"


rule evaluate:
    input:
        of_models("evaluation.parquet"),
        ENSEMBLES,
        "<results>/examples.npz",
    localrule: True
