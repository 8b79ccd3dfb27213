"""When a cell of a table and an entry of the configuration are the same.

Numbers compare as numbers (-1.0 is -1), truth values as such in any case (TRUE is true, and so are yes and on, which
YAML reads as true), and everything else as text without the blanks at its ends. Digits that begin with a needless 0 are
a code and no number: 007 is not 7.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal

NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d*)?([eE][+-]?\d{1,3})?")
TRUTHS = dict.fromkeys(("true", "yes", "on"), True) | dict.fromkeys(("false", "no", "off"), False)
# What stands in tables where a name is not known. A patient or image of such a name is none.
NO_NAME = {
    *("", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "missing", "unknown", "unk", "?", "-", "--", "."),
    *("-1", "-1.0"),
}
# Checksums, in hexadecimal digits of lower case.
MD5, SHA256 = "[0-9a-f]{32}", "[0-9a-f]{64}"
Key = tuple[str, Decimal | bool | str]


def cell_key(cell: object) -> Key:
    """Equal for cells that are the same."""
    text = str(cell).strip()
    if NUMBER.fullmatch(text):
        return "number", Decimal(text)
    if text.lower() in TRUTHS:
        return "truth", TRUTHS[text.lower()]
    return "text", text


def cell_number(cell: str) -> float | None:
    """The number that a cell holds, None if it holds none."""
    return float(cell) if NUMBER.fullmatch(cell.strip()) else None


def listed_twice(values: Mapping[object, object]) -> list[str]:
    """Entries of a mapping that are the same cell as another one."""
    first: dict[Key, object] = {}
    return [f"{cell!r} and {first[key]!r}" for cell in values if first.setdefault(key := cell_key(cell), cell) != cell]


def in_both(values: Iterable[object], missing: Collection[object]) -> list[object]:
    """Cells of the one that the other lists as well."""
    others = {cell_key(cell) for cell in missing}
    return [cell for cell in values if cell_key(cell) in others]
