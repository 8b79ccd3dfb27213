"""The claims of a study as they are read: in words, as pictures of their intervals, on the page and in a terminal."""

import json
import math
import textwrap
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from evenhand.figures.style import joined, percent
from evenhand.splits.groups import FROZEN, Pair
from evenhand.stats.paired import ways_to_decide
from evenhand.workflow.errors import UserError
from evenhand.workflow.tables import read_table

VERDICTS = ("supported", "contradicted", "no relevant difference", "inconclusive", "not testable")
# The answer of a page is that of its claim C2, so that they cannot contradict one another.
C2_IN_WORDS = {
    "supported": "a higher error",
    "contradicted": "a lower error",
    "no relevant difference": "no relevant difference",
    "inconclusive": "a difference is not established",
    "not testable": "too little for a test (claim C2)",
}
DASH = "–"  # noqa: RUF001 - an empty cell
PLOT_WIDTH, PLOT_EDGE = 160, 6  # CSS pixels: of the picture of an interval, and what is kept free on both sides


def number(value: object) -> str:
    """A table cell as text: four significant digits, thousands with a comma, an en dash for nothing."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return DASH
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}"
    if isinstance(value, int | float) and not math.isinf(value):
        return f"{int(value):,}"
    return str(value)


def p_value(value: float) -> str:
    """A p value with two significant digits, "< 0.0001" below that, an en dash where there is none."""
    if math.isnan(value):
        return DASH
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def is_synthetic(results: Path) -> bool:
    """Whether a study's data are generated: from the record of its images, or of its probes where it has no images."""
    record = results / "data" / "images.json"
    if record.is_file():
        return bool(json.loads(record.read_text("utf-8"))["synthetic"])
    words = json.loads((results / "figures" / "probe_curves.json").read_text("utf-8"))
    return bool(words["alt"].startswith("Synthetic data"))


def read_claims(results: Path) -> pd.DataFrame:
    """The claims of a finished study, those on probes after the others.

    Args:
        results: folder results/<study>.

    Raises:
        UserError: there are none.
    """
    tables = [results / "tables" / f"{name}.csv" for name in ("claims", "probe_claims")]
    claims = [read_table(path) for path in tables if path.is_file()]
    if not claims:
        found = [
            *results.parent.glob("*/tables/claims.csv"),
            *results.parent.glob("*/tables/probe_claims.csv"),
        ]
        raise UserError(
            f"expected {tables[0]} of a finished study, found none. Run the study first, or name one that is there: "
            f"{', '.join(sorted({path.parts[-3] for path in found})) or 'none is'}."
        )
    return pd.concat(claims, ignore_index=True)


def interval_plot(row: Mapping[Hashable, Any]) -> dict[str, Any] | None:
    """Where the marks of a claim's picture stand, to scale; None where the claim has no interval.

    Args:
        row: of claims.csv.

    Returns:
        estimate, low, high, null (None where nothing was tested against) and margin (left end and width, or None), CSS
        pixels from the left of a picture of `PLOT_WIDTH`; `words`: the same for who cannot see it.
    """
    values = {key: row[key] for key in ("estimate", "ci_low", "ci_high", "null_value", "margin")}
    known = {key: float(value) for key, value in values.items() if not math.isnan(value)}
    if not {"estimate", "ci_low", "ci_high"} <= set(known):
        return None
    margin = known.pop("margin", None)
    ends = [*known.values(), *([-margin, margin] if margin else [])]
    scale = (PLOT_WIDTH - 2 * PLOT_EDGE) / ((max(ends) - min(ends)) or 1.0)

    def place(value: float) -> float:
        return round(PLOT_EDGE + (value - min(ends)) * scale, 1)

    null = known.get("null_value")
    words = [f"{number(known['estimate'])}, {100 * row['level']:.3g} % interval {interval_words(row)}"]
    words += [] if null is None else [f"tested against {number(null)}"]
    words += [f"no relevant difference within {number(margin)} of 0"] if margin else []
    return {
        "estimate": place(known["estimate"]),
        "low": place(known["ci_low"]),
        "high": place(known["ci_high"]),
        "null": None if null is None else place(null),
        "null_label": number(null),
        "margin": (place(-margin), round(2 * margin * scale, 1)) if margin else None,
        "words": "; ".join(words),
    }


def interval_words(row: Mapping[Hashable, Any]) -> str:
    """Such as "0.01 to 0.02"; a dash without an interval."""
    if math.isnan(row["ci_low"]) or math.isnan(row["ci_high"]):
        return DASH
    return f"{number(row['ci_low'])} to {number(row['ci_high'])}"


def decided_by(row: Mapping[Hashable, Any]) -> str:
    """What would decide an inconclusive claim; empty for others, and where its rule is not a test over runs."""
    if row["verdict"] != "inconclusive" or math.isnan(row["detectable"]):
        return ""
    return f"would take {ways_to_decide(row)} (80 % power, if the estimate is true)"


def verdict_counts(claims: pd.DataFrame) -> dict[str, int]:
    """Claims by verdict, in the order of `VERDICTS`."""
    return {name: int((claims["verdict"] == name).sum()) for name in VERDICTS}


def answer(claims: pd.DataFrame, gaps: pd.DataFrame | None, pair: Pair, alpha: float) -> str:
    """The study's answer in two sentences: the ratio of the errors by training set, and how many claims hold.

    Args:
        claims: at least one row.
        gaps: tables/gaps.csv; None on a page about embeddings, whose first claim then stands for the answer.
        pair: the two groups.
        alpha: level of the verdicts; the intervals have the level 1 - alpha.
    """
    counts = [f"{count} {name}" for name, count in verdict_counts(claims).items() if count]
    summary = f"of {len(claims)} claim{'s' if len(claims) > 1 else ''}, {joined(counts)}."
    found = pd.DataFrame() if gaps is None else _ratios(gaps, pair)
    if found.empty:
        first = claims.iloc[0].to_dict()
        numbers = "" if math.isnan(first["estimate"]) else f" ({number(first['estimate'])}, {interval_words(first)})"
        return f"{first['statement']}: {first['verdict']}{numbers}. {summary[0].upper()}{summary[1:]}"

    rows = found.to_dict("records")
    balanced = next((row for row in rows if row["compared_share"] == 0.5), rows[0])
    others = [row for row in (rows[0], rows[-1]) if row is not balanced]
    judged = claims.loc[claims["claim"] == "C2", "verdict"].tolist()
    conclusion = _in_words(balanced, alpha)
    frozen = balanced["train_set"] == FROZEN
    if balanced["compared_share"] == 0.5 or frozen:
        where = "Not trained here" if frozen else f"Trained on equal shares of both groups ({balanced['train_set']})"
        conclusion = C2_IN_WORDS[judged[0]] if judged else conclusion
    else:
        where = f"Trained on {balanced['train_set']} ({percent(balanced['compared_share'])} {pair.compared})"
    sentence = (
        f"{where}, models reconstruct {pair.compared} images with {_factor(balanced['ratio'])} times the error of "
        f"{pair.reference} ones ({_gap(balanced, f', {100 * (1 - alpha):g} % interval')}; {balanced['n_runs']:,} "
        f"run{'s' if balanced['n_runs'] > 1 else ''} of {balanced['n_test']:,.0f} test images a group): "
        f"{conclusion}."
    )
    if not others:
        return f"{sentence} {summary[0].upper()}{summary[1:]}"
    elsewhere = joined(
        [
            f"{_factor(row['ratio'])} under {row['train_set']} ({percent(row['compared_share'])} {pair.compared}, "
            f"{_gap(row, ',')})"
            for row in others
        ]
    )
    return f"{sentence} The ratio is {elsewhere}; {summary}"


def _factor(value: float) -> str:
    return f"{value:.2f}" if 0.1 <= value < 10 else f"{value:.3g}"


def _gap(row: Mapping[Hashable, Any], before: str) -> str:
    """The gap and, after these words, its interval; the gap alone without one."""
    interval = "" if math.isnan(row["ci_low"]) else f"{before} {row['ci_low']:.2g} to {row['ci_high']:.2g}"
    return f"gap {row['gap']:.2g}{interval}"


def _ratios(gaps: pd.DataFrame, pair: Pair) -> pd.DataFrame:
    """The error gaps of the pair that have a ratio, by share of the compared group."""
    rows = gaps[(gaps["metric"] == "mse") & (gaps["compared"] == pair.compared) & gaps["ratio"].notna()]
    return rows.sort_values(["compared_share", "train_set"])


def _in_words(row: Mapping[Hashable, Any], alpha: float) -> str:
    """What the interval of a gap says; that of the ratio might say something else."""
    if row["ci_low"] > 0:
        return "a higher error"
    if row["ci_high"] < 0:
        return "a lower error"
    return "no relevant difference" if row["p_tost"] <= alpha else "a difference is not established"


def claim_rows(claims: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """Claims as the template shows them: numbers as text, the verdict's CSS class, the level of the interval."""
    rows = []
    for row in claims.to_dict("records"):
        interval = interval_words(row)
        rows.append(
            row
            | {
                "verdict_class": row["verdict"].replace(" ", "-"),
                "estimate": number(row["estimate"]),
                "interval": interval if interval == DASH else f"{interval} ({100 * row['level']:.3g} %)",
                "plot": interval_plot(row),
                "decided_by": decided_by(row),
                "p": p_value(row["p"]),
                "p_holm": p_value(row["p_holm"]),
                "survives": row["verdict"] in VERDICTS[:3] and bool(row["survives"]),
                "n": number(row["n"]),
                "test": number(row["test"]),
            }
        )
    return rows


def expected_false(claims: pd.DataFrame, alpha: float) -> str:
    """How many of the verdicts are false by chance, and how many survive Holm's method, in a sentence."""
    tested = claims[claims["p_holm"].notna()]
    found = tested["verdict"].isin(VERDICTS[:3])
    return (
        f"Each claim is judged at its own level of {100 * alpha:g} %: of {len(tested)} tested claims, at most "
        f"{alpha * len(tested):.2g} false verdicts are to be expected. {int((found & tested['survives']).sum())} of "
        f"{int(found.sum())} verdicts (marked) survive Holm's method over all claims of their table: that one or more "
        f"of these is false has a chance of at most {100 * alpha:g} % a table."
    )


NARROW = 40  # characters; below that, lines are as long as they need to be


def claims_text(study: str, synthetic: bool, claims: pd.DataFrame, width: int, long: bool = False) -> str:
    """One line per claim: number, verdict, claim; or one block each with what was found and the numbers behind it.

    Args:
        study: its name.
        synthetic: whether the images come from the generator; the first line then says so.
        claims: tables/claims.csv.
        width: characters a line, at most, unless one word is longer.
        long: blocks instead of lines.
    """
    width = max(width, NARROW)

    def wrap(text: str, indent: int) -> str:
        margin = " " * indent
        return textwrap.fill(text, width, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False)

    counts = claims["verdict"].value_counts()
    lines = [wrap(f"Study {study}: {len(claims)} claims, {', '.join(f'{n} {name}' for name, n in counts.items())}.", 0)]
    if synthetic:
        lines.append(wrap("SYNTHETIC DATA: nothing below says anything about patients.", 0))
    rows = claim_rows(claims)
    for row in rows:
        if not long:
            mark = "*" if row["survives"] else " "
            line = f"{row['claim']:3} {row['verdict'] + mark:23} {row['statement']}"
            lines.append(line if len(line) <= width else line[: width - 4] + " ...")
            continue
        numbers = [("estimate", "estimate"), ("interval", "interval"), ("p", "p"), ("Holm p", "p_holm"), ("n", "n")]
        shown = [f"{name} {row[key]}" for name, key in numbers if row[key] != DASH]
        shown += [row["test"]] if row["test"] != DASH else []
        lines += [
            "",
            wrap(f"{row['claim']}  {row['verdict'].upper()}  {row['statement']} ({row['source']})", 0),
            wrap(row["sentence"], 4),
            wrap("; ".join(shown), 4),
        ]
    if not long:
        lines.append(wrap("* also after Holm's method over all claims. In full: make show OPTIONS=--long", 0))
    return "\n".join(lines)
