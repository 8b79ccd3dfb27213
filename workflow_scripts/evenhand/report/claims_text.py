"""The claims of a study as plain text, for people who read in a terminal."""

import textwrap

import pandas as pd

from evenhand.report.page import DASH, claim_rows

NARROW = 40  # characters; below that, lines are as long as they need to be


def claims_text(study: str, synthetic: bool, claims: pd.DataFrame, width: int) -> str:
    """One block per claim: verdict, claim, what was found, and the numbers behind it.

    Args:
        study: its name.
        synthetic: whether the images come from the generator; the first line then says so.
        claims: tables/claims.csv.
        width: characters a line, at most, unless one word is longer.
    """

    def wrap(text: str, indent: int) -> str:
        margin = " " * indent
        return textwrap.fill(
            text, max(width, NARROW), initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False
        )

    counts = claims["verdict"].value_counts()
    lines = [wrap(f"Study {study}: {len(claims)} claims, {', '.join(f'{n} {name}' for name, n in counts.items())}.", 0)]
    if synthetic:
        lines.append(wrap("SYNTHETIC DATA: nothing below says anything about patients.", 0))
    for row in claim_rows(claims):
        numbers = [("estimate", "estimate"), ("interval", "interval"), ("p", "p"), ("Holm p", "p_holm"), ("n", "n")]
        shown = [f"{name} {row[key]}" for name, key in numbers if row[key] != DASH]
        shown += [row["test"]] if row["test"] != DASH else []
        lines += [
            "",
            wrap(f"{row['claim']}  {row['verdict'].upper()}  {row['statement']} ({row['source']})", 0),
            wrap(row["sentence"], 4),
            wrap("; ".join(shown), 4),
        ]
    return "\n".join(lines)
