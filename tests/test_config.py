"""Every mistake in the configuration is found before anything runs, and its key is named."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from paper import LIGHT_DARK

from evenhand.probes.configuration import name_groups, with_text_cells
from evenhand.workflow.config import check_config, merged, read_as_yaml
from evenhand.workflow.errors import UserError

ROOT = Path(__file__).parents[1]
SCHEMA = yaml.safe_load((ROOT / "schemas" / "config.schema.yaml").read_text())
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())


def changed(path: str, value: Any) -> dict[str, Any]:  # noqa: ANN401
    config = copy.deepcopy(CONFIG)
    *parents, last = path.split(".")
    block = config
    for parent in parents:
        block = block[parent]
    block[last] = value
    return config


def leaves(block: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of all keys that hold a value and not a block."""
    names = []
    for key, value in block.items():
        names += leaves(value, f"{prefix}{key}.") if isinstance(value, dict) and value else [f"{prefix}{key}"]
    return names


def test_the_papers_study_is_valid() -> None:
    check_config(CONFIG, SCHEMA)


# Those with points are lists of overlays: tests/test_multiverse.py.
MULTIVERSES = [path for path in sorted((ROOT / "studies").glob("*.yaml")) if "\npoints:" in path.read_text()]
STUDIES = sorted({*(ROOT / "studies").glob("*.yaml")} - {*MULTIVERSES})


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.stem)
def test_every_study_is_valid(study: Path) -> None:
    check_config(merged(CONFIG, yaml.safe_load(study.read_text())), SCHEMA)


def test_the_schema_closes_and_describes_everything() -> None:
    def walk(node: dict[str, Any], path: str) -> None:
        types = node.get("type", [])
        if "object" in ([types] if isinstance(types, str) else types):
            # Other keys are refused, or they are the user's own and the schema says what each may hold.
            others = node.get("additionalProperties")
            assert others is False or {"type", "oneOf"} & set(others), path
        for name, child in node.get("properties", {}).items():
            assert child.get("description"), f"{path}.{name}"
            walk(child, f"{path}.{name}")
        for child in [node["items"]] if "items" in node else node.get("oneOf", []):
            walk(child, f"{path}[]")

    walk(SCHEMA, "")


def test_every_key_of_the_config_is_commented() -> None:
    lines = (ROOT / "config.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"^\s*[a-z_0-9]+:", line) and not re.match(r"^[a-z]+:$", line):
            assert "#" in line or lines[number - 1].lstrip().startswith("#"), line


@pytest.mark.parametrize("key", leaves(CONFIG))
def test_a_mistyped_key_is_refused(key: str) -> None:
    config = changed(f"{key}_", 1)
    with pytest.raises(UserError, match=re.escape(f"'{key.rsplit('.', maxsplit=1)[-1]}_' was unexpected")):
        check_config(config, SCHEMA)


THIRD = {"name": "middle", "title": "FST 3-4", "where": {"skin_type": [3, 4]}}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.learning_rate", "1e-4", r"train\.learning_rate: '1e-4' is not of type 'number' .*write it with a deci"),
        ("train.epochs", 1.5, r"train\.epochs: 1\.5 is not of type 'integer'"),
        ("train.epochs", True, r"train\.epochs: True is not of type 'integer'"),
        ("data.image_size", 100, r"data\.image_size, model\.multipliers: 100 pixels cannot be halved 4 times"),
        ("model.multipliers", [1], r"model\.multipliers: \[1\] is too short"),
        ("model.multipliers", [1] * 7, r"model\.multipliers: \[1, 1, 1, 1, 1, 1, 1\] is too long"),
        ("splits.groups", LIGHT_DARK[:1], r"splits\.groups: \[.*\] is too short"),
        ("splits.groups", [LIGHT_DARK[0]] * 2, r"splits\.groups: every name may appear once; found light, light"),
        ("splits.groups", [*LIGHT_DARK, THIRD | {"where": {}}], r"splits\.groups\.2\.where: \{\} should be non-empty"),
        (
            "splits.groups",
            [*LIGHT_DARK, THIRD | {"name": "gap"}],
            r"groups: gap: results have the gap between two groups",
        ),
        ("splits.groups", [LIGHT_DARK[0], LIGHT_DARK[1] | {"name": "all"}], r"groups: all: results have the images of"),
        (
            "splits.groups",
            [*LIGHT_DARK, THIRD | {"where": {"age": {"from": 9, "to": 3}}}],
            "from 9 is larger than to 3",
        ),
        ("splits.groups", [LIGHT_DARK[0] | {"test_only": True}, LIGHT_DARK[1]], r"light: test_only: the first two"),
        ("splits.train_sets", [{"name": "A", "mix": {"light": 2}}], r"splits\.train_sets\.0\.mix\.light: 2 is greater"),
        ("splits.train_sets", [{"name": "A", "mix": {"light": 0.9}}], r"A: mix: .* add up to 1; found 0\.9"),
        ("splits.train_sets", [{"name": "A", "mix": {"grey": 1}}], r"groups to train on \(light, dark\); found grey"),
        ("splits.train_sets", [{"name": "A", "mix": {"light": 1}}] * 2, r"every name may appear once; found A, A"),
        ("splits.train_sets", [{"name": "a/b", "mix": {"light": 1}}], r"splits\.train_sets\.0\.name: 'a/b' does not"),
        ("splits.min_train_size", 2000, r"splits\.min_train_size: 2000 is larger than splits\.train_size"),
        ("study", "../elsewhere", r"study: '\.\./elsewhere' does not match"),
        ("model.norm", "layer", r"model\.norm: 'layer' is not one of"),
        ("data.sources", [{"ftp": "x"}], r"data\.sources\.0: .* \(one of \{folder: PATH, verify: true\}"),
        ("probe.sources", [{"kind": "file"}], r"probe\.sources\.0: 'embeddings' is a required property"),
        ("probe.sources", [{"kind": "fil"}], r"probe\.sources\.0: .* \(see the comment beside this key"),
        ("probe.sources", [{}], r"probe\.sources\.0: .* \(see the comment beside this key"),
        (
            "study",
            7,
            r"study: 7 is not of type 'string' \(YAML reads words such as no, null, 1\.0 and 007 as text only in",
        ),
        (
            "splits.train_sets",
            [{"name": False, "mix": {"light": 1}}],
            r"name: False is not of type 'string' \(YAML reads",
        ),
        ("loss.perceptual_weights", "a\nb", r"loss\.perceptual_weights: 'a\\nb' holds a control character"),
        ("loss.perceptual_weights", "a\ud800", r"holds a control character"),
        ("data.sources", [], r"data\.metadata, data\.sources: both are needed"),
    ],
)
def test_mistakes_are_named(key: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_config(changed(key, value), SCHEMA)


def source(**changes: object) -> dict[str, Any]:
    target = {"name": "Sex", "kind": "binary", "columns": ["sex"]}
    return {
        **{"name": "e", "kind": "file", "dataset": "D", "model": "M", "embeddings": "x.npz", "metadata": "x.csv"},
        **{"id": "id", "group": "patient", "attributes": [target], "diseases": []},
        **changes,
    }


def target(kind: str, **changes: object) -> list[dict[str, Any]]:
    return [{"name": "T", "kind": kind, "columns": ["c"], **changes}]


BINARY = {"F": "female", "M": "male"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        # What has no effect on a kind of target is refused, by the schema ...
        ({"diseases": target("multilabel", bins=[1])}, r"diseases\.0: .*'bins' was unexpected"),
        ({"diseases": target("multilabel", control=True)}, r"diseases\.0: .*'control' was unexpected"),
        ({"diseases": target("binary", control=True)}, r"diseases\.0: .*'control' was unexpected"),
        ({"attributes": target("binary", columns=["a", "b"])}, r"attributes\.0\.columns: \['a', 'b'\] is too long"),
        ({"diseases": target("multiclass", columns=["a", "b"])}, r"diseases\.0\.columns: \['a', 'b'\] is too long"),
        ({"attributes": target("multilabel")}, r"attributes\.0: .* \(see the comment beside this key"),
        ({"attributes": target("binary", values={"F": "x", None: "y"})}, r"attributes\.0\.values: None is not of type"),
        ({"attributes": target("binary", values={})}, r"attributes\.0\.values: \{\} should be non-empty"),
        ({"attributes": []}, r"attributes: \[\] should be non-empty"),
        ({"latents": "full"}, "'latents' was unexpected"),
        ({"images": "unseen"}, "'images' was unexpected"),
        ({"unmatched": "keep"}, r"unmatched: 'drop' was expected"),
        ({"group": {"column": "Path"}}, r"group: .* is not valid under any"),
        # ... or where two keys decide.
        ({"attributes": target("binary", values=BINARY, bins=[1])}, "`values` and `bins` exclude each other"),
        ({"attributes": target("binary", values=BINARY, missing=["F"])}, "'F' is in `values` and in `missing`"),
        ({"diseases": target("multilabel", values={"-1.0": "1"}, missing=[-1])}, "'-1.0' is in `values` and in `miss"),
        ({"diseases": target("multilabel", values={1: 1, "1.0": 0})}, "lists the same cell twice: '1.0' and 1"),
        ({"diseases": target("multilabel", values={1: "yes"})}, "classes of a multilabel target are 1 and 0; .*'yes'"),
        ({"diseases": target("multilabel", columns=["a", "a"])}, "`columns` has 'a' more than once"),
        ({"attributes": target("multiclass", values=BINARY)}, "`values` has 2 classes, which does not fit multiclass"),
        ({"attributes": target("binary", bins=[40, 60])}, "`bins` makes 3 classes, which does not fit binary"),
        ({"attributes": target("multiclass", bins=[60, 40])}, "inner edges in ascending order"),
        ({"diseases": target("multilabel", name="Sex")}, "needs a name of its own; found 'Sex'"),
        ({"embeddings": "x.npy", "id": None, "array": "x"}, "array: names a matrix in an .npz file"),
        ({"embeddings": "x.npy", "ids": "x"}, "ids: names the ids in an .npz or .parquet file"),
        ({"id": None, "ids": "x"}, "ids: has no effect with `id: null`"),
        ({"id": None, "unmatched": "drop"}, "unmatched: has no effect with `id: null`"),
        ({"group": {"column": "Path", "pattern": "patient("}}, "is no regular expression"),
        ({"group": {"column": "Path", "pattern": "(a)(b)"}}, "has 2 groups in brackets"),
        ({"metadata": ["a.csv", "b.csv"]}, "metadata: expected one table, or `adapter`"),
        ({"metadata": ["a.csv", "b.csv"], "adapter": "chest"}, "adapter: expected chexpert, .*; found chest"),
    ],
)
def test_keys_without_effect_are_refused(changes: dict[str, object], message: str) -> None:
    check_config(changed("probe.sources", [source()]), SCHEMA)
    with pytest.raises(UserError, match=message):
        check_config(changed("probe.sources", [source(**changes)]), SCHEMA)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"similarity": 0.9}, r"data\.duplicates\.similarity: has no effect without"),
        ({"method": "hash", "inliers": 12}, r"data\.duplicates\.inliers: has no effect with"),
    ],
)
def test_thresholds_of_what_is_not_looked_for_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_config(changed("data.duplicates", CONFIG["data"]["duplicates"] | changes), SCHEMA)


def test_names_of_sources_and_controls_are_one_thing_each() -> None:
    with pytest.raises(UserError, match="every name may appear once; found 'e'"):
        check_config(changed("probe.sources", [source(), source()]), SCHEMA)
    control = source(name="f", attributes=[{**source()["attributes"][0], "control": True}])
    with pytest.raises(UserError, match="'Sex' is a control here and none in another source"):
        check_config(changed("probe.sources", [source(), control]), SCHEMA)


def test_real_data_are_not_called_synthetic_nor_the_other_way_round() -> None:
    config = changed("probe.sources", [source()])
    config["probe"]["lookalike"] = {"patients": 60, "features": 8}
    with pytest.raises(UserError, match=r"embeddings: probe\.lookalike is set, .*the file is x\.npz"):
        check_config(config, SCHEMA)
    generated = source(embeddings="results/cxr/lookalike/m.npz", metadata="results/cxr/lookalike/m.csv")
    with pytest.raises(UserError, match=r"metadata: probe\.lookalike is null, .*the file is results/cxr/lookalike/m"):
        check_config(changed("probe.sources", [generated]), SCHEMA)


def test_cells_of_any_type_of_yaml_become_text() -> None:
    entry = yaml.safe_load("{name: T, kind: multilabel, columns: [c], values: {2: 1, -1.0: 0, '': 0, true: 1}}")
    check_config(changed("probe.sources", [source(diseases=[entry])]), SCHEMA)
    assert with_text_cells(entry)["values"] == {"2": "1", "-1.0": "0", "": "0", "True": "1"}
    assert with_text_cells({"missing": [-1, False, "x"]})["missing"] == ["-1", "False", "x"]


def test_all_mistakes_are_listed_at_once() -> None:
    config = changed("train.epochs", "many")
    config["model"]["deep"] = "yes"
    del config["seed"]
    with pytest.raises(UserError) as refused:
        check_config(config, SCHEMA)
    for part in ("train.epochs", "model.deep", "'seed' is a required property"):
        assert part in str(refused.value)


def test_nested_values_of_the_command_line_get_their_yaml_type() -> None:
    # What Snakemake makes of --config 'splits={runs: 3, replacement: true}' 'data={sources: [...], synthetic: null}'
    command_line = {
        "splits": {"runs": "3", "replacement": "true"},
        "data": {"sources": [{"folder": "/photographs", "verify": "false"}], "synthetic": "null"},
        "seed": 7,
    }
    config = merged(copy.deepcopy(CONFIG), command_line)
    config["train"]["learning_rate"] = "1"  # a mistake in a file, not on the command line
    read_as_yaml(config, command_line)
    assert config["splits"]["runs"] == 3
    assert config["splits"]["replacement"] is True
    assert config["data"]["sources"] == [{"folder": "/photographs", "verify": False}]
    assert config["data"]["synthetic"] is None
    assert config["seed"] == 7
    assert config["train"]["learning_rate"] == "1"


def test_an_exponent_without_a_point_stays_text_on_the_command_line() -> None:
    config = changed("train.learning_rate", "1e-4")
    read_as_yaml(config, {"train": {"learning_rate": "1e-4"}})
    assert config["train"]["learning_rate"] == "1e-4"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(leaves(CONFIG)), json_values)
@settings(max_examples=300, deadline=None)
def test_no_value_breaks_the_check(key: str, value: object) -> None:
    # Either the configuration is accepted or the mistake is told: no other exception.
    try:
        check_config(changed(key, value), SCHEMA)
    except UserError as error:
        assert str(error).startswith("the configuration is not valid")  # noqa: PT017


@pytest.mark.parametrize("stages", range(2, 7))
@pytest.mark.parametrize("side", [16, 20, 24, 36, 64, 96, 100, 128, 480])
def test_the_image_size_is_what_the_stages_divide(stages: int, side: int) -> None:
    config = changed("model.multipliers", [1] * stages)
    config["data"]["image_size"] = side
    if side % 2**stages == 0:
        check_config(config, SCHEMA)
    else:
        with pytest.raises(UserError, match=rf"image_size, model.multipliers: {side} pixels .* {stages} stages"):
            check_config(config, SCHEMA)


def test_a_binary_target_of_the_groups_is_the_compared_one_against_the_reference() -> None:
    """Whatever the groups are called and however many there are; not in files, whose columns are the user's."""
    plain = {"name": "group", "kind": "binary", "columns": ["group"]}
    other = {"name": "old", "kind": "binary", "columns": ["age"]}
    own = plain | {"values": {"men": "men", "diverse": "diverse"}}
    sources = [
        {"kind": kind, "attributes": [dict(entry) for entry in (plain, own)], "diseases": [dict(other)]}
        for kind in ("vae", "openclip", "file")
    ]
    name_groups(sources, [{"name": name} for name in ("women", "men", "diverse")])
    for source in sources:
        assert source["diseases"] == [other]
        pair = {} if source["kind"] == "file" else {"values": {"women": "women", "men": "men"}}
        assert source["attributes"] == [plain | pair, own]
        assert list(source["attributes"][0].get("values", {})) == [*pair.get("values", {})]  # in that order
