"""The conditions of a study as its report states them: what was there, how models were trained, what to beware of."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from evenhand.data.metadata import (
    CONDITION_COLUMNS,
    MISSING_TYPE,
    SKIN_TYPE_COLUMNS,
    alike,
    assign_group,
    given_levels,
    several_sources,
)
from evenhand.figures.registry import declared_figures
from evenhand.models.registry import declared
from evenhand.splits.groups import FROZEN, Group


class Availability(NamedTuple):
    """How many metadata rows of a group have a photograph, and what became of the others.

    `group` is its title, or empty for the rows in no group.
    """

    group: str
    asked: int
    found: int
    lost: dict[str, int]


def availability_counts(table: pd.DataFrame, groups: Sequence[Group]) -> list[Availability]:
    """Metadata rows with and without photograph: of each group, and of none.

    Args:
        table: data/availability.csv, one row per metadata row; status `ok` is a usable photograph.
        groups: of the study.
    """
    group_of_row = assign_group(table, groups)
    counts = []
    for name, title in [*((group.name, group.title) for group in groups), ("", "")]:
        status = table.loc[group_of_row == name, "status"].value_counts()
        lost = {str(name): int(n) for name, n in sorted(status.items(), key=lambda item: str(item[0])) if name != "ok"}
        counts.append(Availability(title, int(status.sum()), int(status.get("ok", 0)), lost))
    return counts


def name_warnings(table: pd.DataFrame) -> list[str]:
    """Conditions that may be one to a reader and are counted as several.

    Args:
        table: data/availability.csv.
    """
    return [
        f"Names in {level} that differ in case or blanks alone are counted apart: {', '.join(map(repr, names))}."
        for level in CONDITION_COLUMNS
        for names in alike(table[level])
    ]


def not_applicable(table: pd.DataFrame, groups: Sequence[Group], skin: bool) -> list[str]:
    """What the data do not tell, and so is left out of tables and figures, one sentence each.

    Args:
        table: data/availability.csv, one row per metadata row.
        groups: of the study.
        skin: whether the images show skin.
    """
    found = []
    levels, sources = given_levels(table), table["source"]
    if len(levels) < len(CONDITION_COLUMNS):
        found.append(
            f"The table has {len(levels)} of {len(CONDITION_COLUMNS)} levels of conditions: nothing is said of the "
            "coarser ones, and the claim that compares levels (C8) is not testable."
        )
    if not several_sources(sources):
        found.append(
            f"All images are from one source as far as the table tells ({sources.iloc[0]}): nothing is compared by it."
        )
    if not skin:
        figures = sum("skin" in figure.needs for figure in declared_figures(groups))
        found.append(
            f"The images are not of skin (data.skin is false): {figures} figures on its tone and colour, the tables "
            "behind them and two parts of the dataset card are left out."
        )
    for column in SKIN_TYPE_COLUMNS if skin else ():
        if not (table[column] != MISSING_TYPE).any():
            found.append(f"No row has a skin type in {column}: the agreement of annotators is not measured.")
    return found


def run_rows(records: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """One line per training set: where and how its models were trained, and how long that took.

    Args:
        records: the run.json of every model.
    """
    rows = []
    for name in dict.fromkeys(record["train_set"] for record in records):
        mine = [record for record in records if record["train_set"] == name]
        parameters = " / ".join(sorted({f"{record['parameters']:,}" for record in mine}))
        rows.append({"training set": name, "models": str(len(mine)), "parameters": parameters})
        if name == FROZEN:
            continue
        seconds = [record["seconds"] for record in mine]
        rows[-1].update(
            {
                "device": " / ".join(sorted({f"{record['device_name']} ({record['device']})" for record in mine})),
                "precision": " / ".join(sorted({record["precision"] for record in mine})),
                "seconds per model": f"{min(seconds):.0f} to {max(seconds):.0f}",
                "images per second": f"{sum(record['images_per_second'] for record in mine) / len(mine):,.0f}",
                "peak memory, MB": f"{max(record['peak_memory_mb'] for record in mine):,.0f}",
            }
        )
    return rows


def versions_used(records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Library versions of the training jobs; several where jobs differ."""
    names = sorted({name for record in records for name in record["versions"]})
    return {name: " / ".join(sorted({record["versions"].get(name, "none") for record in records})) for name in names}


def design_warnings(config: Mapping[str, Any], design: pd.DataFrame, availability: Sequence[Availability]) -> list[str]:
    """Where the data fell short of the plan or the plan differs from the paper's, one sentence each."""
    found = []
    short = design[design["drawn"] < design["requested"]]
    if len(short):
        found.append(
            f"The training sets hold {short['drawn'].min():,} images instead of the {short['requested'].max():,} asked "
            "for, because too few images are there; all sets shrank alike."
        )
    for part in availability:
        if part.group and part.found < part.asked:
            found.append(f"{part.asked - part.found:,} of {part.asked:,} images of the group {part.group} are missing.")
    runs = config["splits"]["runs"]
    if runs < 6:
        found.append(
            f"With {runs} run{'s' if runs > 1 else ''} a two-sided Wilcoxon signed-rank test cannot give a p below "
            f"{2.0 ** (1 - runs):.3g}; read the intervals instead."
        )
    if config["splits"]["replacement"]:
        found.append("Training images are drawn with replacement: sets differ in the number of distinct images.")
    return found


def training_warnings(config: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where training differs from the paper's or between models, one sentence each."""
    found, name = [], config["model"]["family"]
    family = declared(name)
    if name != "vae":
        without = f" Not applicable to it: {'; '.join(family.lacks)}." if family.lacks else ""
        found.append(f"The models are not the paper's: {name}, a {family.plain_title}.{without}")
    if not family.trained:
        found.append(
            "Nothing was trained: the model of every run is the same, and runs differ in their test images alone. What "
            "is said of training sets, of training images and of how models differ is not applicable. Whether such a "
            "model has seen test images elsewhere is not known."
        )
        return found
    if config["loss"]["perceptual_weights"] == "random" and config["loss"]["feature_scale"] > 0:
        found.append("The perceptual loss uses random VGG19 weights, not the ImageNet weights of the paper.")
    for name, version in versions_used(records).items():
        if " / " in version:
            found.append(f"The models were trained with several versions of {name}: {version}.")
    if len({(record["device_name"], record["precision"]) for record in records}) > 1:
        found.append("The models were trained on different devices or with different precision.")
    return found
