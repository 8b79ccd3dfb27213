"""Duplicates that somebody else found: lists of pairs or clusters, by id, or by the first eight digits of a hash."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evenhand.data.duplicates import Links
from evenhand.data.folders import stem_of
from evenhand.workflow.errors import UserError

SEPARATORS = re.compile(r"[\s,;\[\]()'\"]+")
# A hash or its first 8 digits, alone or as the last part of a name such as "na-co_f2_39_f9c77f9a.jpg", the
# form of the published cluster list of Fitzpatrick17k-C.
HASH = re.compile(r"(?:.*_)?([0-9a-f]{32}|[0-9a-f]{8})", re.IGNORECASE)


def read_duplicate_list(path: str | Path, ids: Sequence[str]) -> tuple[Links, int]:
    """The links that a list of duplicates asks for.

    Each line holds the images of one pair or cluster, separated by blanks, commas or semicolons; brackets and
    quotes are ignored, and so is a first line that names no image (a header). Where the ids are hashes, eight digits
    are enough.

    Args:
        path: text file, UTF-8.
        ids: id (md5hash) of each image that is there.

    Returns:
        Links at distance 0 along each line, and how many of the images listed are not there.

    Raises:
        UserError: a line holds something else, eight digits that begin two hashes, or an id could not be read in such
            a list; or the list names none of the images.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the list of duplicates (data.duplicates.list) cannot be read ({error}).") from error
    hashes = all(HASH.fullmatch(name) for name in ids)
    split = [name for name in ids if SEPARATORS.search(name)]
    if split:
        raise UserError(
            f"{path}: blanks, commas, semicolons, brackets and quotes separate the ids of a list of duplicates; found "
            f"such characters in {len(split)} ids of the images themselves, such as {split[0]!r}."
        )
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(ids):
        rows.setdefault(stem_of(name).casefold(), []).append(row)
        if hashes:
            rows.setdefault(name[:8], []).append(row)
    first: list[int] = []
    second: list[int] = []
    absent = set()
    known = False
    for number, line in enumerate(lines, 1):
        fields = [field for field in SEPARATORS.split(line) if field]
        names = [_name(field, hashes) for field in fields]
        if number == 1 and not any(name if hashes else name in rows for name in names):
            continue
        cluster = []
        for field, name in zip(fields, names, strict=True):
            if not name:
                raise UserError(
                    f"{path}, line {number}: expected hashes or their first 8 digits, one pair or cluster a line; "
                    f"found {field!r}."
                )
            found = rows.get(name, [])
            if len(found) > 1:
                raise UserError(
                    f"{path}, line {number}: {name} begins the hashes of {len(found)} images; which one is meant, all "
                    "32 digits say."
                )
            cluster.extend(found)
            known = known or bool(found)
            if not found:
                absent.add(name)
        first.extend(cluster[:-1])
        second.extend(cluster[1:])
    if absent and not known and not hashes:
        raise UserError(
            f"{path}: expected ids of images, such as {ids[0]}; none of the {len(absent)} names in it is one, such as "
            f"{min(absent)}."
        )
    zeros = np.zeros(len(first), np.float64)
    return Links(np.array(first, np.int64), np.array(second, np.int64), zeros), len(absent)


def _name(field: str, hashes: bool) -> str:
    """The image that a field names, in lower case; "" for what cannot be a hash where all ids are."""
    stem = stem_of(field).casefold()
    if not hashes:
        return stem
    match = HASH.fullmatch(stem)
    return match[1] if match else ""
