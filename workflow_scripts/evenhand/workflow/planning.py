"""What the Snakefile and the rule files ask while a study is planned; standard library only.

The content of the user's files, the modules that a script imports, regular expressions for wildcards; the Python that
runs Snakemake, for its jobs; paths as a user writes them.
"""

import ast
import functools
import hashlib
import json
import os
import stat
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from evenhand.data.image_names import image_files
from evenhand.workflow.errors import UserError


def content_sums(paths: Sequence[str | Path], memory: Path) -> list[str]:
    """The SHA-256 of each file, or of all files in each folder; empty where there is none."""
    inside = [sorted(_files_of(Path(path))) for path in paths]
    sums = _file_sums([file for files in inside for file in files], memory)
    return [
        _joined(files, path, sums) if os.path.isdir(path) else "".join(sums[file] for file in files)
        for path, files in zip(paths, inside, strict=True)
    ]


def images_sum(folder: str | Path, memory: Path) -> str:
    """A hash of the names and bytes of the image files under `folder`: changes when images come, go or are replaced."""
    files = sorted(image_files(folder))
    return _joined(files, folder, _file_sums(files, memory))


def _files_of(path: Path) -> list[str]:
    if path.is_dir():
        return [str(entry) for entry in path.rglob("*") if entry.is_file()]
    return [str(path)] if path.is_file() else []


def _joined(files: Iterable[str], folder: str | Path, sums: dict[str, str]) -> str:
    lines = "\n".join(f"{sums[file]}  {os.path.relpath(file, folder)}" for file in files)
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()


def _file_sums(files: Iterable[str], memory: Path) -> dict[str, str]:
    """The sum of each file by its name; empty where nothing can be read: a link to nothing, a pipe, no permission."""
    try:
        known = json.loads(memory.read_text("utf-8"))
    except (OSError, ValueError):  # none yet, or another process writes it
        known = {}
    stamps = {file: _stamp(file) for file in files}
    changed = {file: stamp for file, stamp in stamps.items() if stamp and known.get(file, {}).get("stamp") != stamp}
    if changed:
        from evenhand.workflow.files import sha256_of, write_json  # noqa: PLC0415 (its NumPy would delay planning)

        for file, stamp in changed.items():
            try:
                known[file] = {"stamp": stamp, "sha256": sha256_of(file)}
            except OSError:
                known.pop(file, None)
        write_json(known, memory)
    return {file: known[file]["sha256"] if stamp and file in known else "" for file, stamp in stamps.items()}


def _stamp(file: str) -> list[int] | None:
    """Size and date of a regular file; None: it is no such file."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns] if stat.S_ISREG(status.st_mode) else None


def modules_behind(script: Path, root: Path, loaded: Iterable[Path] = ()) -> list[Path]:
    """The files below `root` that `script` imports, directly or not; `loaded` are those that it loads by name."""
    found = set(loaded)
    queue = [script, *found]
    while queue:
        new = _imported(queue.pop(), root) - found
        found |= new
        queue += new
    return sorted(found)


@functools.cache
def _imported(path: Path, root: Path) -> set[Path]:
    """The files below `root` that the import statements of the file at `path` name, those inside functions as well."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    files: set[Path] = set()
    for name in names:
        parts = name.split(".")
        # Importing a.b.c runs the __init__.py of a and of a.b as well.
        for depth in range(1, len(parts) + 1):
            stem = root.joinpath(*parts[:depth])
            files.update((stem / "__init__.py", stem.with_suffix(".py")))
    return {file for file in files if file.is_file()}


def start_suffix(start: int) -> str:
    """What the folder of a start has after run<r>: nothing for the first, .start<k> for the others (splits.starts)."""
    return f".start{start}" if start else ""


def run_folders(runs: int, starts: int) -> list[str]:
    """The folders of all models of a training set: run by run, start by start."""
    return [f"run{number}{start_suffix(start)}" for number in range(runs) for start in range(starts)]


def numbers_below(count: int) -> str:
    """A regular expression for 0, 1, ... `count` - 1, as long as the number and not as the list.

    Snakemake writes constraints into the name of every output: with a thousand names in them, planning is slow.
    """
    top = str(count - 1)
    patterns = ["[1-9]" * (length > 1) + "[0-9]" * (length - (length > 1)) for length in range(1, len(top))]
    for place, digit in enumerate(top):
        first = 1 if place == 0 and len(top) > 1 else 0
        if int(digit) > first:
            rest = "[0-9]" * (len(top) - place - 1)
            patterns.append(f"{top[:place]}[{first}-{int(digit) - 1}]{rest}")
    return "|".join([*patterns, top])


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


def local_folder(model: str) -> list[str]:
    """The folder that an open_clip model is read from, if its name is one: a list of one, or of none."""
    return [model.removeprefix(LOCAL_MODEL)] if model.startswith(LOCAL_MODEL) else []


def as_list(given: str | list[Any] | None) -> list[Any]:
    """One value or several as a list of them."""
    return [given] if isinstance(given, str) else given or []


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
    yield from _tables(data, "data")
    for number, source in enumerate(data["sources"]):
        for key in source.keys() & {"folder", "archive"}:
            yield source, key, f"data.sources.{number}.{key}"
    for key in ("embeddings", "list", "not_same"):
        yield data["duplicates"], key, f"data.duplicates.{key}"
    if ":" in config["model"]["family"]:
        yield config["model"], "family", "model.family"
    if "path" in config["model"]["options"]:
        yield config["model"]["options"], "path", "model.options.path"
    if config["loss"]["perceptual_weights"] not in ("imagenet", "random"):
        yield config["loss"], "perceptual_weights", "loss.perceptual_weights"
    if local_folder(config["evaluate"]["extractor"]):
        yield config["evaluate"], "extractor", "evaluate.extractor"
    yield config["evaluate"], "lpips", "evaluate.lpips"
    for number, source in enumerate(config["probe"]["sources"]):
        # Of other kinds, `model` is a name.
        if source["kind"] == "file":
            yield source, "embeddings", f"probe.sources.{number}.embeddings"
            yield from _tables(source, f"probe.sources.{number}")
        elif source["kind"] == "openclip" and local_folder(source["model"]):
            yield source, "model", f"probe.sources.{number}.model"


def _tables(block: dict[str, Any], name: str) -> Iterator[tuple[Any, Any, str]]:
    """The tables of annotations of a block, one or a list of them."""
    if isinstance(block["metadata"], list):
        for number in range(len(block["metadata"])):
            yield block["metadata"], number, f"{name}.metadata.{number}"
    else:
        yield block, "metadata", f"{name}.metadata"


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
