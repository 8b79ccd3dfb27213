# One rule per figure, so that a change redraws what it touches and nothing else.
# Each figure comes as SVG and PNG, with title, caption and alternative text in a JSON beside them.

# Options that every figure script takes.
FIGURE_OPTIONS = " ".join(
    [
        f"--dpi {config['figures']['dpi']}",
        "--light " + " ".join(str(scale) for scale in config["splits"]["light"]),
        "--dark " + " ".join(str(scale) for scale in config["splits"]["dark"]),
        "--synthetic" if config["data"]["synthetic"] else "",
    ]
)
ALL_SETS = " ".join(
    f"{entry['name']}={entry['dark_share']}" for entry in config["splits"]["train_sets"]
)
# Figure 1 shows the training set whose mix is closest to half and half.
MIXED_SET = min(
    config["splits"]["train_sets"],
    key=lambda entry: (abs(entry["dark_share"] - 0.5), entry["name"]),
)

# In the order of the report.
PLOTS = [
    "mse_boxes",
    "gaps",
    "sweep",
    "adjusted_gaps",
    "condition_mse",
    "tone_curves",
    "colour_shift",
    "latent_std_boxes",
    "uncertainty",
    "samples",
    "fst_counts",
    "prevalence",
    "availability",
    "tone_by_type",
    "training_curves",
]
PICTURES = ["reconstructions_mixed", "reconstructions_light", "reconstructions_dark"]
FIGURES = (
    PLOTS
    + (["probe_curves"] if config["report"]["probes"] else [])
    + (PICTURES if config["report"]["patient_images"] else [])
)


rule plot_fst_counts:
    input:
        script=script("plot_fst_counts.py"),
        lib=imports("plot_fst_counts.py"),
        table="<results>/tables/fst_counts.csv",
    output:
        svg=report(
            "<results>/figures/fst_counts.svg",
            caption="../report/figure_fst_counts.rst",
            category="Figures",
            subcategory="Data",
            labels={"figure": "2 images by skin type"},
        ),
        png="<results>/figures/fst_counts.png",
        text="<results>/figures/fst_counts.json",
    log:
        "<logs>/plot_fst_counts.log",
    benchmark:
        "<benchmarks>/plot_fst_counts.tsv"
    localrule: True
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        options=FIGURE_OPTIONS,
    shell:
        "python -u {input.script:q} --table {input.table:q} {params.options}"
        " --svg {output.svg:q} --png {output.png:q} --text {output.text:q} > {log:q} 2>&1"


use rule plot_fst_counts as plot_prevalence with:
    input:
        script=script("plot_prevalence.py"),
        lib=imports("plot_prevalence.py"),
        table="<results>/tables/prevalence.csv",
    output:
        svg=report(
            "<results>/figures/prevalence.svg",
            caption="../report/figure_prevalence.rst",
            category="Figures",
            subcategory="Data",
            labels={"figure": "7 condition prevalence"},
        ),
        png="<results>/figures/prevalence.png",
        text="<results>/figures/prevalence.json",
    log:
        "<logs>/plot_prevalence.log",
    benchmark:
        "<benchmarks>/plot_prevalence.tsv"
    localrule: True
    params:
        options=f"{FIGURE_OPTIONS} --label-count {config['figures']['label_conditions']}",


use rule plot_fst_counts as plot_mse_boxes with:
    input:
        script=script("plot_group_boxes.py"),
        lib=imports("plot_group_boxes.py"),
        table="<results>/tables/runs.csv",
    output:
        svg=report(
            "<results>/figures/mse_boxes.svg",
            caption="../report/figure_mse_boxes.rst",
            category="Figures",
            subcategory="Results",
            labels={"figure": "3 reconstruction error"},
        ),
        png="<results>/figures/mse_boxes.png",
        text="<results>/figures/mse_boxes.json",
    log:
        "<logs>/plot_mse_boxes.log",
    benchmark:
        "<benchmarks>/plot_mse_boxes.tsv"
    localrule: True
    params:
        options=f"{FIGURE_OPTIONS} --metric mse",


use rule plot_fst_counts as plot_latent_std_boxes with:
    input:
        script=script("plot_group_boxes.py"),
        lib=imports("plot_group_boxes.py"),
        table="<results>/tables/runs.csv",
    output:
        svg=report(
            "<results>/figures/latent_std_boxes.svg",
            caption="../report/figure_latent_std_boxes.rst",
            category="Figures",
            subcategory="Results",
            labels={"figure": "6 latent standard deviation"},
        ),
        png="<results>/figures/latent_std_boxes.png",
        text="<results>/figures/latent_std_boxes.json",
    log:
        "<logs>/plot_latent_std_boxes.log",
    benchmark:
        "<benchmarks>/plot_latent_std_boxes.tsv"
    localrule: True
    params:
        options=f"{FIGURE_OPTIONS} --metric latent_std",


use rule plot_fst_counts as plot_condition_mse with:
    input:
        script=script("plot_condition_mse.py"),
        lib=imports("plot_condition_mse.py"),
        table="<results>/tables/pooled_conditions.csv",
    output:
        svg=report(
            "<results>/figures/condition_mse.svg",
            caption="../report/figure_condition_mse.rst",
            category="Figures",
            subcategory="Results",
            labels={"figure": "8 reconstruction error per condition"},
        ),
        png="<results>/figures/condition_mse.png",
        text="<results>/figures/condition_mse.json",
    log:
        "<logs>/plot_condition_mse.log",
    benchmark:
        "<benchmarks>/plot_condition_mse.tsv"
    localrule: True
    params:
        options=" ".join(
            [
                FIGURE_OPTIONS,
                f"--rare-below {config['figures']['rare_below']}",
                f"--label-count {config['figures']['label_conditions']}",
            ]
        ),


use rule plot_fst_counts as plot_gaps with:
    input:
        script=script("plot_gaps.py"),
        lib=imports("plot_gaps.py"),
        table="<results>/tables/gaps.csv",
    output:
        svg=report(
            "<results>/figures/gaps.svg",
            caption="../report/figure_gaps.rst",
            category="Figures",
            subcategory="Results",
            labels={"figure": "gap between the groups"},
        ),
        png="<results>/figures/gaps.png",
        text="<results>/figures/gaps.json",
    log:
        "<logs>/plot_gaps.log",
    benchmark:
        "<benchmarks>/plot_gaps.tsv"
    localrule: True
    params:
        options=FIGURE_OPTIONS,


use rule plot_fst_counts as plot_adjusted_gaps with:
    input:
        script=script("plot_adjusted_gaps.py"),
        lib=imports("plot_adjusted_gaps.py"),
        table="<results>/tables/adjusted.csv",
    output:
        svg=report(
            "<results>/figures/adjusted_gaps.svg",
            caption="../report/figure_adjusted_gaps.rst",
            category="Figures",
            subcategory="Results",
            labels={"figure": "gap with conditions or atlases held fixed"},
        ),
        png="<results>/figures/adjusted_gaps.png",
        text="<results>/figures/adjusted_gaps.json",
    log:
        "<logs>/plot_adjusted_gaps.log",
    benchmark:
        "<benchmarks>/plot_adjusted_gaps.tsv"
    localrule: True
    params:
        options=FIGURE_OPTIONS,


use rule plot_fst_counts as plot_uncertainty with:
    input:
        script=script("plot_uncertainty.py"),
        lib=imports("plot_uncertainty.py"),
        table="<results>/tables/uncertainty.csv",
    output:
        svg=report(
            "<results>/figures/uncertainty.svg",
            caption="../report/figure_uncertainty.rst",
            category="Figures",
            subcategory="Results",
            labels={"figure": "uncertainty as a warning sign"},
        ),
        png="<results>/figures/uncertainty.png",
        text="<results>/figures/uncertainty.json",
    log:
        "<logs>/plot_uncertainty.log",
    benchmark:
        "<benchmarks>/plot_uncertainty.tsv"
    localrule: True
    params:
        options=FIGURE_OPTIONS,


use rule plot_fst_counts as plot_tone_curves with:
    input:
        script=script("plot_tone_curves.py"),
        lib=imports("plot_tone_curves.py"),
        table="<results>/tables/tone_curves.csv",
    output:
        svg=report(
            "<results>/figures/tone_curves.svg",
            caption="../report/figure_tone_curves.rst",
            category="Figures",
            subcategory="Results",
            labels={"figure": "error against apparent tone"},
        ),
        png="<results>/figures/tone_curves.png",
        text="<results>/figures/tone_curves.json",
    log:
        "<logs>/plot_tone_curves.log",
    benchmark:
        "<benchmarks>/plot_tone_curves.tsv"
    localrule: True


use rule plot_fst_counts as plot_colour_shift with:
    input:
        script=script("plot_colour_shift.py"),
        lib=imports("plot_colour_shift.py"),
        table="<results>/tables/colour.csv",
    output:
        svg=report(
            "<results>/figures/colour_shift.svg",
            caption="../report/figure_colour_shift.rst",
            category="Figures",
            subcategory="Results",
            labels={"figure": "colour shift of reconstructions"},
        ),
        png="<results>/figures/colour_shift.png",
        text="<results>/figures/colour_shift.json",
    log:
        "<logs>/plot_colour_shift.log",
    benchmark:
        "<benchmarks>/plot_colour_shift.tsv"
    localrule: True


use rule plot_fst_counts as plot_samples with:
    input:
        script=script("plot_samples.py"),
        lib=imports("plot_samples.py"),
        table="<results>/tables/samples.csv",
    output:
        svg=report(
            "<results>/figures/samples.svg",
            caption="../report/figure_samples.rst",
            category="Figures",
            subcategory="Results",
            labels={"figure": "tone of generated images"},
        ),
        png="<results>/figures/samples.png",
        text="<results>/figures/samples.json",
    log:
        "<logs>/plot_samples.log",
    benchmark:
        "<benchmarks>/plot_samples.tsv"
    localrule: True


rule plot_sweep:
    input:
        script=script("plot_sweep.py"),
        lib=imports("plot_sweep.py"),
        table="<results>/tables/runs.csv",
        trends="<results>/tables/sweep.csv",
    output:
        svg=report(
            "<results>/figures/sweep.svg",
            caption="../report/figure_sweep.rst",
            category="Figures",
            subcategory="Results",
            labels={"figure": "error against the dark share"},
        ),
        png="<results>/figures/sweep.png",
        text="<results>/figures/sweep.json",
    log:
        "<logs>/plot_sweep.log",
    benchmark:
        "<benchmarks>/plot_sweep.tsv"
    localrule: True
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        options=FIGURE_OPTIONS,
    shell:
        "python -u {input.script:q} --table {input.table:q} --trends {input.trends:q} {params.options}"
        " --svg {output.svg:q} --png {output.png:q} --text {output.text:q} > {log:q} 2>&1"


rule plot_training_curves:
    input:
        script=script("plot_training_curves.py"),
        lib=imports("plot_training_curves.py"),
        histories=expand(
            "<results>/runs/{train_set}/run{run}/history.csv", train_set=TRAIN_SETS, run=RUNS
        ),
    output:
        svg=report(
            "<results>/figures/training_curves.svg",
            caption="../report/figure_training_curves.rst",
            category="Figures",
            subcategory="Training",
            labels={"figure": "loss by epoch"},
        ),
        png="<results>/figures/training_curves.png",
        text="<results>/figures/training_curves.json",
    log:
        "<logs>/plot_training_curves.log",
    benchmark:
        "<benchmarks>/plot_training_curves.tsv"
    localrule: True
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        options=" ".join(
            [
                FIGURE_OPTIONS,
                f"--models results/{config['study']}/runs",
                f"--sets {ALL_SETS}",
                f"--runs {len(RUNS)}",
            ]
        ),
    shell:
        "python -u {input.script:q} {params.options}"
        " --svg {output.svg:q} --png {output.png:q} --text {output.text:q} > {log:q} 2>&1"


rule plot_reconstructions_mixed:
    input:
        script=script("plot_reconstructions.py"),
        lib=imports("plot_reconstructions.py"),
        examples="<results>/examples.npz",
    output:
        svg=report(
            "<results>/figures/reconstructions_mixed.svg",
            caption="../report/figure_reconstructions_mixed.rst",
            category="Figures",
            subcategory="Pictures",
            labels={"figure": "1 reconstructions, balanced training set"},
        ),
        png="<results>/figures/reconstructions_mixed.png",
        text="<results>/figures/reconstructions_mixed.json",
    log:
        "<logs>/plot_reconstructions_mixed.log",
    benchmark:
        "<benchmarks>/plot_reconstructions_mixed.tsv"
    localrule: True
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        options=" ".join(
            [
                FIGURE_OPTIONS,
                "--groups light dark",
                f"--sets {MIXED_SET['name']}={MIXED_SET['dark_share']}",
            ]
        ),
    shell:
        "python -u {input.script:q} --examples {input.examples:q} {params.options}"
        " --svg {output.svg:q} --png {output.png:q} --text {output.text:q} > {log:q} 2>&1"


use rule plot_reconstructions_mixed as plot_reconstructions_light with:
    output:
        svg=report(
            "<results>/figures/reconstructions_light.svg",
            caption="../report/figure_reconstructions_light.rst",
            category="Figures",
            subcategory="Pictures",
            labels={"figure": "4 reconstructions of light skin"},
        ),
        png="<results>/figures/reconstructions_light.png",
        text="<results>/figures/reconstructions_light.json",
    log:
        "<logs>/plot_reconstructions_light.log",
    benchmark:
        "<benchmarks>/plot_reconstructions_light.tsv"
    localrule: True
    params:
        options=f"{FIGURE_OPTIONS} --groups light --sets {ALL_SETS}",


use rule plot_reconstructions_mixed as plot_reconstructions_dark with:
    output:
        svg=report(
            "<results>/figures/reconstructions_dark.svg",
            caption="../report/figure_reconstructions_dark.rst",
            category="Figures",
            subcategory="Pictures",
            labels={"figure": "5 reconstructions of dark skin"},
        ),
        png="<results>/figures/reconstructions_dark.png",
        text="<results>/figures/reconstructions_dark.json",
    log:
        "<logs>/plot_reconstructions_dark.log",
    benchmark:
        "<benchmarks>/plot_reconstructions_dark.tsv"
    localrule: True
    params:
        options=f"{FIGURE_OPTIONS} --groups dark --sets {ALL_SETS}",


rule plot_availability:
    input:
        script=script("plot_availability.py"),
        lib=imports("plot_availability.py"),
        table="<results>/tables/availability.csv",
        design="<results>/tables/design.csv",
    output:
        svg=report(
            "<results>/figures/availability.svg",
            caption="../report/figure_availability.rst",
            category="Figures",
            subcategory="Data",
            labels={"figure": "available photographs"},
        ),
        png="<results>/figures/availability.png",
        text="<results>/figures/availability.json",
    log:
        "<logs>/plot_availability.log",
    benchmark:
        "<benchmarks>/plot_availability.tsv"
    localrule: True
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        options=FIGURE_OPTIONS,
    shell:
        "python -u {input.script:q} --table {input.table:q} --design {input.design:q} {params.options}"
        " --svg {output.svg:q} --png {output.png:q} --text {output.text:q} > {log:q} 2>&1"


rule plot_tone_by_type:
    input:
        script=script("plot_tone_by_type.py"),
        lib=imports("plot_tone_by_type.py"),
        table="<results>/tables/tone_by_type.csv",
    output:
        svg=report(
            "<results>/figures/tone_by_type.svg",
            caption="../report/figure_tone_by_type.rst",
            category="Figures",
            subcategory="Data",
            labels={"figure": "apparent tone by skin type"},
        ),
        png="<results>/figures/tone_by_type.png",
        text="<results>/figures/tone_by_type.json",
    log:
        "<logs>/plot_tone_by_type.log",
    benchmark:
        "<benchmarks>/plot_tone_by_type.tsv"
    localrule: True
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        options=FIGURE_OPTIONS,
    shell:
        "python -u {input.script:q} --table {input.table:q} {params.options}"
        " --svg {output.svg:q} --png {output.png:q} --text {output.text:q} > {log:q} 2>&1"


rule figures:
    input:
        expand("<results>/figures/{figure}.{kind}", figure=FIGURES, kind=["svg", "png", "json"]),
    localrule: True
