"""Fonts for whatever script the names in a figure are written in.

Matplotlib's own font comes first, so that a figure that needs no other is the same on every machine; characters that it
lacks are drawn from fonts of the machine.
"""

import unicodedata
from collections.abc import Collection, Iterable
from functools import cache
from typing import NamedTuple

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

HOUSE_FONT = "DejaVu Sans"  # ships with matplotlib
MOST_NAMED = 8  # characters in a sentence


class Fonts(NamedTuple):
    """Families to draw with, in the order in which they are asked for a character, and what none of them has."""

    families: tuple[str, ...]
    uncovered: frozenset[str]


def uncovered_characters(texts: Iterable[str]) -> set[str]:
    """The characters of these texts that no installed font can draw: a figure would show boxes in their place."""
    return set(choose_fonts(texts).uncovered)


def choose_fonts(texts: Iterable[str]) -> Fonts:
    """The fewest installed fonts that draw these texts as far as any do, `HOUSE_FONT` first.

    Of several that draw as many of the characters that are left, an upright sans-serif of normal weight is taken, then
    the first by name.
    """
    left = {character for text in texts for character in text if _is_drawn(character)}
    left -= _characters(font_manager.findfont(HOUSE_FONT))
    families = [HOUSE_FONT]
    while left:
        drawn = {path: left & _characters(path) for path in _installed()}
        best = min(
            (path for path in drawn if drawn[path]), key=lambda path: (-len(drawn[path]), _rank(path)), default=None
        )
        if best is None:
            break
        left -= drawn[best]
        families.append(_family(best))
    return Fonts(tuple(families), frozenset(left))


def describe_fonts(fonts: Fonts) -> str:
    """What a reader has to know of the fonts beside a figure; empty where the house font has all characters."""
    sentences = []
    if len(fonts.families) > 1:
        sentences.append(f"Letters that {HOUSE_FONT} lacks are from {' and '.join(fonts.families[1:])}.")
    if fonts.uncovered:
        sentences.append(uncovered_words(fonts.uncovered, shapes=True))
    return " ".join(sentences)


def uncovered_words(characters: Collection[str], shapes: bool) -> str:
    """Such as "No installed font has 银 (U+94F6): boxes stand in its place."; of many characters the first are named.

    Args:
        characters: at least one.
        shapes: name a character itself besides its code point; in a figure it would be a box.
    """
    names = [f"{name} (U+{ord(name):04X})" if shapes else f"U+{ord(name):04X}" for name in sorted(characters)]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    place = "their" if len(names) > 1 else "its"
    return f"No installed font has {', '.join(names[:MOST_NAMED])}{more}: boxes stand in {place} place."


def _is_drawn(character: str) -> bool:
    """Whether a font needs a shape for it: blanks, line breaks and marks of direction or joining need none."""
    return not character.isspace() and unicodedata.category(character) not in ("Cc", "Cf")


@cache
def _installed() -> tuple[str, ...]:
    # Asked anew in every process: matplotlib's own list is kept on disk and knows no font installed since.
    return tuple(sorted(font_manager.findSystemFonts()))


@cache
def _characters(path: str) -> frozenset[str]:
    """What a font has outlines for; nothing where it cannot be read or holds pictures of one size, as emoji do."""
    try:
        font = FT2Font(path)
    except (RuntimeError, OSError):
        return frozenset()
    return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()


@cache
def _rank(path: str) -> tuple[bool, bool, bool, str, str]:
    properties = font_manager.ttfFontProperty(FT2Font(path))
    upright = properties.style == "normal"
    return (not upright, properties.weight != 400, "sans" not in properties.name.lower(), properties.name, path)


@cache
def _family(path: str) -> str:
    """The name of a font, which matplotlib knows from now on."""
    font_manager.fontManager.addfont(path)
    return font_manager.ttfFontProperty(FT2Font(path)).name
