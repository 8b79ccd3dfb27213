# One rule per figure, so that a change redraws what it touches and nothing else.
# Each figure comes as SVG and PNG, with title, caption and alternative text in a JSON beside them.
import shlex
from typing import NamedTuple

# Options that every figure script takes.
FIGURE_OPTIONS = " ".join(
    [
        f"--dpi {config['figures']['dpi']}",
        "--light " + " ".join(str(scale) for scale in config["splits"]["light"]),
        "--dark " + " ".join(str(scale) for scale in config["splits"]["dark"]),
        "--synthetic" if config["data"]["synthetic"] else "",
    ]
)
TRAIN_SETS_FILE = "<results>/settings/train_sets.json"
# Figure 1 shows the training set whose mix is closest to half and half.
MIXED_SET = min(
    config["splits"]["train_sets"],
    key=lambda entry: (abs(entry["dark_share"] - 0.5), entry["name"]),
)
NAMED_CONDITIONS = f"--label-count {config['figures']['label_conditions']}"


class Plot(NamedTuple):
    """A figure: its label in Snakemake's report (with the number it has in the paper) and the section there, the script
    that draws it, the files that the script takes as options, and options besides."""

    label: str
    section: str
    script: str
    files: dict
    options: str = ""
    histories: list = []


TABLES = "<results>/tables"
MODELS_OPTIONS = f"--models results/{config['study']}/runs --runs {len(RUNS)}"
# In the order of the report.
PLOTS = {
    "mse_boxes": Plot(
        "3 reconstruction error",
        "Results",
        "plot_group_boxes.py",
        {"table": f"{TABLES}/runs.csv"},
        "--metric mse",
    ),
    "gaps": Plot(
        "gap between the groups", "Results", "plot_gaps.py", {"table": f"{TABLES}/gaps.csv"}
    ),
    "sweep": Plot(
        "error against the dark share",
        "Results",
        "plot_sweep.py",
        {"table": f"{TABLES}/runs.csv", "trends": f"{TABLES}/sweep.csv"},
    ),
    "adjusted_gaps": Plot(
        "gap with conditions or atlases held fixed",
        "Results",
        "plot_adjusted_gaps.py",
        {"table": f"{TABLES}/adjusted.csv"},
    ),
    "condition_mse": Plot(
        "8 reconstruction error per condition",
        "Results",
        "plot_condition_mse.py",
        {"table": f"{TABLES}/pooled_conditions.csv"},
        f"--rare-below {config['figures']['rare_below']} {NAMED_CONDITIONS}",
    ),
    "tone_curves": Plot(
        "error against apparent tone",
        "Results",
        "plot_tone_curves.py",
        {"table": f"{TABLES}/tone_curves.csv"},
    ),
    "colour_shift": Plot(
        "colour shift of reconstructions",
        "Results",
        "plot_colour_shift.py",
        {"table": f"{TABLES}/colour.csv"},
    ),
    "latent_std_boxes": Plot(
        "6 latent standard deviation",
        "Results",
        "plot_group_boxes.py",
        {"table": f"{TABLES}/runs.csv"},
        "--metric latent_std",
    ),
    "uncertainty": Plot(
        "uncertainty as a warning sign",
        "Results",
        "plot_uncertainty.py",
        {"table": f"{TABLES}/uncertainty.csv"},
    ),
    "samples": Plot(
        "tone of generated images", "Results", "plot_samples.py", {"table": f"{TABLES}/samples.csv"}
    ),
    "fst_counts": Plot(
        "2 images by skin type", "Data", "plot_fst_counts.py", {"table": f"{TABLES}/fst_counts.csv"}
    ),
    "prevalence": Plot(
        "7 condition prevalence",
        "Data",
        "plot_prevalence.py",
        {"table": f"{TABLES}/prevalence.csv"},
        NAMED_CONDITIONS,
    ),
    "availability": Plot(
        "available photographs",
        "Data",
        "plot_availability.py",
        {"table": f"{TABLES}/availability.csv", "design": f"{TABLES}/design.csv"},
    ),
    "tone_by_type": Plot(
        "apparent tone by skin type",
        "Data",
        "plot_tone_by_type.py",
        {"table": f"{TABLES}/tone_by_type.csv"},
    ),
    "training_curves": Plot(
        "loss by epoch",
        "Training",
        "plot_training_curves.py",
        {"train-sets": TRAIN_SETS_FILE},
        MODELS_OPTIONS,
        expand("<results>/runs/{train_set}/run{run}/history.csv", train_set=TRAIN_SETS, run=RUNS),
    ),
}
# These show photographs.
PICTURES = {
    f"reconstructions_{name}": Plot(
        label,
        "Pictures",
        "plot_reconstructions.py",
        {"examples": "<results>/examples.npz", "train-sets": TRAIN_SETS_FILE},
        f"--groups {groups}",
    )
    for name, label, groups in [
        (
            "mixed",
            "1 reconstructions, balanced training set",
            f"light dark --only {MIXED_SET['name']}",
        ),
        ("light", "4 reconstructions of light skin", "light"),
        ("dark", "5 reconstructions of dark skin", "dark"),
    ]
}
FIGURES = (
    [*PLOTS]
    + (["probe_curves"] if config["report"]["probes"] else [])
    + ([*PICTURES] if config["report"]["patient_images"] else [])
)


for figure, plot in (PLOTS | PICTURES).items():

    rule:
        name:
            f"plot_{figure}"
        input:
            **plot.files,
            script=script(plot.script),
            lib=imports(plot.script),
            histories=plot.histories,
        output:
            svg=report(
                f"<results>/figures/{figure}.svg",
                caption=f"../report/figure_{figure}.rst",
                category="Figures",
                subcategory=plot.section,
                labels={"figure": plot.label},
            ),
            png=f"<results>/figures/{figure}.png",
            text=f"<results>/figures/{figure}.json",
        log:
            f"<logs>/plot_{figure}.log",
        benchmark:
            f"<benchmarks>/plot_{figure}.tsv"
        localrule: True
        conda:
            environment("base")
        threads: 1
        resources:
            mem_mb=1000,
            runtime=5,
        params:
            inputs=lambda wildcards, input: " ".join(
                f"--{option} {shlex.quote(str(path))}"
                for option, path in input.items()
                if option not in ("script", "lib", "histories")
            ),
            options=f"{FIGURE_OPTIONS} {plot.options}",
        shell:
            "python -u {input.script:q} {params.inputs} {params.options}"
            " --svg {output.svg:q} --png {output.png:q} --text {output.text:q} > {log:q} 2>&1"


rule figures:
    input:
        expand("<results>/figures/{figure}.{kind}", figure=FIGURES, kind=["svg", "png", "json"]),
    localrule: True
