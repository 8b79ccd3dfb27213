"""Paths of the configuration as a user writes them: `~`, `~user`, `$NAME` and `${NAME}` are expanded in every one."""

import os
from collections.abc import Iterator, Mapping
from string import Template
from typing import Any

from evenhand.workflow.errors import UserError

LOCAL_MODEL = "local-dir:"  # before a path, in the name of an open_clip model


def expand_paths(config: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Expand every path in a valid configuration, in place; `$$` stands for a dollar sign, URLs are left alone.

    Raises:
        UserError: a variable is not set or empty, a user is unknown, or a `$` begins no name; names the key.
    """
    for block, key, name in _paths(config):
        text = block[key]
        if text and not text.startswith(("http://", "https://")):
            prefix = LOCAL_MODEL if text.startswith(LOCAL_MODEL) else ""
            block[key] = prefix + _expanded(text.removeprefix(prefix), name, environment)


def _paths(config: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Each path: the block that holds it, its key there, and the name of the key for a message."""
    data = config["data"]
    yield data, "metadata", "data.metadata"
    for number, source in enumerate(data["sources"]):
        for key in source.keys() & {"folder", "archive"}:
            yield source, key, f"data.sources.{number}.{key}"
    for key in ("embeddings", "list"):
        yield data["duplicates"], key, f"data.duplicates.{key}"
    if config["loss"]["perceptual_weights"] not in ("imagenet", "random"):
        yield config["loss"], "perceptual_weights", "loss.perceptual_weights"
    for number, source in enumerate(config["probe"]["sources"]):
        # Of other kinds, `model` is a name.
        keys = {"file": ("embeddings", "metadata"), "openclip": ("model",), "vae": ()}[source["kind"]]
        for key in keys:
            if key != "model" or source["model"].startswith(LOCAL_MODEL):
                yield source, key, f"probe.sources.{number}.{key}"


def _expanded(text: str, name: str, environment: Mapping[str, str]) -> str:
    """`text` with its variables and its `~` replaced; `name` is its key."""
    try:
        path = Template(text).substitute({variable: value for variable, value in environment.items() if value})
    except KeyError as error:
        raise UserError(f"{name}: {text} names the variable {error.args[0]}, which is not set or empty") from None
    except ValueError:
        raise UserError(f"{name}: in {text} a $ begins no name; expected $NAME or ${{NAME}}, or $$ for a $") from None
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        user = expanded.partition("/")[0]
        raise UserError(f"{name}: {text} begins with {user}, but no user has that name; a folder has it as ./{user}")
    return expanded
