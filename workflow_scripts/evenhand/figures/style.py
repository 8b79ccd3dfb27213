"""How every figure looks: colours, sizes, the synthetic mark, and files whose bytes depend on the drawing alone.

Figures are built with `matplotlib.figure.Figure`, never through pyplot: no display, no global list of figures.
"""

import re
import textwrap
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

from evenhand.workflow.files import atomic_path

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
    """Such as "No installed font has 银 (U+94F6): boxes stand in its place. Install a font for Chinese and
    Japanese (CJK)."

    Of many characters the first are named; the scripts are called by the first word of the names in Unicode.

    Args:
        characters: at least one.
        shapes: name a character itself besides its code point; in a figure it would be a box.
    """
    names = [f"{name} (U+{ord(name):04X})" if shapes else f"U+{ord(name):04X}" for name in sorted(characters)]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    place = "their" if len(names) > 1 else "its"
    scripts = sorted({unicodedata.name(name, " ").split(" ")[0].capitalize() for name in characters} - {""})
    missing = f" Install a font for {' and '.join(map(_script, scripts))}." if scripts else ""
    return f"No installed font has {', '.join(names[:MOST_NAMED])}{more}: boxes stand in {place} place.{missing}"


def _script(name: str) -> str:
    return "Chinese and Japanese (CJK)" if name == "Cjk" else name


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


PAGE_WIDTH = 7.0  # inches: the text width of a printed page, so the point sizes below are those a reader sees
SMALL, NORMAL, LARGE = 8, 9, 10  # points

# Okabe & Ito's palette, distinguishable under every common form of colour blindness.
ORANGE, BLUE, GREEN, VERMILLION, SKY, PURPLE = "#E69F00", "#0072B2", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"
SYNTHETIC = "SYNTHETIC DATA: made by a generator, not measured on patients"
INK, MUTED, FAINT = "#222222", "#767676", "#C8C8C8"


# Of the groups by their place in the study; each list begins again where it ends.
GROUP_COLOURS = (ORANGE, BLUE, PURPLE, GREEN, SKY, VERMILLION)
MARKERS = "osD^vP*XdhH"
HATCHES = ("", "////", "....", "xxxx", "----", "++++", "oo")


class GroupStyle(NamedTuple):
    """A test group is told by colour, by marker and by hatch, so that it survives a grey printer."""

    colour: str
    marker: str
    hatch: str


RC = {
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.size": NORMAL,
    "axes.titlesize": NORMAL,
    "axes.labelsize": NORMAL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "figure.titlesize": LARGE,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "svg.hashsalt": "evenhand",  # element ids from the drawing, not from a random number
    "path.simplify": False,
    "savefig.facecolor": "white",
}


@contextmanager
def house_style(families: Sequence[str] = (HOUSE_FONT,)) -> Iterator[None]:
    """Matplotlib's defaults plus `RC`, whatever the user's own matplotlibrc says; letters from these fonts."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)  # type: ignore[arg-type]  # the stub lists its keys as literals
        mpl.rcParams["font.family"] = list(families)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` x `height` inches whose layout leaves room for its labels."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def mark(figure: Figure, *sentences: str) -> None:
    """Write what must not be overlooked across the top of the figure, in a strip added for it that covers nothing.

    A legend of the figure itself takes the top whatever the layout says, so there the words become its title.
    """
    width, height = figure.get_size_inches()
    lines = [line for words in sentences for line in textwrap.wrap(words, int(13 * width), break_on_hyphens=False)]
    words = "\n".join(lines)
    colour = "#A63C00"
    if figure.legends:
        legend = figure.legends[0]
        legend.set_title("\n".join(filter(None, [words, legend.get_title().get_text()])))
        legend.get_title().set(fontsize=SMALL, fontweight="bold", color=colour)
        return
    strip = 0.26 + 0.15 * (len(lines) - 1)  # inches
    figure.set_size_inches(width, height + strip)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0, 0, 1, height / (height + strip)))  # type: ignore[call-arg]
    top = 1 - 0.3 * 0.26 / (height + strip)
    figure.text(0.5, top, words, ha="center", va="top", fontsize=SMALL, fontweight="bold", color=colour)


# Without date or software version: equal figures give equal bytes.
METADATA: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def save_figure(figure: Figure, outputs: Sequence[Path], dpi: int, text: str) -> None:
    """Write the figure into files whose endings tell the format.

    Args:
        figure: as drawn in the house style.
        outputs: .svg, .png or .pdf.
        dpi: of bitmaps.
        text: `outline`, or `editable`: letters of an SVG stay text. In a PDF they always are, with their font in it:
            journals refuse Type 3, the other kind.
    """
    with mpl.rc_context({"svg.fonttype": "none" if text == "editable" else "path", "pdf.fonttype": 42}):
        for output in outputs:
            kind = output.suffix[1:]
            with atomic_path(output) as temporary:
                figure.savefig(temporary, format=kind, dpi=dpi, metadata=METADATA[kind])
                if kind == "svg":
                    temporary.write_text(compact(temporary.read_text("utf-8")), "utf-8")


def compact(svg: str) -> str:
    """The same drawing in fewer bytes: on one line, to hundredths of a point, glyphs by short names, but for spaces."""
    found = re.sub(r"\s*\n\s*", " ", svg.strip()) + "\n"
    found = re.sub(r"(?<![\w.])(-?[1-9]\d*\.\d\d)\d+", r"\1", found).replace(" 0)", ")")
    for empty in re.findall(r'<path id="([^"]+)" transform="[^"]+"/>', found):
        found = re.sub(rf'<(path id="|use xlink:href="#){re.escape(empty)}"[^>]*/> ?', "", found)
    glyphs = dict.fromkeys(re.findall(r'<path id="([^"]+)" d="[^"]*" transform="scale[^"]*"/>', found))
    short = {name: f"g{number}" for number, name in enumerate(glyphs)}
    return re.sub(r'(id="|href="#)([^"]+)"', lambda link: f'{link[1]}{short.get(link[2], link[2])}"', found)


def group_styles(names: Sequence[str]) -> dict[str, GroupStyle]:
    """How groups look, by name, from their place among the names: the reference orange, round and without hatch.

    The first six groups differ in all three. From the seventh on colours return, but with other hatches and markers; 42
    groups can be told apart.
    """
    return {
        name: GroupStyle(
            GROUP_COLOURS[place % len(GROUP_COLOURS)], MARKERS[place % len(MARKERS)], HATCHES[place % len(HATCHES)]
        )
        for place, name in enumerate(names)
    }


def percent(share: float) -> str:
    """A share in percent without needless decimals: 0.5 -> "50 %", 0.125 -> "12.5 %"."""
    return f"{100 * share:.4g} %"


def span(values: Sequence[int]) -> str:
    """Whole numbers as "500", or "480 to 500" where they differ; thousands with a comma."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def joined(words: Sequence[str], last: str = "and") -> str:
    """Words as a list in a sentence: "", "a", "a and b", "a, b and c"."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def capital(words: str) -> str:
    """The words as the beginning of a sentence."""
    return words[:1].upper() + words[1:]
