"""The figures there are.

Each module of this folder declares its own in an annotated literal `FIGURES`. It is read without importing the module:
the rule files import this, and what drawing needs would delay every plan.

A declaration, by name of the figure:

place     rank in the report
label     what the figure shows; {reference} and {compared} stand for the names of these groups
section   of the report: Results, Pictures, Data, Training or Probes
files     what it is drawn from: tables by name, `examples`, `duplicate_pairs`, `train_sets`, `histories`
settings  keys of `figures` in the configuration that it takes, and `runs`, their number (left out: none)
paper     number of the figure in the paper that it stands for (left out: none)
needs     what there must be to draw it (left out: nothing more): `skin`, photographs of it, whose tone and types can be
          told (data.skin of the configuration); what a model family gives (evenhand.models.registry), as `posterior`;
          `training`, that it is trained
each      `group`: one such figure for each group, whose name and title stand for {group} and {title} in the name and
          the label of the figure; `paper` is then a list, of the first groups
and whatever the module itself wants to know, such as `metric`.
"""

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evenhand.splits.groups import Group
from evenhand.workflow.errors import UserError


class Declaration(NamedTuple):
    """A figure as its module declares it."""

    name: str
    module: str
    place: int
    label: str
    section: str
    files: tuple[str, ...]
    settings: tuple[str, ...]
    paper: int | None
    needs: frozenset[str]


def declared_figures(groups: Sequence[Group]) -> list[Declaration]:
    """All figures of a study of these groups, of which there are two at least, in the order of the report.

    Raises:
        UserError: two figures have one name, as a group is called like something else in the name of a figure.
    """
    found = [
        figure
        for path in sorted(Path(__file__).parent.glob("*.py"))
        for name, entry in declared_in(path).items()
        for figure in _expanded(path.stem, name, entry, groups)
    ]
    twice = [name for name, count in Counter(figure.name for figure in found).items() if count > 1]
    if twice:
        raise UserError(
            f"splits.groups: expected names that no other figure has; there would be two figures {', '.join(twice)}. "
            "Give the group another name."
        )
    return sorted(found, key=lambda figure: figure.place)


def figure_settings(config: Mapping[str, Any], figure: Declaration) -> dict[str, Any]:
    """What a figure takes of the configuration of a study."""
    made_up = config["data"]["synthetic"] or (figure.section == "Probes" and config["probe"]["lookalike"])
    settings = config["figures"] | {key: config["splits"][key] for key in ("runs", "starts")}
    return {
        "groups": config["splits"]["groups"],
        "synthetic": bool(made_up),
        **{key: config["figures"][key] for key in ("formats", "dpi", "text")},
        "settings": {key: settings[key] for key in figure.settings},
    }


def declared_in(path: Path) -> dict[str, dict[str, Any]]:
    """The literal `FIGURES` of the module at `path`; empty where it has none."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "FIGURES" and node.value:
            return dict(ast.literal_eval(node.value))
    return {}


def _expanded(module: str, name: str, entry: dict[str, Any], groups: Sequence[Group]) -> list[Declaration]:
    """The one figure of a declaration, or one for each group."""
    words = {"reference": groups[0].name, "compared": groups[1].name}
    numbers = entry.get("paper")
    if entry.get("each") == "group":
        found = [(words | {"group": group.name, "title": group.title}, place) for place, group in enumerate(groups)]
        papers = dict(enumerate(numbers or ()))
    else:
        found, papers = [(words, 0)], {0: numbers}
    return [
        Declaration(
            name.format(**these),
            module,
            entry["place"],
            entry["label"].format(**these),
            entry["section"],
            tuple(entry["files"]),
            tuple(entry.get("settings", ())),
            papers.get(place),
            frozenset(entry.get("needs", ())),
        )
        for these, place in found
    ]
