"""Duplicates that somebody else found: lists of pairs or clusters, by hash or by its first eight digits."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fairgen.duplicates import Links
from fairgen.errors import UserError

SEPARATORS = re.compile(r"[\s,;\[\]()'\"]+")
# A hash or its first 8 digits, alone or as the last part of a name such as "na-co_f2_39_f9c77f9a.jpg", the
# form of the published cluster list of Fitzpatrick17k-C.
IDENTIFIER = re.compile(r"(?:.*_)?([0-9a-f]{32}|[0-9a-f]{8})(?:\.(?:jpe?g|png))?", re.IGNORECASE)


def read_duplicate_list(path: str | Path, hashes: Sequence[str]) -> tuple[Links, int]:
    """The links that a list of duplicates asks for.

    Each line holds the images of one pair or cluster, separated by blanks, commas or semicolons; brackets and
    quotes are ignored, and so is a first line without any hash (a header).

    Args:
        path: text file, UTF-8.
        hashes: md5hash of each image that is there.

    Returns:
        Links at distance 0 along each line, and how many of the images listed are not there.

    Raises:
        UserError: a line holds something else, or eight digits that begin two hashes.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: the list of duplicates cannot be read ({error}). Correct data.duplicates.list."
        ) from error
    rows: dict[str, list[int]] = {}
    for row, md5hash in enumerate(hashes):
        rows.setdefault(md5hash, []).append(row)
        rows.setdefault(md5hash[:8], []).append(row)
    first: list[int] = []
    second: list[int] = []
    absent = set()
    for number, line in enumerate(lines, 1):
        fields = [field for field in SEPARATORS.split(line) if field]
        names = [IDENTIFIER.fullmatch(field) for field in fields]
        if number == 1 and not any(names):
            continue
        cluster = []
        for field, name in zip(fields, names, strict=True):
            if name is None:
                raise UserError(
                    f"{path}, line {number}: expected hashes or their first 8 digits, one pair or cluster a line; "
                    f"found {field!r}. Leave only the lines and columns that name duplicates."
                )
            found = rows.get(name[1].lower(), [])
            if len(found) > 1:
                raise UserError(
                    f"{path}, line {number}: {name[1]} begins the hashes of {len(found)} images. Give all 32 digits."
                )
            cluster.extend(found)
            if not found:
                absent.add(name[1].lower())
        first.extend(cluster[:-1])
        second.extend(cluster[1:])
    zeros = np.zeros(len(first), np.float64)
    return Links(np.array(first, np.int64), np.array(second, np.int64), zeros), len(absent)
