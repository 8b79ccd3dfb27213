"""What a study must state of its data and its models, as two tables; what nobody has stated is shown as a gap.

The items of the data are those that the STANDING Together recommendations ask of health datasets (Alderman et al. 2025,
Lancet Digital Health), in our words and order; those of the models follow model cards (Mitchell et al. 2019).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from evenhand.data.availability import ALL
from evenhand.data.metadata import SKIN_TYPE_COLUMNS
from evenhand.figures.style import joined, percent
from evenhand.models.registry import declared
from evenhand.report.claims import DASH, number
from evenhand.report.conditions import versions_used

NOT_STATED = "not stated"
CONFIGURATION, MEASURED = "data.stated", "measured here"
GENERATOR = {
    "name": "generated pictures of skin: no photograph, no patient",
    "licence": "that of this program",
    "purpose": "to try the workflow where what is true is known; nothing found in them says anything about patients",
}
# Of a data set, by the key of data.stated: what is asked.
ITEMS = {
    "name": "name, version and date of the data set",
    "licence": "licence of the pictures, and who may have access",
    "creators": "who created it, and who paid for it",
    "purpose": "why it was created, and for what it should not be used",
    "origin": "where and when the data come from",
    "selection": "how people and pictures were selected, and from which population",
    "attributes": "attributes of people that are recorded, and how they were obtained",
    "groups": "which groups are small or missing, and why",
    "missing": "what is missing, of whom",
    "labels": "who labelled the pictures, how, and how far labels agree",
    "processing": "how pictures were processed",
    "quality": "known errors, and how quality was checked",
    "bias": "known or possible biases",
    "ethics": "consent, ethical review, privacy, and how people in the data were involved",
}


def state_data(
    config: Mapping[str, Any],
    synthetic: bool,
    stated: Mapping[str, str],
    card: pd.DataFrame,
    columns: Sequence[str],
) -> pd.DataFrame:
    """What is known of the data, item by item; every item has one row at least.

    Args:
        config: the whole configuration; `data.stated` is what its author states.
        synthetic: whether the images come from the generator.
        stated: by item, what the module of the data set states (`STATED`).
        card: tables/dataset_card.csv.
        columns: of data/availability.csv that hold something of the data set's own.

    Returns:
        item (a key of `ITEMS`), asked, value, by (who says so).
    """
    data = config["data"]
    sources = [("generator", GENERATOR)] if synthetic else [(f"data set {data['dataset']}", stated)]
    rows = []
    for item, asked in ITEMS.items():
        known = [(texts[item], by) for by, texts in [*sources, (CONFIGURATION, data["stated"])] if item in texts]
        known += [(text, MEASURED) for text in _measured(item, config, card, columns)]
        rows += [{"item": item, "asked": asked, "value": text, "by": by} for text, by in known or [(NOT_STATED, "")]]
    return pd.DataFrame(rows)


def _measured(item: str, config: Mapping[str, Any], card: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """What the study's own tables tell of an item."""
    names = [group["name"] for group in config["splits"]["groups"]]
    numbers = card.set_index(["item", "group"])["number"]

    def by_group(of: str, share: bool = False) -> str:
        values = {name: numbers.get((of, name), math.nan) for name in [*names, ALL]}
        written = percent if share else number
        return ", ".join(f"{name} {DASH if math.isnan(n) else written(round(n, 4))}" for name, n in values.items())

    if item == "groups":
        return [f"rows of the metadata: {by_group('rows of the metadata')}"]
    if item == "missing":
        return [f"rows without a usable photograph: {by_group('without a usable photograph')}"]
    if item == "attributes":
        return [f"columns of the table: {joined(sorted(columns)) or 'none'}; it does not say how they were obtained"]
    if item == "quality":
        verified, near = "photographs with the checksum of the metadata", "in a cluster of near-duplicates"
        return [f"{verified}: {by_group(verified, True)}", f"photographs {near}: {by_group(near, True)}"]
    if item == "processing":
        side, icc = config["data"]["image_size"], config["data"]["icc"]
        profile = "converted to sRGB" if icc == "convert" else "ignored"
        return [f"here: shorter side resized, centre crop, {side} x {side} px; colour profiles {profile}"]
    return []


def own_columns(availability: pd.DataFrame, added: Sequence[str]) -> list[str]:
    """The columns that the table of the data set fills, in words that a reader of it knows; `added` are the workflow's.

    Columns of identifiers, places and conditions say nothing of a person.
    """
    others = {"id", "checksum", "url", "source", "condition", "condition_2", "condition_3", *added}
    kept = [name for name in availability.columns if name not in others]
    filled = [name for name in kept if name in SKIN_TYPE_COLUMNS or (availability[name] != "").any()]
    return [name for name in filled if name not in SKIN_TYPE_COLUMNS or (availability[name] > 0).any()]


def state_models(
    config: Mapping[str, Any], records: Sequence[Mapping[str, Any]], design: pd.DataFrame, licence: str
) -> pd.DataFrame:
    """A model card of all trained models of the study.

    Args:
        config: the whole configuration.
        records: the run.json of every model, one at least.
        design: tables/design.csv.
        licence: of the pictures, as `state_data` has it.

    Returns:
        section, item, value.
    """
    model, loss, train = config["model"], config["loss"], config["train"]
    sizes = joined(sorted({f"{record['parameters']:,}" for record in records}), "or")
    trained = declared(model["family"]).trained
    devices = joined(sorted({f"{record['device_name']} ({record['precision']})" for record in records if trained}))
    made_with = ", ".join(f"{name} {version}" for name, version in versions_used(records).items())
    sets = [
        f"{row['train_set']}: {row['drawn']:,} images ({row['mix']}), {number(row['distinct'])} distinct a run"
        for row in design.to_dict("records")
    ]
    splits = config["splits"]
    groups = joined([group["title"] for group in splits["groups"]])
    starts = f", {splits['starts']} starts" if splits["starts"] > 1 else ""
    rows = [
        ("model", "models", f"{len(records)}: {len(design)} training sets, {splits['runs']} runs{starts}"),
        ("model", "architecture", f"{sizes} parameters; {_settings(model)}; the methods in the report say what it is"),
        ("model", "training", f"{_settings(train)}; loss: {_settings(loss)}"),
        ("model", "made with", f"{made_with}; {devices}; seed {config['seed']}"),
    ]
    if not trained:
        described = f"{sizes} parameters; family {model['family']}; {_settings(model['options'])}"
        rows = [
            ("model", "models", f"one, tested in {config['splits']['runs']} runs"),
            ("model", "architecture", f"{described}; the methods in the report say what it is"),
            ("model", "training", "none here; where and on what it was trained, if it was, is " + NOT_STATED),
            ("model", "made with", f"{made_with}; seed {config['seed']}"),
        ]
    rows += [
        ("model", "licence of the weights", NOT_STATED),
        ("use", "intended", "to measure how the error of reconstruction differs between groups of people"),
        ("use", "not intended", "diagnosis, and pictures to train other models on: neither was tested"),
        ("factors", "groups", groups),
        *(("training data", "training set", text) for text in sets if trained),
        ("training data", "licence of the pictures", licence),
        (
            "evaluation",
            "test data",
            f"{config['splits']['test_size']} images of each group and run, of the same data",
        ),
        ("evaluation", "other data sets", "not tested"),
        ("evaluation", "results", "tables headline and gaps; verdicts with intervals: table claims"),
        ("risks", "patients", "whether training pictures can be got from the weights was not tested"),
    ]
    return pd.DataFrame(rows, columns=["section", "item", "value"])


def _settings(block: Mapping[str, Any]) -> str:
    """A block of the configuration in a line."""
    return ", ".join(f"{key} {value}" for key, value in block.items())
