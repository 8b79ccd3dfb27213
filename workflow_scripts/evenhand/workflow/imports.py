"""Which modules a file imports, read from its statements. The rule files import this."""

import ast
import functools
from pathlib import Path


@functools.cache
def imported_modules(path: Path, root: Path) -> set[Path]:
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
