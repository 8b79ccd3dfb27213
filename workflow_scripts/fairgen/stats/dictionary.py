"""The data dictionary: what every column of every table means (schemas/tables.yaml)."""

from pathlib import Path

import pandas as pd
import yaml

COLUMNS = ["table", "about", "column", "meaning"]


def read_dictionary(path: str | Path) -> pd.DataFrame:
    """One row per table and column, in the order of the file: table, about (the table), column, meaning."""
    content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    common = content.pop("$common")
    rows = []
    for table, entries in content.items():
        about = entries.pop("$about")
        rows += [[table, about, column, meaning or common[column]] for column, meaning in entries.items()]
    return pd.DataFrame(rows, columns=COLUMNS)
