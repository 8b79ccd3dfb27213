"""Are the verdicts of the demo true? The models of its design, and what the claims say of them.

    python benchmarks/demo.py --finished results/demo results/truth
    python benchmarks/demo.py --difficulty 0 --claim C2 --seeds 1 2 3

The first adds the claims of a finished demo, and those of a finished one of the same seed with more runs, which tells
what is true; the second those of as many demos in which no group is harder. What is not finished is trained and judged
here in one process, claims on errors and latents alone (C1 to C7, C10): without the workflow, the start of Python for
each of its jobs and the measures that these claims do not need. One row per claim in benchmarks/demo.csv, and
docs/demo.md, made from it; what is there is not trained again.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from study_options import ROOT, overlaid, read_study

sys.path.insert(0, str(ROOT / "workflow_scripts"))

from evenhand.data.decoding import decode_square
from evenhand.data.synthetic.phantom import Phantom, generate
from evenhand.evaluation.measures import latent_std, mse
from evenhand.models.architecture import Architecture
from evenhand.models.fast import Adam
from evenhand.models.perceptual import PerceptualLoss
from evenhand.models.vae import VAE, kl_divergence
from evenhand.models.vgg19 import random_weights
from evenhand.splits.design import (
    Design,
    Drawn,
    available,
    candidates_from,
    describe_design,
    design_from,
    draw_test,
    draw_train,
    feasible_train_size,
)
from evenhand.splits.groups import pairs_of
from evenhand.splits.manifests import ids_of
from evenhand.stats.claims import run_claims
from evenhand.stats.crossed import CrossedSums
from evenhand.stats.gaps import run_table
from evenhand.stats.summary import run_means, sort_by_design
from evenhand.stats.verdicts import rules_from, verdict_table
from evenhand.training.devices import choose_precision, make_deterministic, place, spare_memory
from evenhand.training.loop import model_seed, to_unit_range, train
from evenhand.training.recipe import Recipe
from evenhand.workflow.files import write_text
from evenhand.workflow.seeds import derive_seed
from evenhand.workflow.tables import read_table, write_csv

METRICS = ["mse", "latent_std"]
CPU = torch.device("cpu")
NEEDS = {"C2": ["B"]}  # training sets, of claims that can be judged without the others
COLUMNS = ["claim", "verdict", "estimate", "ci_low", "ci_high", "p"]
KEY = ["seed", "difficulty", "runs", "epochs", "learning_rate", "kl_scale", "train_size", "test_size", "n"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[], help="of the studies")
    parser.add_argument("--difficulty", type=float, help="data.synthetic.dark_difficulty; else the demo's")
    parser.add_argument("--claim", choices=NEEDS, help="judged alone, of models of the training sets that it is about")
    parser.add_argument("--finished", type=Path, nargs="*", default=[], help="results/<study> of finished demos")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "demo.csv")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "demo.md")
    args = parser.parse_args(argv)

    demo = read_study(str(ROOT / "studies" / "demo.yaml"))
    synthetic = {} if args.difficulty is None else {"dark_difficulty": args.difficulty}
    torch.set_num_threads(1)
    make_deterministic()
    table = pd.read_csv(args.output) if args.output.exists() else pd.DataFrame(columns=[*KEY, *COLUMNS])
    asked = {"data": {"synthetic": synthetic}}
    studies = [overlaid(demo, asked | {"seed": seed}) for seed in args.seeds]
    finished = [json.loads((folder / "settings" / "study.json").read_text("utf-8")) for folder in args.finished]
    for number, config in enumerate([*finished, *studies]):
        key = sizes(config)
        if (table[KEY] == pd.Series(key)).all(axis=1).any():
            continue
        claims = claims_of(args.finished[number]) if number < len(finished) else judged(config, args.claim)
        print(claims[["claim", "verdict", "estimate", "p"]].assign(seed=key["seed"]).to_string(index=False), flush=True)
        table = pd.concat([table, claims.assign(**key)[list(table)]], ignore_index=True)
        write_csv(table, args.output)
    if (table[KEY] == pd.Series(sizes(demo))).all(axis=1).any():
        write_text(describe(table, sizes(demo)), args.page)


PAGE = """# Are the demo's verdicts true?

`make demo` plants one difference: the detail of dark phantoms is {difficulty:g} times as strong as that of light ones,
and so harder to reconstruct. What its {runs:.0f} runs say of each claim, and what {more:.0f} runs of the same design
say, which know better what is true of such models: the demo with `--config study=truth 'splits={{runs: {more:.0f}}}'`,
then `python benchmarks/demo.py --finished results/demo results/truth`, which keeps both in benchmarks/demo.csv.
Synthetic data: nothing here says anything about patients.

| claim | the demo | {more:.0f} runs | estimate, {more:.0f} runs |
|---|---|---|---|
{rows}

Of the paper's {claims} claims the demo decides {decided}. Of {judged} of them there is a verdict of {more:.0f} runs,
the same of {agree}{others}.

## Where no group is harder

The same design with `data.synthetic.dark_difficulty: 0`, each study of other phantoms, draws and models (`python
benchmarks/demo.py --difficulty 0 --claim C2 --seeds 1 2 3 ...`). C2, that dark images are harder to reconstruct
where both groups are equally represented, was supported in {supported} of {n} studies, contradicted in {contradicted},
found to be no relevant difference in {equal} and inconclusive in the others. Even then the groups differ in tone and in
their mix of conditions.
"""
DECIDED = ("supported", "contradicted", "no relevant difference")


def describe(table: pd.DataFrame, demo: Mapping[str, float]) -> str:
    """docs/demo.md: the verdicts of the demo beside those of more runs, and of studies in which no group is harder."""
    design = [column for column in KEY if column not in ("seed", "difficulty", "runs")]
    same = table[(table[design] == pd.Series({column: demo[column] for column in design})).all(axis=1)]
    planted = same[(same["seed"] == demo["seed"]) & (same["difficulty"] == demo["difficulty"])]
    few = planted[planted["runs"] == demo["runs"]].set_index("claim")
    many = planted[planted["runs"] == planted["runs"].max()].set_index("claim")
    rows = []
    for claim, row in few.iterrows():
        verdict = interval = "-"
        if claim in many.index:
            truth = many.loc[claim]
            verdict = truth["verdict"]
            if pd.notna(truth["estimate"]):
                interval = "{estimate:.4g} ({ci_low:.4g} to {ci_high:.4g})".format(**truth)
        rows.append(f"| {claim} | {row['verdict']} | {verdict} | {interval} |")
    of_paper = few[few.index.str.match("[CP]")]
    decided = of_paper[of_paper["verdict"].isin(DECIDED)]
    beside = many["verdict"].reindex(decided.index).dropna()
    agree = int((beside == decided.loc[beside.index, "verdict"]).sum())
    others = [f"{claim} is {verdict}" for claim, verdict in beside.items() if verdict != decided.loc[claim, "verdict"]]
    none = same[(same["difficulty"] == 0) & (same["runs"] == demo["runs"]) & (same["claim"] == "C2")]["verdict"]
    counts = {verdict: int((none == verdict).sum()) for verdict in DECIDED}
    return PAGE.format(
        difficulty=1 + demo["difficulty"],
        runs=demo["runs"],
        more=planted["runs"].max(),
        rows="\n".join(rows),
        claims=len(of_paper),
        decided=len(decided),
        judged=len(beside),
        agree=agree,
        others=f"; there {', '.join(others)}" if others else "",
        n=len(none),
        supported=counts["supported"],
        contradicted=counts["contradicted"],
        equal=counts["no relevant difference"],
    )


def sizes(config: Mapping[str, Any]) -> dict[str, float]:
    """The columns `KEY`: what sets a study apart from others."""
    splits, synthetic = config["splits"], config["data"]["synthetic"]
    recipe = (config["train"]["epochs"], config["train"]["learning_rate"], config["loss"]["kl_scale"])
    drawn = (splits["train_size"], splits["test_size"], synthetic["n"])
    return dict(zip(KEY, (config["seed"], synthetic["dark_difficulty"], splits["runs"], *recipe, *drawn), strict=True))


def claims_of(folder: Path) -> pd.DataFrame:
    """The verdicts of a finished study, `COLUMNS`."""
    tables = [read_table(folder / "tables" / f"{name}.csv") for name in ("claims", "probe_claims")]
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def judged(config: Mapping[str, Any], claim: str | None) -> pd.DataFrame:
    """The verdicts on the claims that rest on errors and latents, or on one of `NEEDS` alone: `COLUMNS`."""
    synthetic, stats = config["data"]["synthetic"], config["stats"]
    phantom = generate(seed=config["seed"], **synthetic)
    design = design_from(config["seed"], config["splits"])
    pair = pairs_of(design.groups)[0]
    truth = phantom.truth[phantom.truth["duplicate_of"] != ""]
    clusters = dict(zip(truth["id"], truth["duplicate_of"], strict=True))
    clusters |= {original: original for original in clusters.values()}
    sums, means = CrossedSums(pair, METRICS, clusters), []
    train_sets = tuple(one for one in design.train_sets if claim is None or one.name in NEEDS[claim])
    draws: dict[str, list[Drawn]] = {one.name: [] for one in train_sets}
    for run in evaluations(config, phantom, design, draws):
        sums.add(run)
        means += [run_means(part, pair, METRICS) for _, part in run.groupby("train_set")]
    described = describe_design(replace(design, train_sets=train_sets), config["splits"]["train_size"], draws)
    runs = sort_by_design(pd.concat(means, ignore_index=True), pair, ["run"])
    rules = rules_from(stats)
    cases = run_claims(run_table(runs, sums.table(), pd.DataFrame(described), pair, METRICS), rules)
    verdicts = verdict_table(cases, rules.alpha, rules.min_runs)[COLUMNS]
    return verdicts if claim is None else verdicts[verdicts["claim"] == claim]


def evaluations(
    config: Mapping[str, Any], phantom: Phantom, design: Design, draws: Mapping[str, list[Drawn]]
) -> Iterator[pd.DataFrame]:
    """Of each run the errors of its models: train_set, compared_share, run, group, id, mse, latent_std.

    Args:
        config: of the study.
        phantom: its data.
        design: its sizes.
        draws: extended by what was drawn for each training set that is in it; the others have no models.
    """
    pixels = {name: decode_square(data, config["data"]["image_size"])[0] for name, data in phantom.files.items()}
    known = phantom.metadata[phantom.metadata["md5hash"].isin(list(pixels))].astype(str)
    rows = [
        {"id": name, "skin_type": skin_type if skin_type != "-1" else ""}
        for name, skin_type in zip(known["md5hash"], known["fitzpatrick_scale"], strict=True)
    ]
    candidates = candidates_from(rows, design.groups)
    size = feasible_train_size(design, available(candidates))
    features = random_weights(derive_seed(config["seed"], "vgg19"))
    half = choose_precision(config["train"]["precision"], CPU) == "bf16"
    dtype = torch.bfloat16 if half else torch.float32
    perceptual = place(PerceptualLoss(features, config["loss"]["perceptual_normalize"], dtype), CPU)
    for run in range(config["splits"]["runs"]):
        test = draw_test(candidates, design, run)
        parts = []
        for train_set in (one for one in design.train_sets if one.name in draws):
            drawn = draw_train(candidates, design, run, train_set, size, test)
            draws[train_set.name].append(drawn)
            images = np.stack([pixels[name] for name in ids_of(drawn)])
            seed = model_seed(config["seed"], train_set.name, run, paired=config["train"]["paired_seeds"])
            model = trained(config, images, perceptual, seed)
            for group, names in test.items():
                measured = errors(model, np.stack([pixels[name] for name in names]), config["evaluate"]["batch_size"])
                of_model = {"train_set": train_set.name, "compared_share": train_set.share(design.groups[1].name)}
                parts.append(pd.DataFrame({**of_model, "run": run, "group": group, "id": names, **measured}))
        yield pd.concat(parts, ignore_index=True)


def trained(config: Mapping[str, Any], images: np.ndarray, perceptual: PerceptualLoss, seed: int) -> VAE:
    """The model that train_vae.py makes of the same images and seed."""
    architecture = Architecture.from_config(config["model"])
    recipe = Recipe.from_config(config["train"], config["loss"])
    torch.manual_seed(derive_seed(seed, "weights"))
    model = place(VAE(architecture), CPU)
    optimizer = Adam(model.parameters(), recipe.learning_rate)
    pixels = torch.from_numpy(images)
    precision = choose_precision(config["train"]["precision"], CPU)
    train(model, optimizer, perceptual, pixels, recipe, seed, precision, [], lambda _: None, lambda _: None,
          spare_memory(CPU, 1))  # fmt: skip
    return model.eval()


@torch.no_grad()
def errors(model: VAE, images: np.ndarray, batch_size: int) -> dict[str, np.ndarray]:
    """`METRICS` of test images (n, S, S, 3), from their mean latents."""
    parts = []
    for first in range(0, len(images), batch_size):
        target = to_unit_range(torch.from_numpy(images[first : first + batch_size]))
        mu, logvar = model.encoder(target)
        found = mse(target, model.decoder(mu)), latent_std(mu, logvar, kl_divergence(mu, logvar))
        parts.append(torch.stack(found).double().numpy())
    return dict(zip(METRICS, np.concatenate(parts, axis=1), strict=True))


if __name__ == "__main__":
    main()
