"""The sum beside a manifest: what was drawn is what is trained on, and an edit by hand is noticed before."""

from pathlib import Path

from fairgen.errors import UserError
from fairgen.files import sha256_of, write_text


def seal(path: str | Path) -> None:
    """Write the sum of splits/run<r>.csv to run<r>.sha256, in the form of `sha256sum`."""
    path = Path(path)
    write_text(f"{sha256_of(path)}  {path.name}\n", path.with_suffix(".sha256"))


def check_seal(path: str | Path) -> None:
    """Raise a `UserError` unless the manifest at `path` is the one that was sealed."""
    path = Path(path)
    remedy = (
        "Draw it again: snakemake --forcerun make_splits. Where your own manifest is meant: "
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
