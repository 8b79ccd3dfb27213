"""`~` and variables in every path of the configuration, and nowhere else."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evenhand.workflow.config import check_config
from evenhand.workflow.errors import UserError
from evenhand.workflow.planning import expand_paths

ROOT = Path(__file__).parents[1]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
TONE = {"name": "tone", "kind": "binary", "columns": ["group"]}
TARGETS: dict[str, list[object]] = {"attributes": [TONE], "diseases": []}


def config_with(path: str) -> dict[str, Any]:
    """The paper's configuration with `path` wherever there may be one."""
    config = copy.deepcopy(CONFIG)
    config["data"] |= {"metadata": path, "sources": [{"folder": path}, {"urls": True}, {"archive": path}]}
    config["data"]["duplicates"] |= {"embeddings": path, "list": path, "not_same": path}
    config["loss"]["perceptual_weights"] = path
    config["evaluate"] |= {"extractor": f"local-dir:{path}", "lpips": path}
    named = {"dataset": "$D", "model": "~", "id": "$id", "group": "~"}
    config["probe"]["sources"] = [
        {"name": "vae", "kind": "vae"} | TARGETS,
        {"name": "file", "kind": "file", "embeddings": path, "metadata": path} | named | TARGETS,
        {"name": "clip", "kind": "openclip", "model": f"local-dir:{path}"} | TARGETS,
        {"name": "hub", "kind": "openclip", "model": "hf-hub:$a"} | TARGETS,
    ]
    return config


def test_the_configuration_of_these_tests_is_valid() -> None:
    check_config(config_with("x"), yaml.safe_load((ROOT / "schemas" / "config.schema.yaml").read_text()))


@pytest.mark.parametrize(
    ("path", "expanded"),
    [
        ("~/img", "/home/ada/img"),
        ("~", "/home/ada"),
        ("$DISK/img", "/mnt/a b/img"),
        ("${DISK}2/img", "/mnt/a b2/img"),
        ("a~b/~c", "a~b/~c"),
        ("prize$$", "prize$"),
        ("img/é {x}", "img/é {x}"),
    ],
)
def test_every_path_is_expanded_and_nothing_else(monkeypatch: pytest.MonkeyPatch, path: str, expanded: str) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    config = config_with(path)
    expand_paths(config, {"DISK": "/mnt/a b", "D": "no", "id": "no", "a": "no"})
    assert config == config_with(expanded)


@pytest.mark.parametrize("address", ["https://example.org/~ada/$x.csv", "http://example.org/$"])
def test_an_address_on_the_web_is_no_path(address: str) -> None:
    config = config_with("x")
    config["data"]["metadata"] = address
    expand_paths(config, {})
    assert config["data"]["metadata"] == address


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("$UNSET/img", r"\$UNSET/img names the variable UNSET, which is not set or empty"),
        ("${EMPTY}/img", "names the variable EMPTY, which is not set or empty"),
        ("a$/img", r"a \$ begins no name"),
        ("~nobody-of-that-name/x", "begins with ~nobody-of-that-name, but no user has that name"),
    ],
)
def test_what_cannot_be_expanded_is_an_error_that_names_the_key(path: str, message: str) -> None:
    for block, key, name in [
        (lambda config: config["data"], "metadata", "data.metadata"),
        (lambda config: config["data"]["sources"][2], "archive", "data.sources.2.archive"),
        (lambda config: config["data"]["duplicates"], "list", "data.duplicates.list"),
        (lambda config: config["loss"], "perceptual_weights", "loss.perceptual_weights"),
        (lambda config: config["evaluate"], "extractor", "evaluate.extractor"),
        (lambda config: config["evaluate"], "lpips", "evaluate.lpips"),
        (lambda config: config["probe"]["sources"][1], "metadata", "probe.sources.1.metadata"),
        (lambda config: config["probe"]["sources"][2], "model", "probe.sources.2.model"),
    ]:
        config = config_with("x")
        block(config)[key] = f"local-dir:{path}" if key in ("model", "extractor") else path
        with pytest.raises(UserError, match=rf"^{name}: .*{message}"):
            expand_paths(config, {"EMPTY": ""})


@given(st.text(st.characters(exclude_characters="$", exclude_categories=["Cs"]), min_size=1))
def test_a_path_without_either_stays_as_it_is(path: str) -> None:
    if not path.startswith("~"):
        config = config_with(path)
        expand_paths(config, {})
        assert config == config_with(path)
