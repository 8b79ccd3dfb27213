"""Fitzpatrick17k (Groh et al. 2021): one CSV of 16,577 photographs from two online atlases, each with its MD5 and URL.

Quirks: -1 is a missing skin type; the atlas is in the host of the URL; 41 rows have no URL.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

import pandas as pd

from evenhand.data.metadata import TableFormat

FORMAT = TableFormat(
    id="md5hash",
    checksum="md5hash",
    conditions=("label", "nine_partition_label", "three_partition_label"),
    url="url",
    source="source",
    skin_type="fitzpatrick_scale",
    second_skin_type="fitzpatrick_centaur",
)
TABLES = {"table": [FORMAT.id, FORMAT.skin_type, *FORMAT.conditions]}
ATLASES = {"dermaamin.com": "dermaamin", "atlasdermatologico.com.br": "atlasdermatologico"}


def prepare(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The published table with the atlas of each row; a part of it may lack URLs and the second skin types."""
    cells = tables["table"]
    cells = cells.assign(**{name: "" for name in (FORMAT.url, FORMAT.second_skin_type) if name not in cells})
    return cells.assign(source=cells["url"].map(atlas_of))


def atlas_of(url: str) -> str:
    """The picture atlas a URL points to: `dermaamin`, `atlasdermatologico` or `unknown`."""
    try:
        host = (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:  # such as an unclosed bracket in the host
        host = ""
    return ATLASES.get(host, "unknown")
