"""The paper's groups and training sets, as its configuration has them; for tests."""

from pathlib import Path
from typing import Any

import pandas as pd

from evenhand.data.tables import read_images
from evenhand.splits.groups import Group, TrainSet, groups_from

LIGHT_DARK: list[dict[str, Any]] = [
    {"name": "light", "title": "light skin (FST 1–2)", "where": {"skin_type": [1, 2]}},  # noqa: RUF001
    {"name": "dark", "title": "dark skin (FST 5–6)", "where": {"skin_type": [5, 6]}},  # noqa: RUF001
]
GROUPS: tuple[Group, ...] = groups_from(LIGHT_DARK)


def mix(dark: float) -> dict[str, float]:
    """Of a training set with that fraction of dark images."""
    return {name: share for name, share in (("light", 1 - dark), ("dark", dark)) if share}


PAPER_SETS = (TrainSet("A", mix(0.0)), TrainSet("B", mix(0.5)), TrainSet("C", mix(1.0)))


def read_fitzpatrick17k(path: str | Path, **data: Any) -> pd.DataFrame:  # noqa: ANN401 (any value of a configuration)
    """The table of images, as from the configuration of the paper with these changes of its block `data`."""
    paper = {"dataset": "fitzpatrick17k", "columns": {}, "skin_types": {}, "join": None}
    return read_images([Path(path)], paper | data)
