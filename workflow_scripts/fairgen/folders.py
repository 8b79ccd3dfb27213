"""Image files by name in a folder. Standard library only: the rule files import this."""

import hashlib
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

# Endings of the formats that `fairgen.decoding` reads; what is in a file decides, not its ending.
ENDING = re.compile(r"\.(?:jpe?g|jpe|jfif|png|webp|gif|bmp|tiff?)", re.IGNORECASE)


def has_image_ending(name: str) -> bool:
    """Whether a file is called like an image."""
    return not name.startswith(".") and stem_of(name) != name


def stem_of(name: str) -> str:
    """The name without the ending of an image."""
    stem, dot, ending = name.rpartition(".")
    return stem if stem and ENDING.fullmatch(dot + ending) else name


def image_files(folder: str | Path) -> Iterator[str]:
    """Every file under `folder` that is called like an image; links to folders are not followed.

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
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                # entry.is_dir fails at a link to itself.
                elif has_image_ending(entry.name) and not os.path.isdir(entry.path):
                    yield entry.path


def folder_fingerprint(folder: str | Path) -> str:
    """A hash of the names of the image files under `folder`: changes when images come or go, not when touched."""
    names = sorted(os.path.relpath(path, folder) for path in image_files(folder))
    return hashlib.sha256("\n".join(names).encode(errors="surrogateescape")).hexdigest()
