"""The Python of the jobs is the one that runs Snakemake, as if its environment had been activated."""

import os
import sys
import sysconfig
from collections.abc import MutableMapping
from pathlib import Path

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
