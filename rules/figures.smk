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
ALL_SETS = [f"{entry['name']}={entry['dark_share']}" for entry in config["splits"]["train_sets"]]
# Figure 1 shows the training set whose mix is closest to half and half.
MIXED_SET = min(
    config["splits"]["train_sets"],
    key=lambda entry: (abs(entry["dark_share"] - 0.5), entry["name"]),
)["name"]

# In the order of the report.
PICTURES = ["reconstructions_mixed", "reconstructions_light", "reconstructions_dark"]
PLOTS = ["mse_boxes", "latent_std_boxes", "condition_mse", "fst_counts", "prevalence"]
FIGURES = PLOTS + (PICTURES if config["report"]["patient_images"] else [])


rule plot_fst_counts:
    input:
        script=script("plot_fst_counts.py"),
        lib=imports("plot_fst_counts.py"),
        table="<results>/tables/fst_counts.csv",
    output:
        svg=report(
            "<results>/figures/fst_counts.svg",
            caption=source("report/figure_fst_counts.rst"),
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


rule plot_prevalence:
    input:
        script=script("plot_prevalence.py"),
        lib=imports("plot_prevalence.py"),
        table="<results>/tables/prevalence.csv",
    output:
        svg=report(
            "<results>/figures/prevalence.svg",
            caption=source("report/figure_prevalence.rst"),
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
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        options=FIGURE_OPTIONS,
        label_count=config["figures"]["label_conditions"],
    shell:
        "python -u {input.script:q} --table {input.table:q} --label-count {params.label_count} {params.options}"
        " --svg {output.svg:q} --png {output.png:q} --text {output.text:q} > {log:q} 2>&1"


rule plot_mse_boxes:
    input:
        script=script("plot_group_boxes.py"),
        lib=imports("plot_group_boxes.py"),
        table="<results>/tables/runs.csv",
    output:
        svg=report(
            "<results>/figures/mse_boxes.svg",
            caption=source("report/figure_mse_boxes.rst"),
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
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        options=FIGURE_OPTIONS,
        metric="mse",
    shell:
        "python -u {input.script:q} --table {input.table:q} --metric {params.metric} {params.options}"
        " --svg {output.svg:q} --png {output.png:q} --text {output.text:q} > {log:q} 2>&1"


use rule plot_mse_boxes as plot_latent_std_boxes with:
    output:
        svg=report(
            "<results>/figures/latent_std_boxes.svg",
            caption=source("report/figure_latent_std_boxes.rst"),
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
    params:
        options=FIGURE_OPTIONS,
        metric="latent_std",


rule plot_condition_mse:
    input:
        script=script("plot_condition_mse.py"),
        lib=imports("plot_condition_mse.py"),
        table="<results>/tables/conditions.csv",
    output:
        svg=report(
            "<results>/figures/condition_mse.svg",
            caption=source("report/figure_condition_mse.rst"),
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
    conda:
        environment("base")
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        options=FIGURE_OPTIONS,
        rare_below=config["figures"]["rare_below"],
        label_count=config["figures"]["label_conditions"],
    shell:
        "python -u {input.script:q} --table {input.table:q} --rare-below {params.rare_below}"
        " --label-count {params.label_count} {params.options}"
        " --svg {output.svg:q} --png {output.png:q} --text {output.text:q} > {log:q} 2>&1"


rule plot_reconstructions_mixed:
    input:
        script=script("plot_reconstructions.py"),
        lib=imports("plot_reconstructions.py"),
        examples="<results>/examples.npz",
    output:
        svg=report(
            "<results>/figures/reconstructions_mixed.svg",
            caption=source("report/figure_reconstructions_mixed.rst"),
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
        options=FIGURE_OPTIONS,
        groups=["light", "dark"],
        sets=[f"{MIXED_SET}={dark_share(MIXED_SET)}"],
    shell:
        "python -u {input.script:q} --examples {input.examples:q} --groups {params.groups} --sets {params.sets:q}"
        " {params.options} --svg {output.svg:q} --png {output.png:q} --text {output.text:q} > {log:q} 2>&1"


use rule plot_reconstructions_mixed as plot_reconstructions_light with:
    output:
        svg=report(
            "<results>/figures/reconstructions_light.svg",
            caption=source("report/figure_reconstructions_light.rst"),
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
    params:
        options=FIGURE_OPTIONS,
        groups=["light"],
        sets=ALL_SETS,


use rule plot_reconstructions_mixed as plot_reconstructions_dark with:
    output:
        svg=report(
            "<results>/figures/reconstructions_dark.svg",
            caption=source("report/figure_reconstructions_dark.rst"),
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
    params:
        options=FIGURE_OPTIONS,
        groups=["dark"],
        sets=ALL_SETS,


rule figures:
    input:
        expand("<results>/figures/{figure}.{kind}", figure=FIGURES, kind=["svg", "png", "json"]),
    localrule: True
