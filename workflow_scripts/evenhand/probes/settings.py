"""The `probe` block of a configuration as typed settings."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from evenhand.probes.batched_mlp import MLPSettings, batch_capacity
from evenhand.probes.protocol import ProtocolSettings
from evenhand.probes.sources import SourceSpec
from evenhand.probes.targets import TargetSpec


def protocol_settings(probe: Mapping[str, Any], seed: int, images: int, precision: str) -> ProtocolSettings:
    """Settings for a source of `images` rows; below `mlp.small_below` rows the small network is taken."""
    mlp = dict(probe["mlp"])
    small, threshold = mlp.pop("hidden_small"), mlp.pop("small_below")
    hidden = tuple(small if images < threshold else mlp.pop("hidden"))
    mlp.pop("hidden", None)
    chosen = {key: probe[key] for key in ProtocolSettings.__dataclass_fields__ if key in probe and key != "mlp"}
    chosen["fractions"] = tuple(chosen["fractions"])
    return ProtocolSettings(**chosen, seed=seed, mlp=MLPSettings(**(mlp | {"hidden": hidden, "precision": precision})))


def print_choices(
    probe: Mapping[str, Any], settings: ProtocolSettings, shape: tuple[int, int], device: torch.device
) -> None:
    """Say what follows from the embeddings (rows, features) and the device where the configuration leaves it open."""
    mlp, (rows, features) = probe["mlp"], shape
    key, order = ("hidden_small", "fewer than") if rows < mlp["small_below"] else ("hidden", "at least")
    print(f"hidden layers: {list(settings.mlp.hidden)} ({key}), since {rows} rows are {order} {mlp['small_below']}")
    if not mlp["networks_per_batch"]:
        size = batch_capacity(features, 1, rows, settings.mlp, device)
        print(f"networks_per_batch: 0 is {size} at a time for all {features} features of {rows} rows on {device.type}")


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
    return SourceSpec(entry["id"], column, pattern, entry.get("array"), entry.get("ids"), drop)
