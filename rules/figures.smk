# Figures. Needs the tables, and for some of them the histories of trainings or photographs; makes for each an SVG,
# the other formats and its words (title, caption and alternative text) as JSON.
# Each module of evenhand/figures declares its own. One rule per figure: a change redraws what it touches, nothing else.
from evenhand.figures.registry import declared_figures, figure_settings
from evenhand.splits.groups import groups_from

# What a declaration names that is not a table.
OTHER_FILES = {
    "train_sets": "<results>/settings/train_sets.json",
    "examples": "<results>/examples.npz",
    "duplicate_pairs": "<results>/data/duplicate_pairs.npz",
    "histories": of_models("history.csv"),
}
DECLARED = declared_figures(groups_from(config["splits"]["groups"]))
# What needs something that the study does not have is left out.
FIGURES = [
    figure
    for figure in DECLARED
    if all(THERE_IS[need] for need in figure.needs)
    and (figure.section != "Probes" or config["report"]["probes"])
    and (figure.section != "Pictures" or config["report"]["patient_images"])
]


for figure in DECLARED:

    rule:
        name:
            f"plot_{figure.name}"
        input:
            **code("draw_figure.py", f"evenhand/figures/{figure.module}.py"),
            files=[
                OTHER_FILES.get(name, f"<results>/tables/{name}.csv")
                for name in figure.files
                if name != "histories"
            ],
            histories=OTHER_FILES["histories"] if "histories" in figure.files else [],
        output:
            svg=report(
                f"<results>/figures/{figure.name}.svg",
                caption="../report/figure.rst",
                category="Figures",
                subcategory=figure.section,
                labels={"figure": f"{figure.paper or ''} {figure.label}".strip()},
            ),
            others=[f"<results>/figures/{figure.name}.{kind}" for kind in FORMATS if kind != "svg"],
            text=f"<results>/figures/{figure.name}.json",
        log:
            f"<logs>/plot_{figure.name}.log",
        benchmark:
            f"<benchmarks>/plot_{figure.name}.tsv"
        localrule: True
        conda:
            environment("base")
        params:
            figure=figure.name,
            models=lambda wildcards, output: Path(output.svg).parents[1] / "runs",
            config=as_json(figure_settings(config, figure)),
        shell:
            "python -u {input.script:q} --figure {params.figure:q} --files {input.files:q} --models {params.models:q}"
            " --config {params.config:q} --svg {output.svg:q} --text {output.text:q}"
            " > {log:q} 2>&1"


rule figures:
    input:
        expand("<results>/figures/{figure.name}.{kind}", figure=FIGURES, kind=[*FORMATS, "json"]),
    localrule: True
