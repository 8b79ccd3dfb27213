"""Checks a configuration against its schema and against itself, with messages that name the key."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import yaml
from jsonschema import Draft202012Validator, ValidationError

from evenhand.data.datasets import adapter_names
from evenhand.models.registry import declared
from evenhand.probes.configuration import probe_contradictions
from evenhand.probes.members import full_latents, of_unseen_images
from evenhand.splits.groups import RESERVED
from evenhand.workflow.errors import UserError
from evenhand.workflow.planning import as_list

UNPRINTABLE = r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]"  # surrogates: halves of a character


def merged(block: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration changed as Snakemake changes it: blocks key by key, all else replaced."""
    changed = dict(block)
    for key, value in overlay.items():
        both = isinstance(value, Mapping) and isinstance(changed.get(key), Mapping)
        changed[key] = merged(changed[key], value) if both else value
    return changed


def check_config(config: dict[str, Any], schema: dict[str, Any]) -> None:
    """Raise a `UserError` that lists every mistake in `config`, each with its key, value and remedy."""
    errors = Draft202012Validator(schema).iter_errors(config)
    mistakes = [describe(error) for found in errors for error in of_its_kind(found)]
    mistakes += unusable(config)
    mistakes = mistakes or list(contradictions(config))
    if mistakes:
        raise UserError("the configuration is not valid:\n" + "\n".join(f"  {mistake}" for mistake in mistakes))


def read_as_yaml(config: dict[str, Any], command_line: Mapping[str, Any]) -> None:
    """Give nested values of `--config` the type that they would have in a YAML file.

    Snakemake reads `--config 'splits={runs: 3}'` as the text "3". Only what the command line set is read again, in
    place, so that a quoted number in a file stays the mistake it is.
    """
    for key, value in command_line.items():
        if isinstance(value, Mapping):
            read_as_yaml(config[key], value)
        else:
            config[key] = _typed(value)


def training_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The blocks that decide on the weights of a model; TensorBoard watches, it decides nothing."""
    train = {key: value for key, value in config["train"].items() if key != "tensorboard"}
    return {**{block: config[block] for block in ("seed", "model", "loss")}, "train": train}


def table_settings(data: Mapping[str, Any], dataset: str | None) -> dict[str, Any]:
    """What decides on how the tables of annotations are read, from the block `data`; `dataset` may be the phantoms'."""
    return {
        "sha256": as_list(data["metadata_sha256"]),
        "dataset": dataset,
        "columns": data["columns"],
        "join": data["join"],
        "skin_types": {str(cell): kind for cell, kind in data["skin_types"].items()},
    }


def draw_settings(config: Mapping[str, Any], train_set: str | None = None) -> dict[str, Any]:
    """What decides on a draw: the groups and sizes, and the mix of the training set that is drawn.

    Neither runs, starts nor other training sets are named: adding one leaves all other draws alone.
    """
    splits = {key: value for key, value in config["splits"].items() if key not in ("runs", "starts", "train_sets")}
    mix = {"mix": _mix_of(train_set, config)} if train_set else {}
    return {"seed": config["seed"], "splits": splits} | mix


def evaluation_settings(config: Mapping[str, Any], train_set: str) -> dict[str, Any]:
    """What decides on the measures of the test images of a model."""
    keys = ("batch_size", "samples", "prior_samples", "device", "tf32", "extractor")
    sources = config["probe"]["sources"]
    full = any(full_latents(entry) and not of_unseen_images(entry) for entry in sources)
    return {
        "seed": config["seed"],
        "loss": {"perceptual_normalize": config["loss"]["perceptual_normalize"]},
        "evaluate": {key: config["evaluate"][key] for key in keys} | {"full_latents": full},
        "reference": config["splits"]["groups"][0]["name"],
        "compared_share": _mix_of(train_set, config).get(config["splits"]["groups"][1]["name"], 0.0),
        "skin": config["data"]["skin"],
    }


def _mix_of(train_set: str, config: Mapping[str, Any]) -> dict[str, float]:
    return next(entry["mix"] for entry in config["splits"]["train_sets"] if entry["name"] == train_set)


def of_its_kind(error: ValidationError) -> list[ValidationError]:
    """Of an entry that has one of several forms, what is wrong with the form that its `kind` names."""
    forms: dict[object, list[ValidationError]] = {}
    for found in error.context or () if error.validator == "oneOf" else ():
        forms.setdefault(found.relative_schema_path[0], []).append(found)
    named = [form for form in forms.values() if not any(list(at.relative_path) == ["kind"] for at in form)]
    return [at for found in named[0] for at in of_its_kind(found)] if len(named) == 1 else [error]


def describe(error: ValidationError) -> str:
    """One line for one schema error: `train.learning_rate: '1e-4' is not of type 'number' (...)`."""
    key = ".".join(str(part) for part in error.absolute_path) or "top level"
    hint = ""
    if error.validator == "type" and isinstance(error.instance, str) and _is_number(error.instance):
        hint = f" (YAML reads {error.instance} as text: write it with a decimal point, such as 1.0e-4, and no quotes)"
    elif (error.validator, error.validator_value) == ("type", "string") and not isinstance(error.instance, list | dict):
        hint = " (YAML reads words such as no, null, 1.0 and 007 as text only in quotes)"
    elif error.validator == "additionalProperties":
        block = cast(Mapping[str, Any], error.schema)
        hint = f" (known keys: {', '.join(sorted(block['properties']))})"
    elif error.validator == "oneOf" and key.startswith("data.sources"):
        hint = (
            " (one of {folder: PATH, verify: true}, {archive: PATH, verify: true} and {urls: true}; what is downloaded "
            "is always verified)"
        )
    elif error.validator == "oneOf":
        hint = " (see the comment beside this key in config.yaml)"
    return f"{key}: {error.message}{hint}"


def unusable(value: object, key: str = "") -> Iterator[str]:
    """What YAML can write and no table, figure or page can show: numbers that are none, and control characters.

    No bound of the schema refuses `.nan`, and few refuse `.inf`.
    """
    if isinstance(value, Mapping):
        for name, entry in value.items():
            yield from unusable(entry, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            yield from unusable(entry, f"{key}.{number}")
    elif isinstance(value, str) and re.search(UNPRINTABLE, value):
        yield f"{key}: {value!r} holds a control character"
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{key}: {value} is no finite number"


def contradictions(config: dict[str, Any]) -> Iterator[str]:
    """Mistakes that a schema cannot express."""
    splits = config["splits"]
    names = [train_set["name"] for train_set in splits["train_sets"]]
    if len(set(names)) < len(names):
        yield f"splits.train_sets: every name may appear once; found {', '.join(names)}"
    yield from _group_contradictions(splits)
    if splits["min_train_size"] > splits["train_size"]:
        yield (
            f"splits.min_train_size: {splits['min_train_size']} is larger than splits.train_size "
            f"({splits['train_size']})"
        )
    stages, side = len(config["model"]["multipliers"]), config["data"]["image_size"]
    if side % 2**stages and declared(config["model"]["family"]).trained:
        yield (
            f"data.image_size, model.multipliers: {side} pixels cannot be halved {stages} times, once by each of the "
            f"{stages} stages; expected a multiple of {2**stages}"
        )
    yield from _data_contradictions(config["data"])
    yield from probe_contradictions(config["probe"])


def _group_contradictions(splits: dict[str, Any]) -> Iterator[str]:
    names = [group["name"] for group in splits["groups"]]
    if len(set(names)) < len(names):
        yield f"splits.groups: every name may appear once; found {', '.join(names)}"
    for name in RESERVED.keys() & names:
        yield f"splits.groups: {name}: results have {RESERVED[name]} by that name; call the group something else"
    for group in splits["groups"][:2]:
        if group.get("test_only"):
            yield f"splits.groups: {group['name']}: test_only: the first two groups are trained on"
    trained = [group["name"] for group in splits["groups"] if not group.get("test_only")]
    for entry in splits["train_sets"]:
        unknown = [name for name in entry["mix"] if name not in trained]
        if unknown:
            yield (
                f"splits.train_sets: {entry['name']}: mix: expected groups to train on ({', '.join(trained)}); found "
                f"{', '.join(unknown)}"
            )
        total = sum(entry["mix"].values())
        if not math.isclose(total, 1, abs_tol=1e-9):
            yield f"splits.train_sets: {entry['name']}: mix: expected fractions that add up to 1; found {total:g}"
    for group in splits["groups"]:
        for column, cells in group["where"].items():
            if isinstance(cells, dict) and cells.get("from", -math.inf) > cells.get("to", math.inf):
                yield f"splits.groups: {group['name']}: {column}: from {cells['from']} is larger than to {cells['to']}"


def _data_contradictions(data: dict[str, Any]) -> Iterator[str]:
    if data["synthetic"] is None:
        if not (data["metadata"] and data["sources"]):
            yield "data.metadata, data.sources: both are needed unless data.synthetic is set"
        else:
            yield from _table_contradictions(data)
    else:
        for key in ("metadata", "metadata_sha256", "join", "columns", "skin_types", "sources"):
            if data[key]:
                empty = {"columns": "{}", "skin_types": "{}", "sources": "[]"}.get(key, "null")
                yield f"data.{key}: has no effect beside data.synthetic, which replaces it; expected {empty}"
    if not data["skin"] and (data["skin_types"] or {"skin_type", "second_skin_type"} & set(data["columns"])):
        yield "data.skin: false; data.skin_types and the columns of skin types have no effect beside it"
    duplicates = data["duplicates"]
    if duplicates["similarity"] is not None and duplicates["embeddings"] is None:
        yield "data.duplicates.similarity: has no effect without data.duplicates.embeddings; expected null"
    if duplicates["inliers"] is not None and duplicates["method"] == "hash":
        yield "data.duplicates.inliers: has no effect with data.duplicates.method: hash; expected null"
    if "file" in data["columns"] and any("urls" in source for source in data["sources"]):
        yield (
            "data.columns.file, data.sources: files are looked up by that column, downloads are called like their ids; "
            "{urls: true} beside it has no effect"
        )
    codes = [str(code) for code in data["skin_types"] if code != "missing"]
    if len(set(codes)) < len(codes):
        yield f"data.skin_types: every code may appear once; found {', '.join(codes)}"
    missing = {str(cell) for cell in data["skin_types"].get("missing", ())}
    if missing & set(codes):
        yield f"data.skin_types: {', '.join(sorted(missing & set(codes)))} stands for a type and for missing"


def _table_contradictions(data: dict[str, Any]) -> Iterator[str]:
    paths, sums = as_list(data["metadata"]), as_list(data["metadata_sha256"])
    if data["dataset"]:
        known = adapter_names()
        if data["dataset"] not in known:
            yield f"data.dataset: expected {', '.join(known)} or null; found {data['dataset']}"
        if data["join"]:
            yield "data.join: has no effect beside data.dataset, which knows how its tables belong together"
    else:
        absent = [key for key in ("id", "conditions") if key not in data["columns"]]
        if absent:
            yield f"data.columns: expected {' and '.join(absent)}, as there is no data.dataset that knows the table"
        if (len(paths) > 1) != bool(data["join"]):
            yield "data.join: several tables are joined by a column, and one table is not"
    if sums and len(sums) != len(paths):
        yield f"data.metadata_sha256: expected a sum for each of the {len(paths)} tables; found {len(sums)}"


def _typed(value: Any) -> Any:  # noqa: ANN401 (any YAML value)
    if isinstance(value, str):
        return yaml.safe_load(value)
    if isinstance(value, Mapping):
        return {key: _typed(entry) for key, entry in value.items()}
    return [_typed(entry) for entry in value] if isinstance(value, list) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
