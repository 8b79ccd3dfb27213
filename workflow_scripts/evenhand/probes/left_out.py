"""What the probes rest on, and what is left out of them: rows by class, by cell and reason, targets not probed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from evenhand.probes.sources import EmbeddingSource
from evenhand.probes.targets import UNLISTED, Target, count_classes, never_scored

COLUMNS = ["target", "kind", "class", "n", "column", "cell", "why"]
ALL = "(all)"  # of rows about the embedding as a whole
ROWS, GROUPS, LEFT_OUT = "(rows)", "(kept together)", "(left out)"  # instead of a class
MOST_SHOWN = 3  # beside a number
BESIDE = ["Images", "Left out", "Not scored", "Kept together"]  # what stands beside the numbers


def count_warnings(counts: pd.DataFrame) -> list[str]:
    """For each row of the counts of all sources (COLUMNS and `source`) a sentence if the row bears on the numbers.

    The table of all unlisted cells of a target is the rows themselves: the sentence stands beside the first.
    """
    texts, said = [], set()
    for source, target, name, column, cell, why in counts[
        ["source", "target", "class", "column", "cell", "why"]
    ].values:
        text = ""
        if why == UNLISTED and (source, target, column) not in said:
            said.add((source, target, column))
            text = f"{source}, {target}: cells of {column} that `values` does not list are left out, such as {cell!r}"
        elif target == ALL and (name == LEFT_OUT or why.startswith("nothing")):
            text = f"{source}: {why} are left out" if name == LEFT_OUT else f"{source}: kept together is {why}"
        elif why and name not in (LEFT_OUT, GROUPS):
            text = f"{source}, {target}: {name} is not scored: {why}"
        texts.append(text)
    return texts


def beside_the_numbers(untouched: pd.DataFrame, counts: pd.DataFrame) -> dict[str, str]:
    """What stands beside the scores of one attribute and target of one source, by the names in `BESIDE`.

    Args:
        untouched: its rows of the folds, all runs, before removal.
        counts: of all sources and runs.
    """
    source, train_set, target = untouched[["source", "train_set", "target"]].iloc[0]
    own = counts[(counts["source"] == source) & (counts["train_set"] == train_set)]
    about, mine = own[own["target"] == ALL], own[own["target"] == target]
    scored = untouched.groupby("run")["n_test"].sum()
    rows = about[about["class"] == ROWS].set_index("run")["n"]
    left_out = f"{_span(rows - scored)} of {_span(rows)}"
    cells = mine[mine["class"] == LEFT_OUT]
    if len(scored) == 1 and len(cells):
        most = cells.nlargest(MOST_SHOWN, "n")
        named = [f"{row.column} {row.cell or '(empty)'}: {row.n:,}" for row in most.itertuples()]
        left_out += f" ({', '.join(named)}{', ...' if len(cells) > MOST_SHOWN else ''})"
    for reason, part in about[about["class"] == LEFT_OUT].groupby("why"):
        left_out += f"; {_span(part['n'])} {reason}"
    together = "; ".join(
        reason if reason.startswith("nothing") else f"{reason} ({_span(part['n'])} groups)"
        for reason, part in about[about["class"] == GROUPS].groupby("why")
    )
    not_scored = "; ".join(_unscored(untouched["not_scored"], mine))
    return dict(zip(BESIDE, [_span(scored), left_out, not_scored, together], strict=True))


def _unscored(found: "pd.Series[str]", mine: pd.DataFrame) -> list[str]:
    """Each class or label without an AUC in some folds, with the reason or the number of those folds."""
    folds = Counter(name for names in found for name in names.split("; ") if name)
    reasons = dict(mine[mine["why"] != ""].set_index("class")["why"])
    return [
        f"{name} ({reasons.get(name, 'only one class among its rows')}, in {n} of {len(found)} folds)"
        for name, n in folds.items()
    ]


def _span(numbers: "pd.Series[int]") -> str:
    """One number, or the least and the greatest."""
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


MOST_CELLS = 50  # of a column; the others count as one


def count_rows(source: EmbeddingSource, targets: Sequence[Target]) -> pd.DataFrame:
    """Rows of a source by class, and all that was left out; columns as in COLUMNS."""
    rows: list[tuple[object, ...]] = [(ALL, "", ROWS, len(source.matrix), "", "", "")]
    rows += [(ALL, "", LEFT_OUT, n, "", "", reason) for reason, n in source.unmatched.items()]
    rows.append((ALL, "", GROUPS, len(np.unique(source.groups)), "", "", source.kept_together))
    for target in targets:
        start, unscored = (target.name, target.kind), never_scored(target)
        rows += [(*start, name, n, "", "", unscored.get(name, "")) for name, n in count_classes(target)]
        for column in dict.fromkeys(entry.column for entry in target.left_out):
            entries = [entry for entry in target.left_out if entry.column == column]
            rows += [(*start, LEFT_OUT, e.rows, column, e.cell, e.why) for e in entries[:MOST_CELLS]]
            rest = entries[MOST_CELLS:]
            if rest:
                cells = f"({len(rest)} other cells)"
                rows.append((*start, LEFT_OUT, sum(e.rows for e in rest), column, cells, rest[0].why))
    return pd.DataFrame(rows, columns=COLUMNS)


NOT_PROBED_COLUMNS = ["target", "role", "reason"]


class NotProbed(NamedTuple):
    """A target that is not probed."""

    target: str
    role: str  # attribute or disease
    reason: str


def not_probed_table(left_out: pd.DataFrame, members: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """What the report says of the targets that are not probed.

    Args:
        left_out: rows of `NotProbed` of all embeddings, with their source, dataset, model, train_set and run.
        members: every embedding, with its source.

    Returns:
        source, model, target, role, reason, n_left_out and n_embeddings (of the source, for which it was left out and
        all of them), warnings (the same as a sentence).
    """
    total = pd.Series([member["source"] for member in members]).value_counts()
    keys = ["source", "model", *NOT_PROBED_COLUMNS]
    counts = left_out.groupby(keys, sort=False).size().rename("n_left_out").reset_index()
    counts["n_embeddings"] = counts["source"].map(total)
    counts["warnings"] = [
        f"not probed: {row['target']} ({row['role']}, {row['model']})"
        + (
            f", {row['n_left_out']} of {row['n_embeddings']} embeddings"
            if row["n_left_out"] < row["n_embeddings"]
            else ""
        )
        + f": {row['reason']}"
        for row in counts.to_dict("records")
    ]
    return counts
