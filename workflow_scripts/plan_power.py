"""Print and draw what a design can find before anything is trained: the smallest ratio found with 80 % power."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from evenhand.figures.common import Drawing, FigureText, write_figure
from evenhand.figures.style import PAGE_WIDTH, new_figure
from evenhand.splits.design import available, candidates_from
from evenhand.splits.groups import groups_from, pairs_of
from evenhand.stats.gaps import run_table
from evenhand.stats.plan import CONTRASTS, Components, Size, pilot_components, plan_table, smallest_ratios
from evenhand.workflow.errors import run
from evenhand.workflow.files import read_rows
from evenhand.workflow.tables import read_table, write_csv

RUNS = (2, 3, 4, 5, 7, 10, 14, 20, 30)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metadata", required=True, help="data/metadata.csv: every image of the data set")
    parser.add_argument(
        "--config", required=True, type=json.loads, help="JSON: splits, plan, alpha, synthetic, and formats, dpi, text"
    )
    parser.add_argument("--table", required=True, help="CSV: one row per design and contrast")
    parser.add_argument("--svg", required=True, type=Path, help="the figure; other formats go beside it")
    parser.add_argument("--text", required=True, type=Path, help="title, caption and alternative text, as JSON")
    args = parser.parse_args(argv)

    splits, plan, alpha = (args.config[key] for key in ("splits", "plan", "alpha"))
    groups = groups_from(splits["groups"])
    (pair, *_) = pairs_of(groups)
    counts = available(candidates_from(read_rows(args.metadata), groups))
    size = Size(
        splits["runs"],
        splits["test_size"],
        (counts[pair.reference], counts[pair.compared]),
        len(splits["train_sets"]),
        splits["starts"],
        float(np.mean([shared_share(entry["mix"], splits["train_size"], counts) for entry in splits["train_sets"]])),
    )
    of, source = Components(*(plan[key] for key in ("image", "model", "model_group", "rest"))), "stated (plan)"
    if plan["pilot"]:
        tables = Path(plan["pilot"]) / "tables"
        runs, covariances, design = (read_table(tables / f"{name}.csv") for name in ("runs", "covariances", "design"))
        starts = read_table(tables / "starts.csv")["n_starts"].max() if (tables / "starts.csv").exists() else 1
        table = run_table(runs, covariances, design, pair, ["mse"])
        of, source = pilot_components(table, int(starts)), f"of {plan['pilot']}"
    found = plan_table(size, of, alpha)
    words = (
        f"Standard deviations of log errors, {source}: images {of.image:.3g}, models {of.model:.3g} on both groups and "
        f"{of.model_group:.3g} on each, the rest {of.rest:.3g}; {size.sets} training sets. Models are taken to differ "
        "by their starts; with several, intervals allow for shared training images as well."
    )
    print(words)
    print(found.to_string(index=False))
    write_csv(found, args.table)
    text = FigureText("What the design can find", words, f"Line chart of the table. {words}")
    drawing = Drawing(text, lambda: draw(size, of, alpha, words))
    write_figure(drawing, args.config["synthetic"], args.svg, args.text, args.config)


def shared_share(mix: Mapping[str, float], size: int, counts: Mapping[str, int]) -> float:
    """The fraction of its images that a training set of `size` is expected to share with that of another run."""
    return sum(share**2 * min(size / counts[group], 1.0 / share) for group, share in mix.items() if share > 0)


def draw(size: Size, of: Components, alpha: float, words: str) -> Figure:
    """The smallest ratio against the number of runs, a line per contrast; a mark at the configured design."""
    figure = new_figure(PAGE_WIDTH, 4.0)
    axes = figure.add_subplot()
    for claims, contrast in CONTRASTS.items():
        sizes = [replace(size, runs=runs) for runs in sorted({*RUNS, size.runs})]
        ratios = pd.Series(smallest_ratios(sizes, claims, of, alpha), index=[one.runs for one in sizes])
        (line,) = axes.plot(ratios.index, ratios, marker=".", label=f"{claims}: {contrast}")
        axes.plot(size.runs, ratios[size.runs], "o", color=line.get_color())
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:.3g}")
    axes.yaxis.set_minor_formatter("{x:.3g}")
    axes.set_xticks(RUNS, [str(runs) for runs in RUNS])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(f"runs, of {size.test_size} test images a group")
    axes.set_ylabel(f"smallest ratio found with 80 % power, level {100 * alpha:g} %")
    axes.legend()
    axes.set_title(words, fontsize="small", wrap=True)
    return figure


if __name__ == "__main__":
    run(main)
