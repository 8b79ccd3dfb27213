"""Mistakes in the `probe` block that a schema cannot express, and its cells as text."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import PurePath
from typing import Any

from evenhand.data.cells import in_both, listed_twice
from evenhand.data.datasets import adapter_names
from evenhand.workflow.planning import as_list

GENERATED = re.compile(r"results/[^/]+/lookalike/")  # files of probe.lookalike


def probe_contradictions(probe: Mapping[str, Any]) -> Iterator[str]:
    """Keys of the block that exclude each other, or that would have no effect."""
    sources = probe["sources"]
    for name in _repeated(source["name"] for source in sources):
        yield f"probe.sources: every name may appear once; found {name!r} more than once"
    controls: dict[str, bool] = {}
    for number, source in enumerate(sources):
        key = f"probe.sources.{number}"
        targets = [*source["attributes"], *source["diseases"]]
        for name in _repeated(target["name"] for target in targets):
            yield f"{key}: every attribute and disease needs a name of its own; found {name!r} more than once"
        for attribute in source["attributes"]:
            control = bool(attribute.get("control"))
            if controls.setdefault(attribute["name"], control) != control:
                yield f"{key}: attribute {attribute['name']!r} is a control here and none in another source"
        for role in ("attributes", "diseases"):
            for place, target in enumerate(source[role]):
                yield from _target_contradictions(target, f"{key}.{role}.{place} ({target['name']})")
        if source["kind"] == "file":
            yield from _file_contradictions(source, key)
            for role in ("embeddings", "metadata"):
                for file in as_list(source[role]):
                    # Where they are, the page says that all data are synthetic, and only there.
                    if bool(GENERATED.match(file)) != bool(probe["lookalike"]):
                        made = "set, which generates all data" if probe["lookalike"] else "null, so that data are real"
                        yield f"{key}.{role}: probe.lookalike is {made}; the file is {file}"


def name_groups(sources: Iterable[dict[str, Any]], groups: Sequence[Mapping[str, Any]]) -> None:
    """Of images, a binary target on the group without `values` is the compared group against the reference, in place.

    Args:
        sources: the list `probe.sources`; what files of the user call `group` is theirs.
        groups: the list `splits.groups`.
    """
    pair = {group["name"]: group["name"] for group in groups[:2]}
    for source in sources:
        for target in (*source["attributes"], *source["diseases"]) if source["kind"] != "file" else ():
            if target["kind"] == "binary" and target["columns"] == ["group"] and "values" not in target:
                target["values"] = dict(pair)


def with_text_cells(target: Mapping[str, Any]) -> dict[str, Any]:
    """A target whose cells are text, whatever YAML took them for."""
    texts: dict[str, Any] = {}
    if "values" in target:
        texts["values"] = {str(cell): str(name) for cell, name in target["values"].items()}
    if "missing" in target:
        texts["missing"] = [str(cell) for cell in target["missing"]]
    return {**target, **texts}


def _target_contradictions(target: Mapping[str, Any], key: str) -> Iterator[str]:
    values, missing, bins = target.get("values", {}), target.get("missing", []), target.get("bins", [])
    if values and bins:
        yield f"{key}: `values` and `bins` exclude each other: cells are classes, or numbers to be cut"
    for pair in listed_twice(values):
        yield f"{key}: `values` lists the same cell twice: {pair}"
    for cell in in_both(values, missing):
        yield f"{key}: {cell!r} is in `values` and in `missing`; it has a class or is not known"
    if any(low >= high for low, high in pairwise(bins)):
        yield f"{key}: `bins` are inner edges in ascending order; found {bins}"
    if target["kind"] == "multilabel":
        wrong = [str(name) for name in values.values() if str(name) not in ("0", "1")]
        if wrong:
            yield f"{key}: the classes of a multilabel target are 1 and 0; `values` has {wrong[0]!r}"
        for name in _repeated(target["columns"]):
            yield f"{key}: `columns` has {name!r} more than once"
    elif values and (len(set(map(str, values.values()))) == 2) != (target["kind"] == "binary"):
        yield f"{key}: `values` has {len(set(map(str, values.values())))} classes, which does not fit {target['kind']}"
    elif bins and (len(bins) == 1) != (target["kind"] == "binary"):
        yield f"{key}: `bins` makes {len(bins) + 1} classes, which does not fit {target['kind']}"


def _file_contradictions(source: Mapping[str, Any], key: str) -> Iterator[str]:
    suffix = PurePath(source["embeddings"]).suffix
    if "array" in source and suffix in (".npy", ".parquet"):
        yield (
            f"{key}.array: names a matrix in an .npz file or a feature of .tfrecord, and embeddings is "
            f"{source['embeddings']}"
        )
    if "ids" in source and suffix == ".npy":
        yield (
            f"{key}.ids: names the ids in an .npz or .parquet file or a record of .tfrecord, and embeddings is "
            f"{source['embeddings']}"
        )
    if "adapter" in source and source["adapter"] not in adapter_names():
        yield f"{key}.adapter: expected {', '.join(adapter_names())}; found {source['adapter']}"
    if len(as_list(source["metadata"])) > 1 and "adapter" not in source:
        yield f"{key}.metadata: expected one table, or `adapter`, which says how several are joined"
    for other in ("ids", "unmatched"):
        if source["id"] is None and other in source:
            yield f"{key}.{other}: has no effect with `id: null`, which pairs rows by position"
    if isinstance(source["group"], Mapping):
        try:
            groups = re.compile(source["group"]["pattern"]).groups
        except re.error as error:
            yield f"{key}.group.pattern: {source['group']['pattern']!r} is no regular expression: {error}"
        else:
            if groups > 1:
                yield f"{key}.group.pattern: has {groups} groups in brackets; one, or none, names the patient"


def _repeated(names: Iterator[str] | list[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
