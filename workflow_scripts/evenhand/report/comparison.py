"""Finished studies side by side: claims by studies, what the studies differ in, and why they may not be comparable."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evenhand.report.claims import DASH, PLOT_WIDTH, claim_rows, is_synthetic, read_claims
from evenhand.report.page import page_template
from evenhand.stats.verdicts import claim_order
from evenhand.workflow.errors import UserError

COLUMNS = ["verdict", "survives", "estimate", "ci_low", "ci_high", "level", "null_value", "margin", "n"]
PHOTOGRAPHS = "data/images.npy"
# Keys of the configuration that change what is compared; by the reason why two studies are then not of one kind.
REASONS = {
    "splits.groups": "The groups are not the same: a claim is about other people.",
    "data.image_size": "Images have other sizes: errors are not on one scale.",
    "stats": "Rules of the verdicts differ (stats): equal numbers can give other verdicts.",
    "probe.margin": "Rules of the verdicts on probes differ (probe.margin).",
}


@dataclass(frozen=True)
class Study:
    """A finished study: its configuration, its claims, the sums of its files where they were recorded."""

    name: str
    config: Mapping[str, Any]
    synthetic: bool
    claims: pd.DataFrame
    files: Mapping[str, str]


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
    return Study(results.name, json.loads(settings.read_text("utf-8")), is_synthetic(results), claims, files)


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


def build_comparison(template: Path, studies: Sequence[Study]) -> str:
    """The page as HTML text; equal studies give equal text."""
    cells = {(study.name, row["claim"]): row for study in studies for row in claim_rows(study.claims)}
    table = comparison_table(studies)
    statements = {claim: list(dict.fromkeys(rows["statement"])) for claim, rows in table.groupby("claim", sort=False)}
    return page_template(template).render(
        names=[study.name for study in studies],
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
