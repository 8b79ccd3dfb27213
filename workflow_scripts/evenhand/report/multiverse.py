"""A multiverse: a study once for every reading of its open points, and what each claim becomes in each of them.

A specification curve (Simonsohn, Simmons and Nelson 2020) shows the estimates of a claim over all variants, sorted, and
below each the choices that made it.
"""

import itertools
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import yaml
from matplotlib.figure import Figure

from evenhand.figures.common import draw_with_fonts
from evenhand.figures.panels import mark_values, marked_values
from evenhand.figures.style import (
    FAINT,
    INK,
    MUTED,
    PAGE_WIDTH,
    SMALL,
    SYNTHETIC,
    house_style,
    joined,
    mark,
    new_figure,
    save_figure,
)
from evenhand.report.claims import DASH, VERDICTS, interval_words, number
from evenhand.report.comparison import (
    COLUMNS,
    REASONS,
    Study,
    comparison_table,
    concerns,
    differing,
    flat,
    models_shown,
    models_table,
)
from evenhand.report.one_page import SIGNS
from evenhand.report.page import data_uri, display_width, page_template
from evenhand.workflow.config import describe, merged
from evenhand.workflow.errors import UserError
from evenhand.workflow.files import write_text
from evenhand.workflow.tables import write_csv

REMARKS = (
    "Variants share their photographs and many of their draws: they are not independent, and that many agree is no "
    "further evidence. No difference between variants is tested.",
    "Which points are open, and how each can be read, was listed and not drawn: a share of variants is no probability.",
    "Every variant judges each claim by the same declared rules, at its own level; of many variants more verdicts are "
    "false by chance than of one.",
)
BASE = "base"  # the variant of all first options
Overlay = Mapping[str, Any]


@dataclass(frozen=True)
class Multiverse:
    """Open points with their options, each an overlay of the configuration; the first option is that of the base.

    `base` are files, `settings` one more overlay, that all variants have; `minutes` of a GPU per model, by variant.
    """

    name: str
    base: tuple[str, ...]
    settings: Overlay
    departures: int
    minutes: Mapping[str, float | None]
    points: Mapping[str, Mapping[str, Overlay]]

    @property
    def option_names(self) -> list[tuple[str, str]]:
        """Every point with each of its options, in their order."""
        return [(point, option) for point, options in self.points.items() for option in options]


@dataclass(frozen=True)
class Variant:
    """One way to read the open points: by point the option; `overlay` is what it changes in the base."""

    name: str
    choices: Mapping[str, str]
    departures: frozenset[tuple[str, str]]
    overlay: Overlay


def read_multiverse(path: Path, schema: Path) -> Multiverse:
    """The multiverse that a YAML file describes.

    Raises:
        UserError: the file is not as the schema says, or names minutes of a variant that it does not have.
    """
    found = yaml.safe_load(path.read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(yaml.safe_load(schema.read_text("utf-8")))
    mistakes = [describe(error) for error in validator.iter_errors(found)]
    if not mistakes:
        multiverse = Multiverse(**found | {"base": tuple(found["base"])})
        single = [f"{point}-{option}" for point, option in multiverse.option_names]
        mistakes = [
            f"minutes.{name}: expected {BASE} or a point and an option ({', '.join(single)})"
            for name in multiverse.minutes
            if name not in (BASE, *single)
        ]
        mistakes += [
            f"points.{point}.{first}: the first option is what the base has and changes nothing; expected {{}}"
            for point, options in multiverse.points.items()
            if options[first := next(iter(options))]
        ]
        clashing = {name: keys for name, keys in _clashes(multiverse) if multiverse.departures > 1}
        mistakes += [f"points: {name} both set {keys}: expected one point for both" for name, keys in clashing.items()]
    if mistakes:
        raise UserError(f"{path} is not valid:\n" + "\n".join(f"  {mistake}" for mistake in mistakes))
    return multiverse


def _clashes(multiverse: Multiverse) -> Iterator[tuple[str, str]]:
    """Options of two points that set the same key, of which the one would undo the other."""
    for (one, options), (two, others) in itertools.combinations(multiverse.points.items(), 2):
        for (first, overlay), (second, other) in itertools.product(options.items(), others.items()):
            if common := flat(overlay).keys() & flat(other).keys() - {""}:
                yield f"{one}-{first} and {two}-{second}", joined(sorted(common))


def variants_of(multiverse: Multiverse) -> list[Variant]:
    """The base, then every variant with one departure from it, with two, ..., each point by point."""
    first = {point: next(iter(options)) for point, options in multiverse.points.items()}
    others = [(point, option) for point, option in multiverse.option_names if option != first[point]]
    found = []
    for count in range(multiverse.departures + 1):
        for chosen in itertools.combinations(others, count):
            if len({point for point, _ in chosen}) == count:
                overlay: Overlay = {}
                for point, option in chosen:
                    overlay = merged(overlay, multiverse.points[point][option])
                name = "_".join(f"{point}-{option}" for point, option in chosen) or BASE
                found.append(Variant(name, first | dict(chosen), frozenset(chosen), overlay))
    return found


def claims_by_variant(variants: Sequence[Variant], studies: Sequence[Study]) -> pd.DataFrame:
    """One row per claim and variant: `comparison_table`, with the choices of the variant.

    Args:
        variants: from `variants_of`.
        studies: the study of each, in the same order.

    Returns:
        claim, statement, variant, choices, then `COLUMNS`.
    """
    table = comparison_table(studies)
    of_study = dict(zip([study.name for study in studies], variants, strict=True))
    found = [of_study[name] for name in table["study"]]
    words = [", ".join(f"{point} {option}" for point, option in variant.choices.items()) for variant in found]
    described = table.assign(variant=[variant.name for variant in found], choices=words)
    return described[["claim", "statement", "variant", "choices", *COLUMNS]]


def turned_by(verdicts: Mapping[str, str], variants: Sequence[Variant]) -> list[Variant]:
    """The variants whose verdict is not that of the base although every part of their departures leaves it as it is.

    Args:
        verdicts: of one claim, by name of the variant; those without the claim are left out.
        variants: from `variants_of`, the base first.
    """
    found: list[Variant] = []
    for variant in variants:
        differs = verdicts.get(variant.name, verdicts.get(BASE)) != verdicts.get(BASE)
        if differs and not any(other.departures < variant.departures for other in found):
            found.append(variant)
    return found


def robustness(table: pd.DataFrame, variants: Sequence[Variant]) -> pd.DataFrame:
    """One row per claim: in how many variants it got which verdict, and which choices turn that of the base.

    Args:
        table: from `claims_by_variant`.
        variants: from `variants_of`.

    Returns:
        claim, statement (of the base where it has the claim), variants (that have it), a column per verdict,
        base (its verdict there), turned_by.
    """
    rows = []
    for claim, of_claim in table.groupby("claim", sort=False):
        verdicts = dict(zip(of_claim["variant"], of_claim["verdict"], strict=True))
        turning = [f"{variant.name} ({verdicts[variant.name]})" for variant in turned_by(verdicts, variants)]
        rows.append(
            {
                "claim": claim,
                "statement": of_claim["statement"].iloc[0],
                "variants": len(of_claim),
                **{verdict.replace(" ", "_"): int((of_claim["verdict"] == verdict).sum()) for verdict in VERDICTS},
                "base": verdicts.get(BASE, ""),
                "turned_by": "; ".join(turning),
            }
        )
    return pd.DataFrame(rows)


def in_words(row: Mapping[Hashable, Any]) -> str:
    """A row of `robustness` in a sentence or two."""
    counts = [f"{verdict} in {row[key]}" for verdict in VERDICTS if row[key := verdict.replace(" ", "_")]]
    words = f"Of {row['variants']} variants: {joined(counts)}."
    if not row["base"]:
        return f"{words} The base does not have this claim."
    return f"{words} " + (
        f"The verdict of the base, {row['base']}, is turned by {joined(row['turned_by'].split('; '))}."
        if row["turned_by"]
        else f"No choice turns the verdict of the base, {row['base']}."
    )


def curve_words(row: Mapping[Hashable, Any], curve: pd.DataFrame) -> str:
    """A specification curve for who cannot see it: the estimate of each variant in its order."""
    shown = [
        f"{one['variant']} {number(one['estimate'])} ({interval_words(one)}), {one['verdict']}"
        for one in curve.to_dict("records")
    ]
    return f"Specification curve of claim {row['claim']}: {'; '.join(shown)}."


def sorted_curve(rows: pd.DataFrame) -> pd.DataFrame:
    """The variants of one claim that have an estimate, from the smallest to the largest."""
    return rows[rows["estimate"].notna()].sort_values(["estimate", "variant"], ignore_index=True)


def draw_curve(curve: pd.DataFrame, variants: Sequence[Variant], options: Sequence[tuple[str, str]]) -> Figure:
    """Estimates with intervals by variant, sorted; below each its choices, and verdicts by colour and sign.

    Args:
        curve: from `sorted_curve`, one row at least.
        variants: from `variants_of`.
        options: every point with each of its options.
    """
    count, step = len(options), 0.17  # inches a line
    figure = new_figure(PAGE_WIDTH, 2.3 + step * (count + len({point for point, _ in options}) - 1))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.1, step * count])
    null, margin = curve["null_value"].dropna().unique(), curve["margin"].dropna().unique()
    if len(margin) == 1:
        upper.axhspan(-margin[0], margin[0], color=FAINT, alpha=0.5, linewidth=0)
    if len(null) == 1:
        upper.axhline(null[0], color="#a63c00", linestyle="--", linewidth=0.8)
    for place, row in enumerate(curve.to_dict("records")):
        sign, colour = SIGNS[row["verdict"]]
        if not math.isnan(row["ci_low"]) and not math.isnan(row["ci_high"]):
            upper.plot([place, place], [row["ci_low"], row["ci_high"]], color=colour, linewidth=1.4)
        upper.plot(place, row["estimate"], "o", color=colour, markersize=4.5)
        upper.annotate(
            sign, (place, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", color=colour, fontsize=SMALL
        )
    words = [
        f"{row['variant']}: {number(row['estimate'])} ({interval_words(row)}), {row['verdict']}"
        for row in curve.to_dict("records")
    ]
    mark_values(upper, range(len(curve)), curve["estimate"], words)
    upper.set_ylabel("estimate")
    upper.tick_params(bottom=False, labelbottom=False)
    upper.set_xlim(-0.6, len(curve) - 0.4)

    choices = {variant.name: variant.choices for variant in variants}
    heights, height = {}, 0.0
    for place, (point, option) in enumerate(options):
        height += 1.0 if not place or options[place - 1][0] == point else 1.5
        heights[point, option] = height
    for (point, option), y in heights.items():
        chosen = [x for x, variant in enumerate(curve["variant"]) if choices[variant][point] == option]
        lower.plot(range(len(curve)), [y] * len(curve), "o", color=FAINT, markersize=2.5)
        lower.plot(chosen, [y] * len(chosen), "o", color=INK, markersize=5)
    lower.set_yticks(list(heights.values()), [f"{point}  {option}" for point, option in heights])
    lower.set_ylim(height + 0.7, 0.3)
    lower.tick_params(left=False, bottom=False, labelbottom=False)
    lower.spines[["left", "bottom"]].set_visible(False)
    lower.set_xlabel("variants, by estimate", color=MUTED)
    return figure


def write_multiverse(
    template: Path, multiverse: Multiverse, variants: Sequence[Variant], studies: Sequence[Study], folder: Path
) -> None:
    """Write multiverse.csv, robustness.csv, the curves as SVG and PDF, and the page multiverse.html into `folder`.

    And models.csv, where the variants are of several families of models.

    Args:
        template: of the page.
        multiverse: as read.
        variants: from `variants_of`.
        studies: the finished study of each.
        folder: results/<multiverse>.
    """
    table = claims_by_variant(variants, studies)
    claims = robustness(table, variants)
    write_csv(table, folder / "multiverse.csv")
    write_csv(claims, folder / "robustness.csv")
    models = models_table(studies)
    if len(models):
        write_csv(models, folder / "models.csv")
    shown, synthetic = [], any(study.synthetic for study in studies)
    for row in claims.to_dict("records"):
        rows = table[table["claim"] == row["claim"]]
        curve = sorted_curve(rows)
        item = {str(key): value for key, value in row.items()} | {"words": in_words(row), "uri": ""}
        item["standing"] = row[row["base"].replace(" ", "_")] if row["base"] else DASH
        if len(curve):
            draw = partial(draw_curve, curve, variants, multiverse.option_names)
            item |= _saved(draw, synthetic, folder / "curves" / f"{row['claim']}.svg")
            counts = sorted({number(n) for n in curve["n"]})
            item |= {"alt": curve_words(row, curve), "unmeasured": len(rows) - len(curve)}
            item["n"] = f"n = {joined(counts, 'or')} (runs, or rows of the metadata)."
        shown.append(item)
    changes = [differing([studies[0], study]) for study in studies]
    changed = [key for keys in changes for key in keys]
    page = page_template(template).render(
        name=multiverse.name,
        synthetic=synthetic,
        departures=multiverse.departures,
        models=models_shown(models),
        claims=shown,
        stable=int((claims["turned_by"] == "").sum()),
        remarks=[*REMARKS, *(reason for key, reason in REASONS.items() if concerns(key, changed))],
        variants=[
            {"name": variant.name, "study": study.name, "changes": keys}
            for variant, study, keys in zip(variants, studies, changes, strict=True)
        ],
    )
    write_text(page, folder / "multiverse.html")


def _saved(draw: Callable[[], Figure], synthetic: bool, svg: Path) -> dict[str, Any]:
    """Draw a figure into SVG and PDF; its address on the page, its width, and the values of its marks."""
    figure, fonts = draw_with_fonts(draw)
    with house_style(fonts.families):
        if synthetic:
            mark(figure, SYNTHETIC)
        save_figure(figure, [svg, svg.with_suffix(".pdf")], 200, "outline")
    content = svg.read_bytes()
    return {
        "uri": data_uri("image/svg+xml", content),
        "width": display_width(content),
        "marks": marked_values(figure),
    }
