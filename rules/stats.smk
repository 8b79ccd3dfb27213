# Statistics. Needs the evaluations of all models and the table of annotations; makes the summary tables and the
# verdicts. Each table is described, column by column, in schemas/tables.yaml.
from typing import NamedTuple

EVALUATIONS = of_models("evaluation.parquet")
TRAIN_SETS_FILE = "<results>/settings/train_sets.json"
# The folder and not the files, a file and not the names: thousands of them do not fit on a command line.
EVALUATION_OPTIONS = (
    f"--evaluations results/{config['study']}/runs --runs {len(RUNS)}"
    f" --train-sets results/{config['study']}/settings/train_sets.json"
    + (f" --starts {len(STARTS)}" if is_made("starts") else "")
)
# Jobs read one evaluation after the other; this is what they keep of them (measured: at most 0.13 MB; docs/scaling.md).
EVALUATIONS_MB = len(EVALUATIONS) // 5
STATS = config["stats"]


class Summary(NamedTuple):
    """How tables are made: what a script writes, what it takes of the configuration, and what it reads."""

    writes: list
    config: dict
    reads: list = []  # summary tables, the design, the training sets
    data: list = []  # large tables of the data stage
    models: bool = True  # the evaluations of all models
    others: list = []  # what else has to be there
    minutes: int = 30


RULER = ["ruler_bias"]  # beside each measure its own bias, where the ruler is measured
OF_EQUIVALENTS = ["ruler", "colour_runs", "colour_covariances"]
SUMMARIES = {
    "summarise_metadata": Summary(
        ["fst_counts", "prevalence", "condition_mix"],
        {"seed": config["seed"], **{key: STATS[key] for key in ("resamples", "alpha")}},
        data=["metadata"],
        models=False,
        minutes=5,
    ),
    "summarise_runs": Summary(
        ["runs", "covariances", "headline", "conditions", "pooled_conditions", "start_covariances"],
        {"stats": {"alpha": STATS["alpha"]}},
        data=["together"],
    ),
    "estimate_gaps": Summary(
        ["gaps", "equivalents", "starts"],
        {"stats": STATS},
        [
            *("runs", "covariances", "design", "start_covariances", *RULER),
            *(OF_EQUIVALENTS if is_made("ruler") else []),
        ],
        models=False,
        minutes=5,
    ),
    "adjust_gaps": Summary(
        ["adjusted", "models"], {"stats": STATS}, RULER, data=["together"], minutes=60
    ),
    "compare_codec": Summary(
        ["codec_runs", "codec", "codec_adjusted"],
        {"stats": STATS},
        data=["together"],
        minutes=60,
    ),
    "score_uncertainty": Summary(
        ["uncertainty"],
        {"stats": STATS},
        data=["together"],
        others=ENSEMBLES,
    ),
    "compare_subsets": Summary(["subsets"], {"stats": STATS}, RULER, data=["together"]),
    "measure_colour": Summary(
        ["colour_runs", "colour_covariances", "colour", "tone_curves", "tone_slopes"],
        {"stats": STATS},
        ["design"],
        data=["together"],
    ),
    "compare_samples": Summary(
        ["samples", "generated"],
        {"stats": STATS},
        ["design"],
        data=["together"],
        others=[
            *of_models("samples.parquet"),
            *of_models("evaluation.sha256"),
            *(ancient(path) for path in of_models("pictures.npz") if is_made("generated")),
        ],
    ),
    "estimate_sweep": Summary(
        ["sweep"],
        {"stats": STATS},
        ["runs", "covariances", "design", "train_sets", "start_covariances", *RULER],
        models=False,
        minutes=5,
    ),
    "judge_claims": Summary(
        ["claims"],
        {"stats": STATS, "margin": config["ruler"]["margin"]},
        [
            "runs",
            "covariances",
            "design",
            "adjusted",
            "codec",
            "colour_runs",
            "colour_covariances",
            "condition_mix",
            "ruler",
            "start_covariances",
            "uncertainty",
        ],
        models=False,
        minutes=5,
    ),
}


for name, summary in SUMMARIES.items():
    if not any(map(is_made, summary.writes)):
        continue

    rule:
        name:
            name
        input:
            **code(f"{name}.py"),
            read=[
                *(ancient(f"<results>/data/{name}.csv") for name in summary.data),
                *(
                    TRAIN_SETS_FILE if name == "train_sets" else f"<results>/tables/{name}.csv"
                    for name in summary.reads
                    if name == "train_sets" or is_made(name)
                ),
            ],
            sums=[f"<results>/data/{name}.sha256" for name in summary.data],
            evaluations=EVALUATIONS if summary.models else [],
            train_sets=TRAIN_SETS_FILE if summary.models else [],
            others=summary.others,
        output:
            [table(made) for made in summary.writes if is_made(made)],
        log:
            f"<logs>/{name}.log",
        benchmark:
            f"<benchmarks>/{name}.tsv"
        localrule: not summary.models
        conda:
            environment("base")
        resources:
            **growing(mem_mb=1000 + summary.models * EVALUATIONS_MB, runtime=summary.minutes),
        params:
            read_option=lambda wildcards, input: "--read" if input.read else "",
            study_option=EVALUATION_OPTIONS if summary.models else "",
            config=as_json(summary.config | {"groups": GROUPS}),
        shell:
            "python -u {input.script:q} {params.study_option} {params.read_option} {input.read:q}"
            " --config {params.config:q} --write {output:q} > {log:q} 2>&1"


# What the splits cost in leakage: nothing where splits.leakage keeps near-duplicates on one side.
rule count_leakage:
    input:
        **code("count_leakage.py"),
        manifests=manifests(),
        tests=expand("<results>/splits/run{run}/test.{kind}", run=RUNS, kind=["csv", "sha256"]),
        duplicates="<results>/data/duplicates.csv",
    output:
        table("leakage"),
    log:
        "<logs>/count_leakage.log",
    benchmark:
        "<benchmarks>/count_leakage.tsv"
    localrule: True
    conda:
        environment("base")
    params:
        splits=lambda wildcards, input: Path(input.manifests[0]).parents[1],
        runs=len(RUNS),
        train_sets=TRAIN_SETS,
    shell:
        "python -u {input.script:q} --splits {params.splits:q} --runs {params.runs:q} --train-sets {params.train_sets:q}"
        " --duplicates {input.duplicates:q} --output {output:q} > {log:q} 2>&1"


rule summarise_ruler:
    input:
        **code("summarise_ruler.py"),
        **by_sum(clusters="<results>/data/together.csv"),
        costs="<results>/data/ruler.parquet",
    output:
        ruler=table("ruler"),
        bias=table("ruler_bias"),
    log:
        "<logs>/summarise_ruler.log",
    benchmark:
        "<benchmarks>/summarise_ruler.tsv"
    localrule: True
    conda:
        environment("base")
    params:
        config=as_json(
            {"groups": GROUPS, "alpha": STATS["alpha"], "margin": config["ruler"]["margin"]}
        ),
    shell:
        "python -u {input.script:q} --costs {input.costs:q} --clusters {input.clusters:q} --config {params.config:q}"
        " --ruler {output.ruler:q} --bias {output.bias:q} > {log:q} 2>&1"


# Before any model is trained: does each measure charge the groups alike for the same damage?
rule ruler:
    input:
        rules.summarise_ruler.output,
        "<results>/figures/ruler.svg",
    localrule: True


rule stats:
    input:
        [
            f"<results>/tables/{name}.csv"
            for summary in SUMMARIES.values()
            for name in summary.writes
            if is_made(name)
        ],
        rules.count_leakage.output,
        rules.summarise_ruler.output if is_made("ruler") else [],
    localrule: True
