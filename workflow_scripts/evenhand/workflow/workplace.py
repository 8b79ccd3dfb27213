"""Where a study runs: with the Python that runs Snakemake, and with paths as a user writes them."""

import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from string import Template
from typing import Any

from evenhand.workflow.errors import UserError


def activate(environment: MutableMapping[str, str]) -> list[str]:
    """Make the running Python the command `python` of all that is started in `environment`, and its packages theirs.

    Returns:
        A line for each folder of PYTHONPATH that was left out.

    Raises:
        UserError: no command `python` lies beside the running one.
    """
    environment["PATH"] = command_first(environment.get("PATH", os.defpath))
    environment["PYTHONPATH"], lines = without_shadows(environment.get("PYTHONPATH", ""))
    return lines


def command_first(path: str) -> str:
    """PATH as it has to be for the command `python` to be the running Python.

    Raises:
        UserError: no command of that name lies beside it.
    """
    folder = Path(sys.executable).parent
    command = folder / "python"
    # In a virtual environment every Python is its own; elsewhere `python` may be another version.
    if not command.exists() or (sys.prefix == sys.base_prefix and not command.samefile(sys.executable)):
        raise UserError(
            f"the rules call `python`: expected it at {command}, as the Python that runs Snakemake ({sys.executable}); "
            "found none or another one. Install Snakemake in a virtual environment (make setup) and call it from there."
        )
    others = [entry for entry in path.split(os.pathsep) if entry != str(folder)]
    return os.pathsep.join([str(folder), *others])


def without_shadows(python_path: str) -> tuple[str, list[str]]:
    """PYTHONPATH without the folders whose packages would be imported instead of this virtual environment's.

    Returns:
        What is left of it, and a line for each folder left out. Outside a virtual environment packages may be meant
        to come from PYTHONPATH (environment modules), and it stays as it is.
    """
    if sys.prefix == sys.base_prefix:
        return python_path, []
    own = {entry.name for entry in Path(sysconfig.get_path("purelib")).iterdir()} - {"__pycache__"}
    kept, lines = [], []
    for folder in python_path.split(os.pathsep):
        shadows = sorted(own.intersection(os.listdir(folder))) if folder and os.path.isdir(folder) else []
        if shadows:
            more = f" and {len(shadows) - 1} more" if len(shadows) > 1 else ""
            lines.append(f"PYTHONPATH: {folder} is left out, its {shadows[0]}{more} would replace that of {sys.prefix}")
        else:
            kept.append(folder)
    return os.pathsep.join(kept), lines


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


def _paths(config: Mapping[str, Any]) -> Iterator[tuple[Any, Any, str]]:
    """Each path: the block or list that holds it, its key there, and the name of the key for a message."""
    data = config["data"]
    if isinstance(data["metadata"], list):
        for number in range(len(data["metadata"])):
            yield data["metadata"], number, f"data.metadata.{number}"
    else:
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
