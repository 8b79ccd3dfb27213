"""Plan or run a multiverse: one study for each variant, then the specification curves of their claims.

make multiverse MULTIVERSE=studies/multiverse.yaml OPTIONS=--plan; without --plan it runs. Options that are not known
here go to Snakemake.

The variants run one after the other, each by a Snakemake of its own: a study has one configuration, its rules one
folder, and so a variant is planned, run, shown and repeated as any other study. What equal jobs of two variants make is
made once, as in all studies (evenhand.workflow.finished): packed photographs, near-duplicates, the ruler, trainings.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from evenhand.report.comparison import read_study
from evenhand.report.multiverse import (
    BASE,
    Multiverse,
    Variant,
    read_multiverse,
    variants_of,
    write_multiverse,
)
from evenhand.workflow.config import merged
from evenhand.workflow.errors import UserError, run
from evenhand.workflow.files import write_text

ROOT = Path(__file__).parents[1]
TEMPLATE = Path(__file__).parent / "evenhand" / "report" / "templates" / "multiverse.html.j2"
RESULTS = Path("results")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], epilog="Other options go to Snakemake.")
    parser.add_argument("multiverse", type=Path, help="such as studies/multiverse.yaml")
    parser.add_argument("--plan", action="store_true", help="say what each variant would run and cost, and run nothing")
    args, options = parser.parse_known_args(argv)
    multiverse = read_multiverse(args.multiverse, ROOT / "schemas" / "multiverse.schema.yaml")
    variants = variants_of(multiverse)
    configs = configurations(multiverse, variants)
    folder = RESULTS / multiverse.name
    for variant in variants:
        overlay = merged(merged(multiverse.settings, variant.overlay), {"study": study_of(multiverse, variant)})
        write_text(yaml.safe_dump(overlay, sort_keys=False, allow_unicode=True), folder / f"{variant.name}.yaml")
    if args.plan:
        print(planned(multiverse, variants, configs, options))
        return
    studies = []
    for number, variant in enumerate(variants, 1):
        print(f"variant {number} of {len(variants)}: {variant.name}", flush=True)
        snakemake(multiverse, variant, configs[variant.name], options)
        studies.append(read_study(RESULTS / study_of(multiverse, variant)))
    write_multiverse(TEMPLATE, multiverse, variants, studies, folder)
    print(f"multiverse: {folder / 'multiverse.html'}")


def study_of(multiverse: Multiverse, variant: Variant) -> str:
    """The name of the study that a variant is."""
    return f"{multiverse.name}-{variant.name}"


def configurations(multiverse: Multiverse, variants: Sequence[Variant]) -> dict[str, dict[str, Any]]:
    """The whole configuration of each variant, by its name, before Snakemake checks it.

    Raises:
        UserError: two variants have the same, so that a choice changes nothing.
    """
    base: dict[str, Any] = {}
    for path in (ROOT / "config.yaml", *map(Path, multiverse.base)):
        base = merged(base, yaml.safe_load(path.read_text("utf-8")))
    configs = {variant.name: merged(merged(base, multiverse.settings), variant.overlay) for variant in variants}
    for name, config in configs.items():
        same = next(other for other in configs if configs[other] == config)
        if same != name:
            raise UserError(f"{name} and {same}: expected different configurations, found the same. Leave one out.")
    return configs


def snakemake(
    multiverse: Multiverse, variant: Variant, config: Mapping[str, Any], options: Sequence[str], show: bool = True
) -> str:
    """Run Snakemake for what the page shows of a variant; what it printed, unless it is shown as it comes.

    Raises:
        UserError: it failed.
    """
    study = RESULTS / study_of(multiverse, variant)
    tables = ["claims", "gaps", *(["probe_claims"] if config["report"]["probes"] else [])]  # gaps: also equivalents
    targets = [*(f"{study}/tables/{name}.csv" for name in tables), f"{study}/settings/study.json"]
    files = [*multiverse.base, str(RESULTS / multiverse.name / f"{variant.name}.yaml")]
    command = [sys.executable, "-m", "snakemake", *targets, "--snakefile", str(ROOT / "Snakefile")]
    done = subprocess.run(
        [*command, "--configfile", *files, *options],
        stdout=None if show else subprocess.PIPE,
        stderr=None if show else subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(
            f"variant {variant.name}: Snakemake ended with status {done.returncode}. {'' if show else done.stdout} "
            "Its message says why; the same command goes on from here."
        )
    return done.stdout or ""


def planned(
    multiverse: Multiverse,
    variants: Sequence[Variant],
    configs: Mapping[str, Mapping[str, Any]],
    options: Sequence[str],
) -> str:
    """What a dry run of each variant plans, and the minutes of a GPU that its models cost where they are stated."""
    lines = [f"{'variant':40} {'jobs':>6} {'models':>6} {'GPU min':>8}"]
    jobs_in_all, minutes_in_all, unstated = 0, 0.0, {}
    for variant in variants:
        output = snakemake(multiverse, variant, configs[variant.name], [*options, "--dry-run"], show=False)
        counts = {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", output, flags=re.MULTILINE)}
        jobs, models = counts.get("total", 0), counts.get("train_vae", 0)
        stated = minutes_of(multiverse, variant)
        jobs_in_all += jobs
        if stated is None:
            unstated[variant.name] = models
        else:
            minutes_in_all += models * stated
        cost = "?" if stated is None else f"{models * stated:.0f}"
        lines.append(f"{variant.name:40} {jobs:6,} {models:6,} {cost:>8}")
    lines.append(f"{'in all':40} {jobs_in_all:6,} {'':6} {minutes_in_all:8.0f}")
    if any(unstated.values()):
        lines.append(
            f"? Not in the sum: {sum(unstated.values())} models of {', '.join(unstated)}, whose minutes are not stated."
        )
    alike = [
        variant.name
        for variant in variants[1:]
        if configs[variant.name]["data"] == configs[BASE]["data"] and not configs[BASE]["data"]["synthetic"]
    ]
    if alike:
        lines.append(f"The photographs of the base are packed once for {', '.join(alike)}, too.")
    lines.append(
        "A training whose settings and drawn images are those of an earlier variant is taken over in seconds; which "
        "they are is known once the images are drawn."
    )
    return "\n".join(lines)


def minutes_of(multiverse: Multiverse, variant: Variant) -> float | None:
    """Minutes of a GPU per model as stated; None: of one of its departures nobody has stated them."""
    names = [f"{point}-{option}" for point, option in variant.departures]
    given = [multiverse.minutes[name] for name in names if name in multiverse.minutes]
    if len(given) > 1 or None in given:
        return None
    return given[0] if given else multiverse.minutes[BASE]


if __name__ == "__main__":
    run(main)
