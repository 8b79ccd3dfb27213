"""Data sets whose tables need code before they are one row per image: a module each, named in `data.dataset`.

This file imports nothing of the kind: the rule files read it.
"""

from pathlib import Path


def adapter_names() -> list[str]:
    """The data sets that there is a module for."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
