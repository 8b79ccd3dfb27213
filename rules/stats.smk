# Statistics. Needs the evaluations of all models and the table of annotations; makes the summary tables and the verdicts.
# Each table is described, column by column, in schemas/tables.yaml; what is told of it here is how it is made.
from typing import NamedTuple

EVALUATIONS = expand(
    "<results>/runs/{train_set}/run{run}/evaluation.parquet", train_set=TRAIN_SETS, run=RUNS
)
TRAIN_SETS_FILE = "<results>/settings/train_sets.json"
# The folder and not the files, a file and not the names: thousands of them do not fit on a command line.
EVALUATION_OPTIONS = (
    f"--evaluations results/{config['study']}/runs --runs {len(RUNS)}"
    f" --train-sets results/{config['study']}/settings/train_sets.json"
)
# Jobs read one evaluation after the other; this is what they keep of them (measured: at most 0.13 MB; docs/scaling.md).
EVALUATIONS_MB = len(EVALUATIONS) // 5
STATS = config["stats"]


class Summary(NamedTuple):
    """How tables are made: which a script writes, which it reads, what it takes of the configuration, and what else has
    to be there: the evaluations of all models (`others` is then that and more), or not (None); tables of the data stage.
    """

    writes: list
    reads: list
    config: dict
    others: list | None = []
    data: list = []
    minutes: int = 30


SUMMARIES = {
    "summarise_metadata": Summary(
        ["fst_counts", "prevalence", "condition_mix"],
        [],
        {"seed": config["seed"], **{key: STATS[key] for key in ("resamples", "alpha")}},
        None,
        data=["metadata"],
    ),
    "summarise_runs": Summary(
        ["runs", "headline", "conditions", "pooled_conditions"],
        [],
        {"stats": {"alpha": STATS["alpha"]}},
    ),
    "estimate_gaps": Summary(
        ["gaps"],
        ["runs", "design"],
        {"seed": config["seed"], "stats": STATS},
        data=["together"],
    ),
    "adjust_gaps": Summary(
        ["adjusted", "models"],
        [],
        {"seed": config["seed"], "stats": STATS},
        data=["together"],
        minutes=60,
    ),
    "score_uncertainty": Summary(
        ["uncertainty"],
        ["design"],
        {"seed": config["seed"], "stats": STATS},
        expand("<results>/runs/{train_set}/ensemble.parquet", train_set=TRAIN_SETS),
    ),
    "compare_subsets": Summary(
        ["subsets"],
        ["design"],
        {"stats": STATS},
    ),
    "measure_colour": Summary(
        ["colour_runs", "colour", "tone_curves", "tone_slopes"], ["design"], {"stats": STATS}
    ),
    "compare_samples": Summary(
        ["samples"],
        ["design"],
        {"stats": STATS},
        expand(
            "<results>/runs/{train_set}/run{run}/samples.parquet", train_set=TRAIN_SETS, run=RUNS
        ),
    ),
    "estimate_sweep": Summary(["sweep"], ["runs", "design", "train_sets"], {"stats": STATS}, None),
    "judge_claims": Summary(
        ["claims"],
        ["runs", "design", "gaps", "adjusted", "colour_runs", "condition_mix"],
        {"stats": STATS},
        None,
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
            # Of the data stage large ones, compared by their sums.
            read=[
                *(ancient(f"<results>/data/{name}.csv") for name in summary.data),
                *(
                    TRAIN_SETS_FILE if name == "train_sets" else f"<results>/tables/{name}.csv"
                    for name in summary.reads
                    if name == "train_sets" or is_made(name)
                ),
            ],
            sums=[f"<results>/data/{name}.sha256" for name in summary.data],
            evaluations=[] if summary.others is None else EVALUATIONS,
            train_sets=[] if summary.others is None else TRAIN_SETS_FILE,
            others=summary.others or [],
        output:
            [table(made) for made in summary.writes if is_made(made)],
        log:
            f"<logs>/{name}.log",
        benchmark:
            f"<benchmarks>/{name}.tsv"
        localrule: summary.others is None
        conda:
            environment("base")
        resources:
            mem_mb=growing(1000 + (0 if summary.others is None else EVALUATIONS_MB)),
            runtime=growing(5 if summary.others is None else summary.minutes),
        params:
            read_option=lambda wildcards, input: "--read" if input.read else "",
            study_option="" if summary.others is None else EVALUATION_OPTIONS,
            config=json.dumps(summary.config | {"groups": GROUPS}, sort_keys=True),
        shell:
            "python -u {input.script:q} {params.study_option} {params.read_option} {input.read:q}"
            " --config {params.config:q} --write {output:q} > {log:q} 2>&1"


rule stats:
    input:
        [
            f"<results>/tables/{name}.csv"
            for summary in SUMMARIES.values()
            for name in summary.writes
            if is_made(name)
        ],
    localrule: True
