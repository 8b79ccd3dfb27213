"""Draws figures from made-up tables with the documented columns; for the tests of figures."""

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd

import draw_figure
from evenhand.evaluation.measures import PRINCIPAL
from evenhand.figures.registry import declared_figures
from evenhand.splits.groups import groups_from, pairs_of

# As in splits.groups: the two of the paper, and three that have nothing to do with skin.
PAPER = [
    {"name": "light", "title": "light skin (FST 1–2)", "where": {"skin_type": [1, 2]}},  # noqa: RUF001
    {"name": "dark", "title": "dark skin (FST 5–6)", "where": {"skin_type": [5, 6]}},  # noqa: RUF001
]
THREE = [
    {"name": "women", "title": "women of any age", "where": {"sex": ["F"]}},
    {"name": "men", "title": "men of any age", "where": {"sex": ["M"]}},
    {"name": "unknown", "title": "people of unknown sex", "where": {"sex": [""]}},
]
GROUPS = groups_from(PAPER)
# The longest one.
EXTRACTOR = "VGG19, last convolution, mean over places (untrained, with random weights: a weak choice)"
# Those drawn from tables that `write_tables` makes up.
FROM_TABLES = {
    figure.name: figure
    for figure in declared_figures(GROUPS)
    if not {"examples", "histories", "availability", "tone_by_type", "probe_curves", "duplicate_pairs"}
    & {*figure.files}
}


def design(sets: int) -> list[tuple[str, float]]:
    shares = np.linspace(0, 1, sets) if sets > 1 else [0.5]
    return [("ABCDEFGHIJK"[i], float(share)) for i, share in enumerate(shares)]


def around(value: float, half: float, runs: int) -> dict[str, object]:
    """An estimate with an interval of that half width."""
    return {"estimate": value, "ci_low": value - half, "ci_high": value + half, "n_runs": runs}


def rows_of_pair(key: dict[str, object], half: float, runs: int) -> dict[str, list[dict[str, object]]]:
    """Rows of tables with one training set and compared group, which `key` names with the share, a row each."""

    def gap(value: float) -> dict[str, object]:
        found = around(value, half, runs)
        return {"gap": found.pop("estimate")} | found

    lists: dict[str, list[dict[str, object]]] = defaultdict(list)
    for metric in PRINCIPAL:
        naive = {"naive_low": half, "naive_high": half, "margin": 0.05 if metric != "mse" else np.nan}
        shared = {"shared": 0.77 if runs > 1 else np.nan, "shared_low": 2 * half, "shared_high": 2 * half}
        row = key | {"metric": metric, "n_test": 20, "ratio": 1.2, "mean_reference": 0.1, "mean_compared": 0.12}
        lists["gaps"].append(row | gap(0.02 - 0.01 * float(str(key["compared_share"]))) | naive | shared)
    for adjustment in ("none", "condition"):
        row = key | {"adjustment": adjustment, "n_strata": int(adjustment == "none"), "coverage": 0.5}
        row |= {"crude_gap": 0.1, "n_reference": 30, "n_compared": 20}
        lists["adjusted"].append(row | gap(0.1 if adjustment == "none" else np.nan))
    in_both = f"{key['compared']} group"
    worst = f"worst decile of {key['compared']} images"
    for target in (worst, "group not in the training set" if key["compared_share"] in (0, 1) else in_both):
        for score in ("luma", "latent_std", "latent_distance"):
            row = key | {"score": score, "statistic": "auroc", "target": target, "n_images": 40}
            lists["uncertainty"].append(row | around(0.6, half, runs))
        if target == "group not in the training set":
            lists["uncertainty"].append(row | {"statistic": "alarm"} | around(0.1, half / 10, runs))
    return lists


def write_tables(folder: Path, sets: int, runs: int, entries: Sequence[dict] = PAPER) -> None:
    """Tables of a study of these groups with the documented columns; intervals empty where one run cannot give them."""
    groups = groups_from(entries)
    pairs = pairs_of(groups)
    rng = np.random.default_rng(0)
    lists: dict[str, list[dict[str, object]]] = defaultdict(list)
    half = 0.1 if runs > 1 else np.nan

    def estimate(value: float) -> dict[str, object]:
        return around(value, half, runs)

    for name, share in design(sets):
        key = {"train_set": name, "compared_share": share}
        for pair in pairs:
            for table, rows in rows_of_pair(key | {"compared": pair.compared}, half, runs).items():
                lists[table] += rows
        for kind in ("training", "prior"):
            row = {"sample_of": kind, "quantity": "ita_mean", "n_images": 9}
            lists["samples"].append(key | row | estimate(20.0))
        shown = {"minus": "", "n_images": 500, "extractor": EXTRACTOR} | estimate(0.2)
        lists["generated"] += [
            key | shown | {"sample_of": kind, "group": group.name, "quantity": quantity}
            for kind, group, quantity in product(("training", "prior"), groups, ("kid", "recall", "copies"))
        ]
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
        for group in [group.name for group in groups]:
            for run in range(runs):
                means = {"mse": 0.05 + 0.01 * rng.random(), "latent_std": 0.8 + 0.01 * rng.random()}
                of_run = key | {"run": run, "group": group, "n_images": 20}
                lists["runs"].append(of_run | means)
                lists["codec_runs"].append(of_run | {"codec_mse": means["mse"] + 0.001})
                lists["leakage"].append(
                    key | {"run": run, "group": group, "n": 20, "with_copy": run, "share": run / 20}
                )
            for label, n in (("acne <i>", 30), ("psoriasis", 12), ("vitiligo", 2)):
                row = {"condition": label, "group": group, "n_images": n, "raw": 0.05 + 0.02 * rng.random()}
                lists["pooled_conditions"].append(key | row | estimate(0.06 + 0.01 * rng.random()))
            for quantity in ("dl", "ciede2000"):
                row = {"group": group, "quantity": quantity, "n_images": 19.0, "n_no_skin": 1.0}
                lists["colour"].append(key | row | estimate(1.0))
    for pair in pairs:
        of_pair = {"compared": pair.compared, "metric": "mse"}
        for group in pair:
            lists["sweep"].append(of_pair | {"quantity": f"slope of {group}", "note": ""} | estimate(0.01))
        lists["sweep"].append(of_pair | {"quantity": "crossing", "note": "none"} | estimate(np.nan))
    compared = [pair.compared for pair in pairs]
    for name, rows in (lists | metadata_tables(compared) | {"ruler_bias": ruler_rows(compared)}).items():
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)


def metadata_tables(compared: Sequence[str]) -> dict[str, list[dict[str, object]]]:
    counts = [{"skin_type": s, "group": "light" if s == 1 else "", "n": 5} for s in (-1, 1, 3)]
    shares = []
    for group, (level, conditions) in product(compared, (("three", 3), ("nine", 9), ("fine", 30))):
        for i in range(conditions):
            row = {"compared": group, "level": level, "condition": f"condition {i}", "n_reference": 10, "n_compared": i}
            row |= {"share_reference": 1 / conditions, "share_compared": 2 * i / (conditions * (conditions - 1))}
            shares.append(row)
    links = [
        {"method": method, "threshold": threshold, "links": n, "new_links": 3, "estimated_true": 0.9, "chosen": chosen}
        | {"new_estimated_true": np.nan}
        for method, threshold, n, chosen in [("features", 20, 40, 0), ("features", 10, 52, 1), ("hash", 6, 9, 0)]
    ]
    return {"fst_counts": counts, "prevalence": shares, "duplicates_by_threshold": links}


def ruler_rows(compared: Sequence[str]) -> list[dict[str, object]]:
    found = {
        "n_reference": 20,
        "n_compared": 18,
        "ratio": 1.1,
        "ci_low": 1.0,
        "ci_high": 1.21,
        "treatment": "undecided",
    }
    return [
        {"compared": name, "measure": measure, "damage": damage, "step": step, **found}
        for name, measure, damage, step in product(compared, ("mse", "ssim"), ("blur", "JPEG"), (1.0, 2.0))
    ]


def examples(sets: int, k: int = 2, entries: Sequence[dict] = PAPER) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    groups = np.array([entry["name"] for entry in entries] * k)
    arrays = {"group": groups, "quantile": np.repeat(np.linspace(0.9, 0.1, k), len(entries))}
    for name in ["input", *(f"reconstruction_{name}" for name, _ in design(sets))]:
        arrays[name] = rng.integers(0, 256, (len(groups), 8, 8, 3), dtype=np.uint8)
    return arrays


def train_sets(folder: Path, sets: Sequence[tuple[str, float]], entries: Sequence[dict] = PAPER) -> Path:
    """The file that names the training sets, each a mix of the first two groups."""
    reference, compared = (entry["name"] for entry in entries[:2])
    found = [{"name": name, "mix": {reference: 1 - share, compared: share}} for name, share in sets]
    (folder / "train_sets.json").write_text(json.dumps(found))
    return folder / "train_sets.json"


def draw(
    figure: str,
    folder: Path,
    *files: Path,
    synthetic: bool = False,
    runs: int = 1,
    groups: Sequence[dict] = PAPER,
    text: str = "outline",
) -> dict[str, object]:
    """Draw a figure into `folder`, where its histories are, too; its words."""
    outputs = ["--svg", folder / f"{figure}.svg", "--text", folder / f"{figure}.json"]
    look = {"formats": ["svg", "png", "pdf"], "dpi": 60, "text": text}
    settings = {"rare_below": 10, "label_conditions": 3, "runs": runs}
    config = {"groups": groups, "synthetic": synthetic, "settings": settings} | look
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
