"""The `probe` block of a configuration as typed settings, and which of its targets can be probed on the data there are.

Asked before anything is trained or embedded; what cannot be probed has its reason.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evenhand.evaluation.measures import MEASURES
from evenhand.probes.folds import attribute_folds, check_disease
from evenhand.probes.left_out import NotProbed
from evenhand.probes.settings import MLPSettings, ProtocolSettings
from evenhand.probes.sources import SourceSpec, read_source
from evenhand.probes.targets import Target, TargetSpec, read_target
from evenhand.workflow.errors import UserError
from evenhand.workflow.planning import as_list


def protocol_settings(probe: Mapping[str, Any], seed: int, images: int, precision: str) -> ProtocolSettings:
    """Settings for a source of `images` rows; below `mlp.small_below` rows the small network is taken."""
    mlp = dict(probe["mlp"])
    small, threshold = mlp.pop("hidden_small"), mlp.pop("small_below")
    hidden = tuple(small if images < threshold else mlp.pop("hidden"))
    mlp.pop("hidden", None)
    chosen = {key: probe[key] for key in ProtocolSettings.__dataclass_fields__ if key in probe and key != "mlp"}
    chosen["fractions"] = tuple(chosen["fractions"])
    return ProtocolSettings(**chosen, seed=seed, mlp=MLPSettings(**(mlp | {"hidden": hidden, "precision": precision})))


def target_specs(entries: Sequence[Mapping[str, Any]]) -> list[TargetSpec]:
    """The targets of a source, as written in its `attributes` or `diseases`."""
    return [
        TargetSpec(
            entry["name"],
            entry["kind"],
            tuple(entry["columns"]),
            entry.get("values", {}),
            tuple(entry.get("bins", ())),
            tuple(str(cell) for cell in entry.get("missing", ())),
        )
        for entry in entries
    ]


def needed_columns(entry: Mapping[str, Any]) -> list[str]:
    """The columns of the metadata that a source cannot do without: those of its targets that are not optional."""
    targets = [target for role in ("attributes", "diseases") for target in entry[role] if not target.get("optional")]
    return [column for target in targets for column in target["columns"]]


def source_spec(entry: Mapping[str, Any]) -> SourceSpec:
    """How the files of a source belong together, as written in its entry."""
    group = entry["group"]
    column, pattern = (group["column"], group["pattern"]) if isinstance(group, Mapping) else (group, None)
    drop = entry.get("unmatched") == "drop"
    return SourceSpec(entry["id"], column, pattern, entry.get("array"), entry.get("ids"), drop, entry.get("adapter"))


@dataclass(frozen=True)
class Applicable:
    """The targets that can be probed, the optional ones that cannot, and what is wrong with the others."""

    attributes: Sequence[Target]
    diseases: Sequence[Target]
    left_out: Sequence[NotProbed]
    mistakes: Sequence[str]


def applicable_targets(
    table: pd.DataFrame,
    groups: NDArray[np.int64],
    source: Mapping[str, Any],
    settings: ProtocolSettings,
    name: str,
    elsewhere: Iterable[str] = (),
) -> Applicable:
    """Read the targets of a source and try whether its folds can be made.

    Args:
        table: one row per image.
        groups: (n,) patient or cluster of each image.
        source: `attributes` and `diseases` as in the configuration.
        name: of the source, for messages.
        elsewhere: columns that the table will have when the source is probed; targets on them are not tried.
    """
    left_out: list[NotProbed] = []
    mistakes: list[str] = []

    def refuse(role: str, entry: Mapping[str, Any], error: UserError, spec: TargetSpec) -> None:
        if entry.get("optional"):
            reason = _reason(table, spec, error).removeprefix(f"{name}: ")  # the same for all models of a source
            left_out.append(NotProbed(spec.name, role, reason))
        else:
            mistakes.append(_with_name(str(error), name))

    def readable(role: str) -> dict[str, tuple[Target, Mapping[str, Any], TargetSpec]]:
        found = {}
        for entry, spec in zip(source[role], target_specs(source[role]), strict=True):
            if not set(spec.columns) & set(elsewhere):
                try:
                    found[spec.name] = (read_target(table, spec, name), entry, spec)
                except UserError as error:
                    refuse(role.removesuffix("s"), entry, error, spec)
        return found

    attributes, diseases = readable("attributes"), readable("diseases")
    folds = {}
    for target, entry, spec in list(attributes.values()):
        try:
            folds[spec.name] = attribute_folds(target, groups, settings)
        except UserError as error:
            refuse("attribute", entry, error, spec)
            del attributes[spec.name]
    for target, entry, spec in list(diseases.values()):
        try:
            for attribute, parts in folds.items():
                check_disease(attribute, target, parts)
        except UserError as error:
            refuse("disease", entry, error, spec)
            del diseases[spec.name]
    return Applicable(
        [target for target, *_ in attributes.values()],
        [target for target, *_ in diseases.values()],
        left_out,
        mistakes,
    )


def _reason(table: pd.DataFrame, spec: TargetSpec, error: UserError) -> str:
    """Why an optional target is left out: in few words where its column says nothing, else as the error has it."""
    column = spec.columns[0]
    if column in table:
        cells = sorted(set(table[column].dropna().astype(str)) - {""})
        if not cells:
            return f"the data have no {column}"
        if len(cells) == 1:
            return f"the data hold one {column} ({cells[0]})"
    return str(error)


def _with_name(message: str, name: str) -> str:
    return message if message.startswith(f"{name}: ") else f"{name}: {message}"


def image_targets(table: pd.DataFrame, source: Mapping[str, Any], probe: Mapping[str, Any], seed: int) -> Applicable:
    """The targets of a source that is made of images, on the rows that it will have.

    Near-duplicates, which stay in one fold, are not known yet: every image counts by itself, or its column `cluster`.
    """
    groups = pd.factorize(table["cluster"] if "cluster" in table else table["id"])[0].astype(np.int64)
    settings = protocol_settings(probe, seed, len(table), "fp32")
    measured = MEASURED if source["kind"] == "vae" and source.get("images", "test") == "test" else ()
    # Cells as text, as they are read when the source is probed.
    return applicable_targets(table.astype(str), groups, source, settings, source["name"], measured)


def file_mistakes(probe: Mapping[str, Any], seed: int) -> Iterator[str]:
    """What is wrong with the sources that are files: columns, ids, classes and folds, source by source."""
    for source in probe["sources"]:
        if source["kind"] == "file":
            try:
                read = read_source(
                    source["name"],
                    Path(source["embeddings"]),
                    [Path(path) for path in as_list(source["metadata"])],
                    source_spec(source),
                    needed_columns(source),
                )
            except UserError as error:
                yield str(error)
                continue
            settings = protocol_settings(probe, seed, len(read.matrix), "fp32")
            yield from applicable_targets(read.table, read.groups, source, settings, source["name"]).mistakes


# What an evaluation adds to the rows of the test images.
MEASURED = ("train_set", "compared_share", "run", *MEASURES)
