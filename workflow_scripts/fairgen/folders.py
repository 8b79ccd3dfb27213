"""Image files by name in a folder. Standard library only: the rule files import this."""

import hashlib
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

IMAGE_NAME = re.compile(r"([0-9a-f]{32})\.(?:jpe?g|png)", re.IGNORECASE)


def image_files(folder: str | Path) -> Iterator[tuple[str, str]]:
    """Every file under `folder` that is called like an image, with its md5hash; links to folders are not followed.

    An absent folder has none; one that may not be read has none either, and a warning says so.
    """
    folders = [str(folder)]
    while folders:
        try:
            found = os.scandir(folders.pop())
        except FileNotFoundError:
            continue
        except OSError as error:
            warnings.warn(f"{error}: the images in it, if any, count as missing", stacklevel=2)
            continue
        with found as entries:
            for entry in entries:
                match = IMAGE_NAME.fullmatch(entry.name)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif match and not os.path.isdir(entry.path):  # entry.is_dir fails at a link to itself
                    yield entry.path, match[1].lower()


def folder_fingerprint(folder: str | Path) -> str:
    """A hash of the names of the image files under `folder`: changes when images come or go, not when touched."""
    names = sorted(os.path.relpath(path, folder) for path, _ in image_files(folder))
    return hashlib.sha256("\n".join(names).encode(errors="surrogateescape")).hexdigest()
