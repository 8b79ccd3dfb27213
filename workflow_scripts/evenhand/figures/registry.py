"""The figures there are.

Each module of this folder declares its own in an annotated literal `FIGURES`. It is read without importing the module:
the rule files import this, and what drawing needs would delay every plan.

A declaration, by name of the figure:

place     rank in the report
label     what the figure shows, with its number in the paper
section   of the report: Results, Pictures, Data, Training or Probes
files     what it is drawn from: tables by name, `examples`, `train_sets`, `histories`
settings  keys of `figures` in the configuration that it takes, and `runs`, their number (left out: none)
and whatever the module itself wants to know, such as `metric`.
"""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Declaration(NamedTuple):
    """A figure as its module declares it."""

    name: str
    module: str
    place: int
    label: str
    section: str
    files: tuple[str, ...]
    settings: tuple[str, ...]


def declared_figures() -> list[Declaration]:
    """All figures in the order of the report."""
    found = [
        Declaration(name, path.stem, entry["place"], entry["label"], entry["section"], tuple(entry["files"]),
                    tuple(entry.get("settings", ())))
        for path in sorted(Path(__file__).parent.glob("*.py"))
        for name, entry in declared_in(path).items()
    ]  # fmt: skip
    return sorted(found, key=lambda figure: figure.place)


def figure_settings(config: Mapping[str, Any], figure: Declaration) -> dict[str, Any]:
    """What a figure takes of the configuration of a study."""
    made_up = config["data"]["synthetic"] or (figure.section == "Probes" and config["probe"]["lookalike"])
    settings = config["figures"] | {"runs": config["splits"]["runs"]}
    return {
        "groups": config["splits"]["groups"],
        "synthetic": bool(made_up),
        "dpi": config["figures"]["dpi"],
        "settings": {key: settings[key] for key in figure.settings},
    }


def declared_in(path: Path) -> dict[str, dict[str, Any]]:
    """The literal `FIGURES` of the module at `path`; empty where it has none."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "FIGURES" and node.value:
            return dict(ast.literal_eval(node.value))
    return {}
