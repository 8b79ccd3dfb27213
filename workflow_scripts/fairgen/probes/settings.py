"""The `probe` block of a configuration as typed settings."""

from collections.abc import Mapping, Sequence
from typing import Any

from fairgen.probes.batched_mlp import MLPSettings
from fairgen.probes.protocol import ProtocolSettings
from fairgen.probes.sources import SourceSpec
from fairgen.probes.targets import TargetSpec


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


def source_spec(entry: Mapping[str, Any]) -> SourceSpec:
    """How the files of a source belong together, as written in its entry."""
    group = entry["group"]
    column, pattern = (group["column"], group["pattern"]) if isinstance(group, Mapping) else (group, None)
    drop = entry.get("unmatched") == "drop"
    return SourceSpec(entry["id"], column, pattern, entry.get("array"), entry.get("ids"), drop)
