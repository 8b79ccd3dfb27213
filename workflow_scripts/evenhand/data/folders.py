"""Image files by name in a folder. Standard library only: the rule files import it."""

import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

# Endings of the formats that `evenhand.data.decoding` reads; what is in a file decides, not its ending.
ENDING = re.compile(r"\.(?:jpe?g|jpe|jfif|png|webp|gif|bmp|tiff?)", re.IGNORECASE)


def has_image_ending(name: str) -> bool:
    """Whether a file is called like an image."""
    return not name.startswith(".") and stem_of(name) != name


def stem_of(name: str) -> str:
    """The name without the ending of an image."""
    stem, dot, ending = name.rpartition(".")
    return stem if stem and ENDING.fullmatch(dot + ending) else name


def image_files(folder: str | Path) -> Iterator[str]:
    """Every file under `folder` that is called like an image; links to folders are followed.

    Each folder is entered once: no link leads round in a circle, and no image is met twice. An image that lies under
    `folder` has its own name, one behind links the name by the first of them. An absent folder has no images; one that
    may not be read and a link to nothing or to a folder above have none either, and a warning says so.
    """
    above = {_identity(parent) for parent in Path(os.path.realpath(folder)).parents}
    entered = set[tuple[int, int]]()
    folders, links = [str(folder)], set[str]()
    while folders or links:
        if not folders:  # links last and by name, whatever the order on the disk
            folders.append(min(links))
            links.remove(folders[0])
        path = folders.pop()
        identity = _identity(path)
        if identity is None or identity in entered:
            continue
        if identity in above:
            _warn(f"{path} leads back to a folder that holds {folder} and is not followed")
            continue
        entered.add(identity)
        try:
            found = os.scandir(path)
        except OSError as error:
            _warn(str(error))
            continue
        with found as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_symlink() and os.path.isdir(entry.path):  # entry.is_dir fails at a link to itself
                    links.add(entry.path)
                elif has_image_ending(entry.name):
                    yield entry.path
                elif entry.is_symlink() and not os.path.exists(entry.path):
                    _warn(f"{entry.path} is a link to nothing that can be read")


def _identity(path: str | Path) -> tuple[int, int] | None:
    """Device and number of a folder, the same by whatever name it is reached; None where there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        _warn(str(error))
        return None
    return status.st_dev, status.st_ino


def _warn(what: str) -> None:
    warnings.warn(f"{what}: the images behind it, if any, count as missing", stacklevel=3)
