"""What the probes rest on: rows by class, rows left out by cell and reason, what was kept together."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from evenhand.probes.left_out import ALL, COLUMNS, GROUPS, LEFT_OUT, ROWS
from evenhand.probes.sources import Source
from evenhand.probes.targets import Target, count_classes, never_scored

MOST_CELLS = 50  # of a column; the others count as one


def count_rows(source: Source, targets: Sequence[Target]) -> pd.DataFrame:
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
