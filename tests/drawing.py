"""Draws figures from made-up tables with the documented columns; for the tests of figures."""

import json
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd

import draw_figure
from evenhand.figures.common import GroupNames
from evenhand.figures.registry import declared_figures
from evenhand.figures.style import GROUPS

NAMES = GroupNames("light skin", "dark skin")
# Those drawn from tables that `write_tables` makes up.
FROM_TABLES = {
    figure.name: figure.files
    for figure in declared_figures()
    if not {"examples", "histories", "availability", "tone_by_type", "probe_curves"} & {*figure.files}
}


def design(sets: int) -> list[tuple[str, float]]:
    shares = np.linspace(0, 1, sets) if sets > 1 else [0.5]
    return [("ABCDEFGHIJK"[i], float(share)) for i, share in enumerate(shares)]


def write_tables(folder: Path, sets: int, runs: int) -> None:
    """Tables with the documented columns, intervals empty where one run cannot give them."""
    rng = np.random.default_rng(0)
    lists: dict[str, list[dict[str, object]]] = defaultdict(list)
    half = 0.1 if runs > 1 else np.nan

    def estimate(value: float) -> dict[str, object]:
        return {"estimate": value, "ci_low": value - half, "ci_high": value + half, "n_runs": runs}

    for name, share in design(sets):
        key = {"train_set": name, "dark_share": share}
        for metric in ("mse", "latent_std"):
            gap = estimate(0.02 - 0.01 * share)
            gap["gap"] = gap.pop("estimate")
            naive = {"naive_low": half, "naive_high": half, "margin": 0.05 if metric != "mse" else np.nan}
            shared = {"shared": 0.77 if runs > 1 else np.nan, "shared_low": 2 * half, "shared_high": 2 * half}
            lists["gaps"].append(key | gap | naive | shared | {"metric": metric, "n_test": 20, "ratio": 1.2})
        for adjustment in ("none", "condition"):
            row = {"adjustment": adjustment, "n_strata": int(adjustment == "none"), "coverage": 0.5, "crude_gap": 0.1}
            row |= {"n_light": 30, "n_dark": 20}
            gap = estimate(0.1 if adjustment == "none" else np.nan)
            gap["gap"] = gap.pop("estimate")
            lists["adjusted"].append(key | row | gap)
        for target in ("worst decile", "group not in the training set" if share in (0, 1) else "dark group"):
            row = {"score": "latent_std", "statistic": "auroc", "target": target, "n_images": 40}
            lists["uncertainty"].append(key | row | estimate(0.6))
        for source in ("training", "prior"):
            row = {"source": source, "quantity": "ita_mean", "n_images": 9}
            lists["samples"].append(key | row | estimate(20.0))
        for ita in (60.0, 20.0, -20.0):
            row = {
                "ita": ita,
                "mse": 0.1,
                "ci_low": 0.09,
                "ci_high": 0.11,
                "n_images": 40,
                "n_no_skin": 2,
                "warnings": "",
            }
            lists["tone_curves"].append(key | row)
        for group in GROUPS:
            for run in range(runs):
                means = {"mse": 0.05 + 0.01 * rng.random(), "latent_std": 0.8 + 0.01 * rng.random()}
                lists["runs"].append(key | {"run": run, "group": group, "n_images": 20} | means)
            for label, n in (("acne <i>", 30), ("psoriasis", 12), ("vitiligo", 2)):
                row = {"label": label, "group": group, "n_images": n, "raw": 0.05 + 0.02 * rng.random()}
                lists["pooled_conditions"].append(key | row | estimate(0.06 + 0.01 * rng.random()))
            for quantity in ("dl", "ciede2000"):
                row = {"group": group, "quantity": quantity, "n_images": 19.0, "n_no_skin": 1.0}
                lists["colour"].append(key | row | estimate(1.0))
    for group in GROUPS:
        lists["sweep"].append({"quantity": f"slope of {group}", "metric": "mse", "note": ""} | estimate(0.01))
    lists["sweep"].append({"quantity": "crossing", "metric": "mse", "note": "none"} | estimate(np.nan))
    for name, rows in (lists | metadata_tables()).items():
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)


def metadata_tables() -> dict[str, list[dict[str, object]]]:
    counts = [{"fitzpatrick_scale": s, "group": "light" if s == 1 else "", "n": 5} for s in (-1, 1, 3)]
    shares = []
    for level, conditions in (("three", 3), ("nine", 9), ("fine", 30)):
        for i in range(conditions):
            row = {"level": level, "condition": f"condition {i}", "n_light": 10, "n_dark": i}
            row |= {"share_light": 1 / conditions, "share_dark": 2 * i / (conditions * (conditions - 1))}
            shares.append(row)
    return {"fst_counts": counts, "prevalence": shares}


def examples(sets: int, k: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    groups = np.array(["light", "dark"] * k)
    arrays = {"group": groups, "quantile": np.repeat(np.linspace(0.9, 0.1, k), 2)}
    for name in ["input", *(f"reconstruction_{name}" for name, _ in design(sets))]:
        arrays[name] = rng.integers(0, 256, (2 * k, 8, 8, 3), dtype=np.uint8)
    return arrays


def draw(figure: str, folder: Path, *files: Path, synthetic: bool = False, runs: int = 1) -> dict[str, object]:
    """Draw a figure into `folder`, where its histories are, too; its words."""
    outputs = [
        "--svg",
        folder / f"{figure}.svg",
        "--png",
        folder / f"{figure}.png",
        "--text",
        folder / f"{figure}.json",
    ]
    settings = {"rare_below": 10, "label_conditions": 3, "runs": runs}
    config = {"light": [1, 2], "dark": [5, 6], "synthetic": synthetic, "dpi": 60, "settings": settings}
    options = ["--files", *files, "--models", folder, "--config", json.dumps(config), *outputs]
    draw_figure.main(["--figure", figure, *map(str, options)])
    return json.loads((folder / f"{figure}.json").read_text())


def letters_in_points(svg: Path) -> list[float]:
    """Sizes of the text of an SVG, whose letters are outlines scaled from a 100-unit font by matplotlib."""
    sizes = []
    for element in ElementTree.parse(svg).iter("{http://www.w3.org/2000/svg}g"):
        if "scale(" in (transform := element.get("transform", "")) and "translate(" in transform:
            sizes.append(100 * float(transform.split("scale(")[1].split()[0].rstrip(")")))
    return sizes
