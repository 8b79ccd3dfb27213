"""Sums of files in a file beside them: what was written is what is read.

Snakemake compares small files by content and larger ones by date. A product that may be large is therefore an input
by its sum, and itself `ancient` (CONTRIBUTING.md); and of a manifest the sum tells an edit by hand.
"""

from collections.abc import Sequence
from pathlib import Path

from evenhand.workflow.errors import UserError
from evenhand.workflow.files import sha256_of, write_text


def seal(files: Sequence[str | Path], sums: str | Path | None) -> None:
    """Write the SHA-256 of each of `files` to the file `sums`, in the form of `sha256sum`; nothing without one."""
    if sums is not None:
        write_text("".join(f"{sha256_of(path)}  {Path(path).name}\n" for path in files), sums)


def check_seal(path: str | Path) -> None:
    """Raise a `UserError` unless the manifest x.csv at `path` is the one whose sum is in x.sha256."""
    path = Path(path)
    remedy = (
        "To have it drawn again, delete it and run Snakemake. Where your own manifest is meant, write its sum: "
        f"(cd {path.parent} && sha256sum {path.name} > {path.stem}.sha256), which makes it yours and not the design's."
    )
    try:
        expected = path.with_suffix(".sha256").read_text("ascii").split()[0]
        found = sha256_of(path)
    except (OSError, ValueError, IndexError) as error:
        raise UserError(
            f"{path}: expected the manifest and its sum in {path.stem}.sha256; found: {error}. {remedy}"
        ) from error
    if found != expected:
        raise UserError(
            f"{path}: expected SHA-256 {expected}, found {found}: it was changed since it was drawn. {remedy}"
        )
