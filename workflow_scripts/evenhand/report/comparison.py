"""Finished studies side by side: their models, claims, what they differ in, and why they may not be comparable."""

import json
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evenhand.report.claims import DASH, PLOT_WIDTH, claim_rows, is_synthetic, number, read_claims
from evenhand.report.page import page_template
from evenhand.splits.groups import FROZEN
from evenhand.stats.verdicts import claim_order
from evenhand.workflow.errors import UserError
from evenhand.workflow.provenance import run_records
from evenhand.workflow.tables import read_table

COLUMNS = ["verdict", "survives", "estimate", "ci_low", "ci_high", "level", "null_value", "margin", "n"]
PHOTOGRAPHS = "data/images.npy"
# Whose verdicts stand in the table of models: how the error depends on training and group, and the controls of that.
OF_MODELS = ("C1", "C2", "C3", "C4", "C5", "K1")
# Its columns that are numbers of a study: by column, the table under tables/ and the column there.
OF_GAP = {
    "train_set": ("gaps", "train_set"),
    "mean_reference": ("gaps", "mean_reference"),
    "ratio": ("gaps", "ratio"),
    "ratio_low": ("gaps", "ratio_low"),
    "ratio_high": ("gaps", "ratio_high"),
    "equivalent_ratio": ("equivalents", "ratio"),
    "equivalent_low": ("equivalents", "ratio_low"),
    "equivalent_high": ("equivalents", "ratio_high"),
    "codec_ratio": ("codec", "codec_ratio"),
    "codec_low": ("codec", "codec_ratio_low"),
    "codec_high": ("codec", "codec_ratio_high"),
    "n_runs": ("gaps", "n_runs"),
    "n_test": ("gaps", "n_test"),
}
# Keys of the configuration that change what is compared; by the reason why two studies are then not of one kind.
REASONS = {
    "splits.groups": "The groups are not the same: a claim is about other people.",
    "data.image_size": "Images have other sizes: errors are not on one scale.",
    "stats": "Rules of the verdicts differ (stats): equal numbers can give other verdicts.",
    "probe.margin": "Rules of the verdicts on probes differ (probe.margin).",
}


@dataclass(frozen=True)
class Study:
    """A finished study: its configuration, its claims, the sums of its files where they were recorded.

    models: its columns of `models_table`, empty where none was trained.
    """

    name: str
    config: Mapping[str, Any]
    synthetic: bool
    claims: pd.DataFrame
    files: Mapping[str, str]
    models: Mapping[str, Any]


def read_study(results: Path) -> Study:
    """The study in the folder results/<study>.

    Raises:
        UserError: it is not finished.
    """
    claims = read_claims(results)
    settings, record = results / "settings" / "study.json", results / "provenance.json"
    if not settings.is_file():
        raise UserError(f"expected {settings} of a finished study, found none. Run the study again.")
    files = json.loads(record.read_text("utf-8"))["files"] if record.is_file() else {}
    config = json.loads(settings.read_text("utf-8"))
    return Study(results.name, config, is_synthetic(results), claims, files, _models_of(results, config))


def _models_of(results: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """What `models_table` says of a study, but for verdicts; of the first training set of equal shares, or frozen."""
    compared = config["splits"]["groups"][1]["name"]
    tables: dict[str, dict[Hashable, Any]] = {}
    for name in ("gaps", "equivalents", "codec"):
        path = results / "tables" / f"{name}.csv"
        if not path.is_file():
            continue
        rows = read_table(path)
        balanced = (rows["compared_share"] == 0.5) | (rows["train_set"] == FROZEN)
        chosen = balanced & (rows["compared"] == compared)
        if "metric" in rows:
            chosen &= rows["metric"] == "mse"
        tables[name] = next(iter(rows[chosen].to_dict("records")), {})
    if "gaps" not in tables:
        return {}
    try:
        records = run_records(results / "runs", config["splits"])
    except FileNotFoundError:
        records = []  # the folders of models are large and may be gone
    return {
        "model": config["model"]["family"],
        **{column: tables.get(name, {}).get(of, math.nan) for column, (name, of) in OF_GAP.items()},
        "parameters": max((record["parameters"] for record in records), default=math.nan),
        "seconds": sum(record.get("seconds", math.nan) for record in records) / len(records) if records else math.nan,
    }


def flat(value: object, name: str = "") -> dict[str, str]:
    """A configuration as texts by key, blocks joined by dots; lists of plain values and of blocks are one value."""
    if isinstance(value, Mapping) and value:
        parts = [flat(inner, f"{name}.{key}".lstrip(".")) for key, inner in value.items()]
        return {key: text for part in parts for key, text in part.items()}
    return {name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}


def differing(studies: Sequence[Study]) -> dict[str, list[str]]:
    """The keys of the configuration but the name whose values differ: a text per study, a dash where it has none."""
    found = [flat(study.config) for study in studies]
    keys = [key for key in dict.fromkeys(key for one in found for key in one) if key != "study"]
    values = {key: [one.get(key, DASH) for one in found] for key in keys}
    return {key: texts for key, texts in values.items() if len(set(texts)) > 1}


def concerns(key: str, changed: Iterable[str]) -> bool:
    """Whether a key of the configuration, or one below it, is among those that were changed."""
    return any(name == key or name.startswith(f"{key}.") for name in changed)


def not_comparable(studies: Sequence[Study]) -> list[str]:
    """What speaks against reading the numbers of these studies side by side, in sentences."""
    names, changed = [study.name for study in studies], differing(studies)
    found = []
    if len({study.synthetic for study in studies}) > 1:
        made_up = [study.name for study in studies if study.synthetic]
        found.append(f"Synthetic data ({', '.join(made_up)}) stand beside measured ones.")
    for part, what in (("data/metadata.csv", "tables of images"), (PHOTOGRAPHS, "packed photographs")):
        sums = [study.files.get(part) for study in studies]
        if None in sums:
            lacking = [name for name, known in zip(names, sums, strict=True) if known is None]
            found.append(f"Whether the {what} are the same is not known: no record in {', '.join(lacking)}.")
        elif len(set(sums)) > 1:
            found.append(f"The {what} are not the same: differences may come from the data.")
    found += [reason for key, reason in REASONS.items() if concerns(key, changed)]
    photographs = {study.files.get(PHOTOGRAPHS) for study in studies}
    if None in photographs or len(photographs) == 1:  # equal, or not known to differ
        found.append(
            "Studies on the same photographs are not independent of one another, and no difference between studies is "
            "tested here: one verdict supported and another inconclusive does not show that the studies differ."
        )
    return found


def comparison_table(studies: Sequence[Study]) -> pd.DataFrame:
    """One row per claim and study, in the order of the claims; studies without the claim have no row.

    Returns:
        claim, statement, study, and `COLUMNS` as in tables/claims.csv.
    """
    rows = pd.concat([study.claims.assign(study=study.name) for study in studies], ignore_index=True)
    order = {claim: place for place, claim in enumerate(sorted(set(rows["claim"]), key=claim_order))}
    names = {study.name: place for place, study in enumerate(studies)}
    places = rows.assign(of_claim=rows["claim"].map(order), of_study=rows["study"].map(names))
    rows = places.sort_values(["of_claim", "of_study"], ignore_index=True)
    return rows[["claim", "statement", "study", *COLUMNS]]


def models_table(studies: Sequence[Study]) -> pd.DataFrame:
    """One row per study, where studies differ in their family; else none.

    Returns:
        study; model, its family; train_set, the one of equal shares, of which are: mean_reference, the mean squared
        error of the reference group; ratio, ratio_low and ratio_high, that of the compared group over it;
        equivalent_ratio, equivalent_low and equivalent_high, the ratio of the blurs that cost as much; codec_ratio,
        codec_low and codec_high, the ratio of codecs of equal error; n_runs; n_test, images of a group and run;
        parameters of a model; seconds of a training, mean over the study's models, NaN of a frozen one; claims,
        the verdicts on `OF_MODELS`.

    Raises:
        UserError: a study has no table of gaps.
    """
    if "model.family" not in differing(studies):
        return pd.DataFrame()
    rows = []
    for study in studies:
        verdicts = zip(study.claims["claim"], study.claims["verdict"], strict=True)
        judged = [f"{claim} {verdict}" for claim, verdict in verdicts if claim in OF_MODELS]
        if not study.models:
            raise UserError(f"expected tables/gaps.csv of the study {study.name}, found none. Run the study again.")
        rows.append({"study": study.name, **study.models, "claims": "; ".join(judged)})
    return pd.DataFrame(rows)


def models_shown(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of `models_table` in words, as the pages show them."""

    def ratio(row: Mapping[Any, Any], name: str, low: str, high: str) -> str:
        words = "" if math.isnan(row[low]) else f" ({row[low]:.2f} to {row[high]:.2f})"
        return DASH if math.isnan(row[name]) else f"{row[name]:.2f}{words}"

    return [
        {
            "study": row["study"],
            "model": row["model"],
            "error": number(row["mean_reference"]),
            "ratio": ratio(row, "ratio", "ratio_low", "ratio_high"),
            "equivalent": ratio(row, "equivalent_ratio", "equivalent_low", "equivalent_high"),
            "codec": ratio(row, "codec_ratio", "codec_low", "codec_high"),
            "verdicts": row["claims"].split("; "),
            "n": f"{number(row['n_runs'])} runs of {number(row['n_test'])} test images a group",
            "cost": f"{number(row['parameters'])} parameters; "
            + ("no training" if math.isnan(row["seconds"]) else f"{number(row['seconds'])} s a training"),
        }
        for row in table.to_dict("records")
    ]


def build_comparison(template: Path, studies: Sequence[Study], models_csv: str) -> str:
    """The page as HTML text; equal studies give equal text. `models_csv` is the address of `models_table`."""
    cells = {(study.name, row["claim"]): row for study in studies for row in claim_rows(study.claims)}
    table = comparison_table(studies)
    statements = {claim: list(dict.fromkeys(rows["statement"])) for claim, rows in table.groupby("claim", sort=False)}
    return page_template(template).render(
        names=[study.name for study in studies],
        models=models_shown(models_table(studies)),
        models_csv=models_csv,
        synthetic=[study.name for study in studies if study.synthetic],
        claims=[
            {
                "claim": claim,
                "statements": texts,
                "cells": [cells.get((study.name, str(claim))) for study in studies],
            }
            for claim, texts in statements.items()
        ],
        differing=differing(studies),
        warnings=not_comparable(studies),
        plot_width=PLOT_WIDTH,
        dash=DASH,
    )
