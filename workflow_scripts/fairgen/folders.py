"""Image files by name in a folder. Standard library only: the rule files import this."""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

IMAGE_NAME = re.compile(r"([0-9a-f]{32})\.(?:jpe?g|png)", re.IGNORECASE)


def image_files(folder: str | Path) -> Iterator[tuple[str, str]]:
    """Every file under `folder` that is called like an image, with its md5hash; links to folders are not followed."""
    for directory, _, names in os.walk(folder):
        for name in names:
            match = IMAGE_NAME.fullmatch(name)
            if match:
                yield os.path.join(directory, name), match[1].lower()


def folder_fingerprint(folder: str | Path) -> str:
    """A hash of the names of the image files under `folder`: changes when images come or go, not when touched."""
    names = sorted(os.path.relpath(path, folder) for path, _ in image_files(folder))
    return hashlib.sha256("\n".join(names).encode(errors="surrogateescape")).hexdigest()
